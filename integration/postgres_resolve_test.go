package integration

import (
	"context"
	"testing"

	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/dialect/postgres"
	"github.com/lockstep-go/lockstep/uow"
)

// TestPostgresResolveElsewhere asks for transactions that another timeline has
// named, as after the promotion of a standby.
func TestPostgresResolveElsewhere(t *testing.T) {
	l := newLab(t)
	m := l.pool(2, "")
	var committed, future string
	l.check(m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		return u.GetContext(ctx, &committed, "select pg_current_xact_id()::text")
	}))
	l.check(m.DB().GetContext(l.ctx, &future, "select (pg_snapshot_xmax(pg_current_snapshot())::text::bigint+1000000)::text"))

	resolver := postgres.Dialect().(dialect.Resolver)
	conn, err := m.DB().Conn(l.ctx)
	l.check(err)
	defer conn.Close()
	var own string
	l.check(m.DB().GetContext(l.ctx, &own, "select left(pg_walfile_name(pg_current_wal_insert_lsn()),8)||'/'||extract(epoch from stats_reset) from pg_stat_bgwriter"))
	older, crashed, newer := "00000000"+own[8:], own+"0", "FFFFFFFF"+own[8:]
	for _, c := range []struct {
		id, history string
		want        dialect.Outcome
		kind        error
	}{
		{committed, "", dialect.Committed, nil},
		{committed, own, dialect.Committed, nil},
		{committed, older, dialect.InDoubt, dialect.Unresolvable},
		{committed, crashed, dialect.InDoubt, dialect.Unresolvable},
		{committed, newer, dialect.InDoubt, dialect.Unresolvable}, // a server left behind
		{future, older, dialect.RolledBack, nil},
		{future, crashed, dialect.RolledBack, nil},
		{future, newer, dialect.InDoubt, dialect.Unresolvable},
	} {
		outcome, err := resolver.Resolve(l.ctx, conn, dialect.Ref{ID: c.id, History: c.history})
		if outcome != c.want {
			t.Errorf("%+v: %v, %v", c, outcome, err)
		}
		if c.kind != nil {
			wantKind(t, err, dialect.Unresolvable)
		}
	}
	// What is not known yet is an error where it cannot be.
	if outcome, err := resolver.Resolve(l.ctx, conn, dialect.Ref{ID: future, History: own}); outcome != dialect.InDoubt || err == nil {
		t.Errorf("a future id: %v, %v", outcome, err)
	}
}

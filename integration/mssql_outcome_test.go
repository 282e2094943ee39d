package integration

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/dialect/mssql"
	"github.com/lockstep-go/lockstep/internal/faultproxy"
	"github.com/lockstep-go/lockstep/uow"
)

var withOutcomes = mssql.WithOutcomeTable("dbo.outcome")

const outcomes = "select count(*) from dbo.outcome"

func newOutcomeLab(t *testing.T) *mssqlLab {
	t.Helper()
	l := newMSSQLLab(t)
	l.check(mssql.CreateOutcomeTable(l.ctx, l.watch, "dbo.outcome"))
	l.check(mssql.CreateOutcomeTable(l.ctx, l.watch, "[dbo].[outcome]")) // is there already
	return l
}

// resolved returns what an error in doubt resolves to.
func (l *mssqlLab) resolved(err error) (uow.Outcome, error) {
	l.Helper()
	var doubt *uow.InDoubtError
	if !errors.As(err, &doubt) {
		l.Fatalf("error %v, want in doubt", err)
	}
	return doubt.Resolve(l.ctx)
}

// mssqlWays are ways to write that the dialect must know for what they are.
var mssqlWays = map[string]uow.Func{
	"statement": exec("insert into item values (4,4)"),
	"query":     get("insert into item output inserted.n values (4,4)"),
	"call":      exec("write_item"),
	"execute":   get("exec write_item; select 1"),
	"no exec":   exec(" write_item"),
	"raw": writeWith(func(u *uow.UnitOfWork, _ context.Context) error {
		return u.Raw(func(conn any) error { return rawExec(conn, "insert into item values (4,4)") })
	}),
	"prepared": writeWith(func(u *uow.UnitOfWork, ctx context.Context) error {
		stmt, err := u.PrepareContext(ctx, "insert into item values (4,4)")
		if err != nil {
			return err
		}
		defer stmt.Close()
		return drop(stmt.ExecContext(ctx))
	}),
}

// TestMSSQLLostReplyOfCommit loses the reply to COMMIT after the server has
// committed, and the request before it has.
func TestMSSQLLostReplyOfCommit(t *testing.T) {
	for way, fn := range mssqlWays {
		for fault, want := range map[faultproxy.Action]uow.Outcome{faultproxy.CutAfter: uow.Committed, faultproxy.CutBefore: uow.RolledBack} {
			t.Run(fmt.Sprint(way, ", ", want), func(t *testing.T) {
				l := newOutcomeLab(t)
				l.do("create procedure write_item as insert into item values (4,4)")
				proxy, m := l.proxied(1, withOutcomes)
				proxy.Rule(mssqlHarness{}.MatchCommit(), fault)
				err := m.Do(l.ctx, fn, uow.Retry(uow.RetryPolicy{}))
				if outcome, err := l.resolved(err); outcome != want || err != nil {
					t.Errorf("resolved to %v, %v, want %v", outcome, err, want)
				}
				l.wants(l.watch, "select count(*) from item where id = 4", map[uow.Outcome]string{uow.Committed: "1", uow.RolledBack: "0"}[want])
				l.check(m.Do(l.ctx, exec("insert into item values (5,5)")))
			})
		}
	}
}

func TestMSSQLLostReplyWithoutTable(t *testing.T) {
	l := newMSSQLLab(t)
	for _, fault := range []faultproxy.Action{faultproxy.CutBefore, faultproxy.CutAfter} {
		proxy, m := l.proxied(1)
		proxy.Rule(mssqlHarness{}.MatchCommit(), fault)
		outcome, err := l.resolved(m.Do(l.ctx, exec("insert into item values (4,4)")))
		l.wantIs(err, dialect.Unresolvable)
		if outcome != uow.InDoubt {
			t.Errorf("resolved to %v", outcome)
		}
	}
	l.wants(l.watch, "select count(*) from item where id = 4", "1")
}

// TestMSSQLOutcomeRows has units that leave a row and units that need none.
func TestMSSQLOutcomeRows(t *testing.T) {
	l := newOutcomeLab(t)
	proxy, m := l.proxied(1, withOutcomes)
	l.check(m.Do(l.ctx, nothing))
	l.check(m.Do(l.ctx, nothing, lockA))
	l.check(m.Do(l.ctx, get("select n from item"), lockA))
	l.wants(l.watch, outcomes, "0")
	proxy.Rule(mssqlHarness{}.MatchCommit(), faultproxy.CutAfter)
	outcome, err := l.resolved(m.Do(l.ctx, get("select n from item")))
	if outcome != uow.Committed || err != nil {
		t.Errorf("a unit that has only read resolved to %v, %v", outcome, err)
	}
	l.check(m.Do(l.ctx, exec("insert into item values (4,4)")))
	l.wants(l.watch, outcomes, "1")
	l.wantIs(m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		return errors.Join(exec("insert into item values (5,5)")(ctx, u), errEnough)
	}), errEnough)
	l.wants(l.watch, outcomes, "1")
}

// TestMSSQLOutcomesArePruned has rows of the day before yesterday.
func TestMSSQLOutcomesArePruned(t *testing.T) {
	l := newOutcomeLab(t)
	l.do("insert into dbo.outcome (id, at) values (0x01, dateadd(hour, -48, sysutcdatetime())), (0x02, dateadd(hour, -25, sysutcdatetime()))")
	m, units := l.pool(1, withOutcomes), 0
	for l.ask(l.watch, outcomes+" where at < dateadd(hour, -24, sysutcdatetime())") != "0" {
		l.check(m.Do(l.ctx, exec("update item set n = n + 1 where id = 1")))
		units++
	}
	l.wants(l.watch, outcomes, fmt.Sprint(units))
}

// TestMSSQLOutcomesAtEveryLevel has enough units to remove old rows, at levels at
// which the server would not let them.
func TestMSSQLOutcomesAtEveryLevel(t *testing.T) {
	for _, level := range []sql.IsolationLevel{sql.LevelReadUncommitted, sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSnapshot, sql.LevelSerializable} {
		t.Run(level.String(), func(t *testing.T) {
			l := newOutcomeLab(t)
			proxy, m := l.proxied(1, withOutcomes)
			removes := level == sql.LevelReadCommitted || level == sql.LevelRepeatableRead
			removed := func() bool {
				return slices.ContainsFunc(proxy.Statements(), func(s string) bool { return strings.Contains(s, "READPAST") })
			}
			for n := 0; n < 300 || removes && !removed(); n++ {
				l.check(m.Do(l.ctx, exec("update item set n = n + 1 where id = 1"), uow.Isolation(level)))
			}
			if removed() != removes {
				t.Errorf("old rows removed: %v", !removes)
			}
		})
	}
}

// TestMSSQLOutcomeOfLongAgo asks for rows that may have been removed.
func TestMSSQLOutcomeOfLongAgo(t *testing.T) {
	l := newOutcomeLab(t)
	conn, err := l.db(1, "").Conn(l.ctx)
	l.check(err)
	defer conn.Close()
	resolver := mssql.Dialect(withOutcomes).(dialect.Resolver)
	l.do("insert into dbo.outcome (id) values (0x01)")
	for ago, want := range map[time.Duration]dialect.Outcome{0: dialect.RolledBack, 22 * time.Hour: dialect.RolledBack, 24 * time.Hour: dialect.InDoubt} {
		at := time.Now().Add(-ago).Unix()
		outcome, err := resolver.Resolve(l.ctx, conn, dialect.Ref{ID: fmt.Sprintf("%x.02", at)})
		if outcome != want || errors.Is(err, dialect.Unresolvable) != (want == dialect.InDoubt) {
			t.Errorf("missing for %v: %v, %v", ago, outcome, err)
		}
		row := fmt.Sprintf("%x.01%030x", at, 0)
		if outcome, err := resolver.Resolve(l.ctx, conn, dialect.Ref{ID: row}); outcome != dialect.Committed || err != nil {
			t.Errorf("there for %v: %v, %v", ago, outcome, err)
		}
	}
	for _, id := range []string{"", "01", "01.", ".01", "x.01", "01.0x", "01.01.01"} {
		if outcome, err := resolver.Resolve(l.ctx, conn, dialect.Ref{ID: id}); outcome != dialect.InDoubt || !errors.Is(err, dialect.Unresolvable) {
			t.Errorf("%q: %v, %v", id, outcome, err)
		}
	}
}

// TestMSSQLOutcomeRefused has a table that cannot be written: nothing commits.
func TestMSSQLOutcomeRefused(t *testing.T) {
	l := newOutcomeLab(t)
	m := l.pool(1, withOutcomes)
	l.do("drop table dbo.outcome")
	err := m.Do(l.ctx, exec("insert into item values (4,4)"))
	var doubt *uow.InDoubtError
	if err == nil || errors.As(err, &doubt) || mssql.Dialect().Classify(err) != dialect.Refused {
		t.Errorf("error %v", err)
	}
	l.wants(l.watch, "select count(*) from item", "3")
	l.check(m.Do(l.ctx, get("select n from item")))
}

// TestMSSQLOutcomeEnded has a transaction that a procedure has committed: the row
// cannot be left in it, and nobody may say that it was rolled back.
func TestMSSQLOutcomeEnded(t *testing.T) {
	l := newOutcomeLab(t)
	l.do("create procedure p as commit")
	err := l.pool(1, withOutcomes).Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		l.check(exec("insert into item values (4,4)")(ctx, u))
		return u.Raw(func(conn any) error {
			_ = rawExec(conn, "exec p")
			return nil
		})
	})
	outcome, err := l.resolved(err)
	l.wantIs(err, dialect.Unresolvable)
	if outcome != uow.InDoubt {
		t.Errorf("resolved to %v", outcome)
	}
	l.wants(l.watch, "select count(*) from item where id = 4", "1")
	l.wants(l.watch, outcomes, "0")
}

// TestMSSQLOutcomeNames has names that are no names.
func TestMSSQLOutcomeNames(t *testing.T) {
	l := newMSSQLLab(t)
	for _, name := range []string{"x]; drop table item; --", "a.b.c", "", ".", "x[", "it\x00"} {
		if mssql.CreateOutcomeTable(l.ctx, l.watch, name) == nil {
			t.Errorf("%q: created", name)
		}
		if l.pool(1, mssql.WithOutcomeTable(name)).Do(l.ctx, exec(leak)) == nil {
			t.Errorf("%q: used", name)
		}
	}
	odd := "it's; drop table item"
	l.check(mssql.CreateOutcomeTable(l.ctx, l.watch, odd))
	l.check(l.pool(1, mssql.WithOutcomeTable(odd)).Do(l.ctx, exec("insert into item values (4,4)")))
	l.wants(l.watch, "select count(*) from item", "4")
	l.wants(l.watch, "select count(*) from ["+odd+"]", "1")
}

package integration

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect/postgres"
	"github.com/lockstep-go/lockstep/integration/servers/serverstest"
	"github.com/lockstep-go/lockstep/internal/faultproxy"
	"github.com/lockstep-go/lockstep/internal/pooltest"
	"github.com/lockstep-go/lockstep/uow"
)

// lab is a database of a test's own, for what only PostgreSQL can show of locks.
type lab struct {
	*testing.T
	dsn   string
	ctx   context.Context
	watch session // outside the library, and free of the database's settings
}

// newLab makes a database whose new sessions have the settings.
func newLab(t *testing.T, settings ...string) *lab {
	t.Helper()
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*factPatience)
	t.Cleanup(cancel)
	dsn := serverstest.PostgresDatabase(t)
	l := &lab{T: t, dsn: dsn, ctx: ctx, watch: connectSession(t, dsn)}
	l.watch.do("create table item (id int primary key, n int not null); insert into item values (1,0)")
	for _, s := range settings {
		l.watch.do("do $$ begin execute format('alter database %I set " + s + "', current_database()); end $$")
	}
	return l
}

// pool returns a Manager with a pool of n connections, through address unless
// that is empty.
func (l *lab) pool(n int, address string) *uow.Manager {
	l.Helper()
	db := postgresHarness{}.Open(l.T, l.dsn, address)
	db.SetMaxOpenConns(n)
	l.Cleanup(func() {
		pooltest.WantAllBack(l, db)
		_ = db.Close()
	})
	return uow.New(db, postgres.Dialect())
}

// proxied is pool behind a fault proxy.
func (l *lab) proxied(n int) (*faultproxy.Proxy, *uow.Manager) {
	l.Helper()
	proxy, err := faultproxy.Start(postgresHarness{}.Address(l.T, l.dsn))
	l.check(err)
	l.Cleanup(func() { _ = proxy.Close() })
	return proxy, l.pool(n, proxy.Addr())
}

func (l *lab) check(err error) {
	l.Helper()
	if err != nil {
		l.Fatalf("unexpected error: %v", err)
	}
}

// wantIs may be called on any goroutine.
func (l *lab) wantIs(err, target error) {
	l.Helper()
	if !errors.Is(err, target) {
		l.Errorf("error %v, want one that is %q", err, target)
	}
}

// hold opens a scope that is closed when the test ends, if not before.
func (l *lab) hold(m *uow.Manager, opts ...uow.Option) *uow.Scope {
	l.Helper()
	_, scope, err := m.Begin(l.ctx, opts...)
	l.check(err)
	l.Cleanup(func() { _ = scope.Close() })
	return scope
}

func (l *lab) commit(s *uow.Scope) {
	l.Helper()
	l.check(s.Commit(l.ctx))
}

// start runs f on a goroutine.
func (l *lab) start(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

// startUnit runs a unit that increments item 1 in two statements.
func (l *lab) startUnit(m *uow.Manager, opts ...uow.Option) <-chan error {
	return l.start(func() error { return m.Do(l.ctx, increment, opts...) })
}

func increment(ctx context.Context, u *uow.UnitOfWork) error {
	var n int
	if err := u.GetContext(ctx, &n, "select n from item where id = 1"); err != nil {
		return err
	}
	_, err := u.ExecContext(ctx, "update item set n = $1 where id = 1", n+1)
	return err
}

// ended returns what the work behind a channel returned.
func (l *lab) ended(done <-chan error) error {
	l.Helper()
	return l.watch.ends(done)
}

const waiters = "select count(*) from pg_locks where locktype='advisory' and not granted and database=" + ourDatabase

// setting returns a setting as a unit's connection has it.
func (l *lab) setting(q sqlx.QueryerContext, name string) string {
	l.Helper()
	var text string
	l.check(sqlx.GetContext(l.ctx, q, &text, "select current_setting($1)", name))
	return text
}

var (
	exclusive = applock.Exclusive("a")
	lockA     = applock.With(exclusive)
	errEnough = errors.New("enough")
	anyLevel  = []sql.IsolationLevel{sql.LevelDefault, sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable}
)

const shortWait = 30 * time.Millisecond

// vectors are published: other programs compute the same keys.
var vectors = map[string]int64{
	"a":                  -3848465438864589366,
	"tenant:42":          5430573854015355007,
	"tenant:42:upgrade":  3028329767655481054,
	"ä":                  3739913210162221132,
	"🔒":                  7701668758205862634,
	`back\slash 'quote'`: 2940954256212528018,
}

// TestPlainSQLTakesTheSameLock runs the statement that the documentation gives
// to programs in other languages.
func TestPlainSQLTakesTheSameLock(t *testing.T) {
	l := newLab(t)
	m := l.pool(2, "")
	const documented = "('x'||left(encode(sha256(convert_to(%s,'UTF8')),'hex'),16))::bit(64)::bigint"
	for name, key := range vectors {
		if got := postgres.Key(name); got != key {
			t.Errorf("Key(%q) = %d, want %d", name, got, key)
		}
		expression := fmt.Sprintf(documented, l.watch.do("select quote_literal($q$"+name+"$q$)"))
		l.watch.wants("select "+expression, fmt.Sprint(key))
		unit := l.hold(m, applock.With(applock.Exclusive(name)))
		l.watch.wants("select pg_try_advisory_lock("+expression+")", "f")
		l.commit(unit)
		l.watch.wants("select pg_try_advisory_lock("+expression+")", "t")
		l.wantIs(m.Do(l.ctx, increment, applock.With(applock.Shared(name).NoWait())), applock.ErrTimeout)
		l.watch.do("select pg_advisory_unlock(" + expression + ")")
	}
}

// TestPlainSQLAndUpdate has plain SQL meet an Update as documented: the key
// shared, and the pair of its halves exclusively.
func TestPlainSQLAndUpdate(t *testing.T) {
	l := newLab(t)
	for _, name := range []string{"a", "tenant:42", "negative halves 3"} {
		unit := l.hold(l.pool(1, ""), applock.With(applock.Update(name)))
		key := postgres.Key(name)
		l.watch.wants(fmt.Sprintf("select pg_try_advisory_lock(%d,%d)", int32(key>>32), int32(key)), "f")
		l.watch.wants(fmt.Sprintf("select pg_try_advisory_lock('%d'::bigint)", key), "f")
		l.watch.wants(fmt.Sprintf("select pg_try_advisory_lock_shared('%d'::bigint)", key), "t")
		l.watch.do("select pg_advisory_unlock_all()")
		l.commit(unit)
	}
}

// TestLocksNeedNoRights uses a role that may create nothing, and looks that
// nothing was created.
func TestLocksNeedNoRights(t *testing.T) {
	l := newLab(t)
	const objects = "select (select count(*) from pg_class)+(select count(*) from pg_proc)+(select count(*) from pg_namespace)"
	before := l.watch.do(objects)
	role := "lockstep_guest_" + l.watch.do("select current_database()")[len("lockstep_"):]
	l.watch.do("create role " + role + " login password 'guest'; revoke all on schema public from public; grant usage on schema public to " + role +
		"; grant select, update on item to " + role + "; do $$ begin execute format('revoke all on database %I from public; grant connect on database %I to " +
		role + "', current_database(), current_database()); end $$")
	t.Cleanup(func() { l.watch.do("drop owned by " + role + "; drop role " + role) })
	l.dsn = withUser(t, l.dsn, role, "guest")
	m := l.pool(3, "")
	for _, level := range anyLevel {
		for _, lock := range []applock.Lock{applock.Shared("a"), applock.Update("a"), exclusive, exclusive.Wait(time.Second), exclusive.NoWait()} {
			l.check(m.Do(l.ctx, increment, applock.With(lock), uow.Isolation(level)))
		}
	}
	unit := l.hold(m, uow.Label("holder"))
	l.check(applock.Acquire(l.ctx, unit.UnitOfWork, exclusive, applock.Update("b")))
	status, err := applock.Inspect(l.ctx, m, "a")
	l.check(err)
	if len(status[0].Holders) != 1 || status[0].Holders[0].Label != "holder" {
		t.Errorf("a plain role sees %+v", status)
	}
	l.commit(unit)
	l.watch.wants(objects, before)
}

func withUser(t *testing.T, dsn, user, password string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(user, password)
	return u.String()
}

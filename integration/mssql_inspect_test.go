package integration

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/dialect/mssql"
	"github.com/lockstep-go/lockstep/uow"
)

// ordinary returns the DSN of a login with no rights but those of the database.
func (l *mssqlLab) ordinary() string {
	l.Helper()
	name, password := l.ask(l.watch, "select db_name()"), "Only-4-tests!"
	for _, statement := range []string{
		"create login " + name + " with password = '" + password + "'",
		"create user " + name + " for login " + name,
		"grant select, insert, update, delete to " + name,
	} {
		if _, err := l.watch.ExecContext(l.ctx, statement); err != nil {
			if strings.HasPrefix(statement, "grant") {
				continue // the simulator has no rights within a database
			}
			l.Skipf("no login can be made: %v", err)
		}
	}
	return l.as(func(u *url.URL, _ url.Values) { u.User = url.UserPassword(name, password) })
}

// TestMSSQLWithoutPermission has a login that may not see the server's state.
func TestMSSQLWithoutPermission(t *testing.T) {
	l := newMSSQLLab(t)
	plain := &mssqlLab{T: l.T, dsn: l.ordinary(), ctx: l.ctx, watch: l.watch}
	l.begin(l.pool(1), lockA, uow.Label("elsewhere"))
	m := plain.pool(1)
	_, err := applock.Inspect(l.ctx, m, "a")
	l.wantIs(err, applock.ErrUnsupported)
	if err == nil || !strings.Contains(err.Error(), "VIEW SERVER STATE") {
		t.Errorf("error %v, want one that names the permission", err)
	}
	l.wantNobody(m.Do(l.ctx, nothing, applock.With(exclusive.NoWait())))
	l.check(m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		l.check(exec("insert into item values (4,4)")(ctx, u))
		l.wantNobody(applock.Acquire(ctx, u, applock.Exclusive("b"), exclusive.NoWait()))
		err := m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			l.wantNobody(applock.Acquire(ctx, u, exclusive.Wait(shortWait)))
			return exec("insert into item values (5,5)")(ctx, u)
		}, uow.Nested())
		l.check(err)
		l.wantAbort(ctx, u, abortOn)
		return exec("insert into item values (6,6)")(ctx, u)
	}))
	l.wants(l.watch, "select count(*) from item", "6")
}

// wantNobody checks a timeout that cannot tell who holds the lock.
func (l *mssqlLab) wantNobody(err error) {
	l.Helper()
	l.wantIs(err, applock.ErrTimeout)
	var timeout *applock.TimeoutError
	if !errors.As(err, &timeout) || len(timeout.Holders) != 0 {
		l.Errorf("error %v, want a timeout without holders", err)
	}
}

// TestMSSQLNamesThatBeginAlike has names of which the server shows the same.
func TestMSSQLNamesThatBeginAlike(t *testing.T) {
	l := newMSSQLLab(t)
	m, head := l.pool(2), strings.Repeat("x", 32)
	one := l.begin(m, applock.With(applock.Exclusive(head+"1")), uow.Label("one"))
	l.wantHolder(m, head+"1", "one")
	other := l.begin(l.pool(1), applock.With(applock.Shared(head+"2")), uow.Label("other"))
	_, err := applock.Inspect(l.ctx, m, head+"1")
	l.wantIs(err, applock.ErrUnsupported)
	l.wantNobody(l.pool(1).Do(l.ctx, nothing, applock.With(applock.Exclusive(head+"2").NoWait())))
	all, err := applock.Inspect(l.ctx, m)
	l.check(err)
	if len(all) != 2 || all[0].Key != head || all[1].Key != head {
		t.Errorf("locks %+v", all)
	}
	l.check(one.Commit(l.ctx))
	l.wantHolder(m, head+"2", "other")
	l.check(other.Commit(l.ctx))
}

func (l *mssqlLab) wantHolder(m *uow.Manager, name, label string) {
	l.Helper()
	all, err := applock.Inspect(l.ctx, m, name)
	l.check(err)
	if len(all) != 1 || len(all[0].Holders) != 1 || all[0].Holders[0].Label != label {
		l.Errorf("%.40s: %+v, want holder %s", name, all, label)
	}
}

// TestMSSQLForeignHolders has locks of other programs: in modes that the library
// does not have, owned by a session, and beside a label that is none.
func TestMSSQLForeignHolders(t *testing.T) {
	l := newMSSQLLab(t)
	conn, err := l.watch.Connx(l.ctx)
	l.check(err)
	defer conn.Close()
	for _, statement := range []string{
		"set context_info 0x00ff01",
		"exec sp_getapplock 'a', 'IntentShared', 'Session', 0",
		"exec sp_getapplock 'b', 'IntentExclusive', 'Session', 0",
	} {
		l.check(drop(conn.ExecContext(l.ctx, statement)))
	}
	all, err := applock.Inspect(l.ctx, l.pool(1), "a", "b", "c")
	l.check(err)
	if len(all) != 3 || len(all[0].Holders) != 1 || len(all[1].Holders) != 1 || len(all[2].Holders) != 0 ||
		all[0].Holders[0].Mode != applock.ModeShared || all[1].Holders[0].Mode != applock.ModeExclusive {
		t.Errorf("locks %+v", all)
	}
	l.check(drop(conn.ExecContext(l.ctx, "exec sp_releaseapplock 'a', 'Session'; exec sp_releaseapplock 'b', 'Session'")))
}

// TestMSSQLConversionShown has a holder that waits to strengthen its lock.
func TestMSSQLConversionShown(t *testing.T) {
	l := newMSSQLLab(t)
	one := l.begin(l.pool(1), applock.With(applock.Shared("a")))
	other := l.begin(l.pool(1), applock.With(applock.Shared("a")))
	done := l.start(func() error { return applock.Acquire(l.ctx, one.UnitOfWork, exclusive) })
	l.until(mssqlWaiting, "1")
	all, err := applock.Inspect(l.ctx, l.pool(1), "a")
	l.check(err)
	if len(all[0].Holders) != 2 || len(all[0].Waiters) != 1 || all[0].Waiters[0].Mode != applock.ModeExclusive {
		t.Errorf("locks %+v", all)
	}
	l.check(other.Commit(l.ctx))
	l.check(l.ended(done))
	l.check(one.Commit(l.ctx))
}

// TestMSSQLForeignPool has a database that was opened without the library.
func TestMSSQLForeignPool(t *testing.T) {
	l := newMSSQLLab(t)
	m := uow.New(l.watch, mssql.Dialect())
	l.wantIs(m.Do(l.ctx, exec(leak)), dialect.Unsupported)
	l.wantIs(m.Do(l.ctx, nothing, lockA), applock.ErrUnsupported)
	_, err := applock.Inspect(l.ctx, m, "a")
	l.wantIs(err, applock.ErrUnsupported)
	l.wants(l.watch, "select count(*) from item", "3")
}

// TestMSSQLReadOnlyDatabase stands for a secondary replica: its locks exclude
// nobody elsewhere, and none stays held.
func TestMSSQLReadOnlyDatabase(t *testing.T) {
	l := newMSSQLLab(t)
	name := l.ask(l.watch, "select db_name()")
	l.check(l.watch.Close())
	server, err := sqlx.Open("sqlserver", l.as(func(_ *url.URL, q url.Values) { q.Del("database") }))
	l.check(err)
	defer server.Close()
	l.check(drop(server.ExecContext(l.ctx, "alter database "+name+" set read_only with rollback immediate")))
	defer func() {
		l.check(drop(server.ExecContext(context.WithoutCancel(l.ctx), "alter database "+name+" set read_write with rollback immediate")))
	}()
	m, other := l.pool(1), l.db(1, "")
	l.wantIs(m.Do(l.ctx, nothing, lockA), applock.ErrUnsupported)
	l.check(m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		l.wantIs(applock.Acquire(ctx, u, exclusive), applock.ErrUnsupported)
		l.wants(u, "select applock_mode('public', 'a', 'Transaction')", "NoLock")
		l.wants(other, mssqlHeld, "0")
		return get("select n from item")(ctx, u)
	}))
	l.wantIs(m.Do(l.ctx, exec(leak)), dialect.ReadOnly)
	l.check(errors.Join(m.DB().Close(), other.Close()))
}

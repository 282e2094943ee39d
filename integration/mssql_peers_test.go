package integration

import (
	"context"
	"errors"
	"testing"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/uow"
)

// What docs/coming-from.md says of lock managers on SQL Server.

// A lock that another program's session owns keeps units out, and they it.
func TestMSSQLSessionLockOfOthersExcludes(t *testing.T) {
	l := newMSSQLLab(t)
	conn, err := l.watch.Connx(l.ctx)
	l.check(err)
	defer conn.Close()
	const take = "declare @s int; exec @s = sp_getapplock @Resource = 'tenant:42', @LockMode = 'Exclusive', @LockOwner = 'Session', @LockTimeout = 0; select @s"
	var status int
	l.check(conn.GetContext(l.ctx, &status, take))
	m, lock := l.pool(2), applock.Exclusive("tenant:42").NoWait()
	nothing := func(context.Context, *uow.UnitOfWork) error { return nil }
	if err := m.Do(l.ctx, nothing, applock.With(lock)); status != 0 || !errors.Is(err, applock.ErrTimeout) {
		t.Errorf("status %d; the unit got %v, want a timeout", status, err)
	}
	l.check(drop(conn.ExecContext(l.ctx, "exec sp_releaseapplock 'tenant:42', 'Session'")))
	l.check(m.Do(l.ctx, func(context.Context, *uow.UnitOfWork) error {
		l.check(conn.GetContext(l.ctx, &status, take))
		if status != -1 {
			t.Errorf("while a unit holds the lock the status is %d, want -1", status)
		}
		return nil
	}, applock.With(lock)))
}

// A lock of the transaction that is released before the commit lets the next
// one in while the work is not committed.
func TestMSSQLReleaseBeforeCommit(t *testing.T) {
	l := newMSSQLLab(t)
	conn, err := l.watch.Connx(l.ctx)
	l.check(err)
	defer conn.Close()
	l.check(drop(conn.ExecContext(l.ctx, "create table work (id int)")))
	l.check(drop(conn.ExecContext(l.ctx, "begin tran; exec sp_getapplock 'a', 'Exclusive', 'Transaction', 0; insert into work values (1); exec sp_releaseapplock 'a', 'Transaction'")))
	l.check(l.pool(2).Do(l.ctx, func(_ context.Context, u *uow.UnitOfWork) error {
		var open int
		l.check(conn.GetContext(l.ctx, &open, "select @@trancount"))
		if open != 1 {
			t.Errorf("%d transactions are open, want that of the work", open)
		}
		return nil
	}, applock.With(applock.Exclusive("a").NoWait())))
	l.check(drop(conn.ExecContext(l.ctx, "rollback")))
}

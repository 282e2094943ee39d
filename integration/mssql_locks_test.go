package integration

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	mssqldb "github.com/microsoft/go-mssqldb"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/dialect/mssql"
	"github.com/lockstep-go/lockstep/uow"
)

// lockStatus asks for a lock of the transaction and selects what the procedure
// returned, to fail if the server has raised an error.
func lockStatus(resource, mode, timeout string) string {
	return "declare @r int; exec @r = sp_getapplock @Resource = " + resource + ", @LockMode = '" + mode +
		"', @LockOwner = 'Transaction', @LockTimeout = " + timeout + "; select @r"
}

// TestMSSQLFactStatuses pins what the dialect relies on: none of these is an
// error to the server, or to the driver.
func TestMSSQLFactStatuses(t *testing.T) {
	l := newMSSQLLab(t)
	l.begin(l.pool(1), lockA)
	tx, err := l.watch.BeginTxx(l.ctx, nil)
	l.check(err)
	defer tx.Rollback()
	l.wants(l.watch, lockStatus("'free'", "Exclusive", "0"), "-999") // INFO 15626: no transaction
	l.wants(tx, lockStatus("'free'", "Strong", "0"), "-999")         // INFO 15625: no such mode
	l.wants(tx, lockStatus("'free'", "Exclusive", "0"), "0")
	l.wants(tx, lockStatus("'a'", "Exclusive", "0"), "-1")
	l.wants(tx, "select @@TRANCOUNT", "1")
	l.wants(tx, "select applock_mode('public', 'free', 'Transaction')", "Exclusive")
}

// TestMSSQLFactBadCalls pins the calls that are errors: the library makes none.
func TestMSSQLFactBadCalls(t *testing.T) {
	l := newMSSQLLab(t)
	for call, want := range map[string]int32{
		"exec sp_getapplock 'a', 'Exclusive', 'Transaction', -2":               1227,
		"exec sp_getapplock null, 'Exclusive', 'Transaction', 0":               1224,
		"exec sp_getapplock 'a', 'Exclusive', 'Transaction', 0, null":          1230,
		"exec sp_getapplock 'a', 'Exclusive', 'Transaction', 0, 'nobody here'": 1202,
		"exec sp_releaseapplock 'not held', 'Transaction'":                     1223,
	} {
		tx, err := l.watch.BeginTxx(l.ctx, nil)
		l.check(err)
		_, err = tx.ExecContext(l.ctx, call)
		var answer mssqldb.Error
		if !errors.As(err, &answer) || answer.Number != want {
			t.Errorf("%s: %v, want error %d", call, err, want)
		}
		l.check(tx.Rollback())
	}
}

// wantNoAnswer reports an error of the server within err: a status alone has told.
func (l *mssqlLab) wantNoAnswer(err error) {
	l.Helper()
	var answer mssqldb.Error
	if errors.As(err, &answer) {
		l.Errorf("the server raised %v", answer)
	}
}

func TestMSSQLTimeoutIsAStatus(t *testing.T) {
	l := newMSSQLLab(t)
	l.begin(l.pool(1), lockA)
	m := l.pool(1)
	err := m.Do(l.ctx, nothing, applock.With(exclusive.NoWait()))
	l.wantIs(err, applock.ErrTimeout)
	l.wantNoAnswer(err)
	l.check(m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		l.check(exec("insert into item values (4,4)")(ctx, u))
		err := applock.Acquire(ctx, u, exclusive.Wait(shortWait))
		l.wantIs(err, applock.ErrTimeout)
		l.wantNoAnswer(err)
		return exec("insert into item values (5,5)")(ctx, u)
	}))
	l.wants(l.watch, "select count(*) from item", "5")
}

// TestMSSQLDeadlockIsAStatus has two units that strengthen a lock they share.
// The victim's transaction stays open, and the other waits, until it is rolled
// back.
func TestMSSQLDeadlockIsAStatus(t *testing.T) {
	l := newMSSQLLab(t)
	shared := applock.With(applock.Shared("a"))
	units := []*uow.Scope{l.begin(l.pool(1), shared), l.begin(l.pool(1), shared)}
	outcomes := make(chan error, 2)
	for _, u := range units {
		go func() {
			if err := applock.Acquire(l.ctx, u.UnitOfWork, exclusive); err != nil {
				outcomes <- errors.Join(err, u.Close())
				return
			}
			outcomes <- u.Commit(l.ctx)
		}()
	}
	victim, survivor := l.ended(outcomes), l.ended(outcomes)
	if victim == nil { // it tells only after it has let the other go on
		victim, survivor = survivor, victim
	}
	l.check(survivor)
	l.wantIs(victim, applock.ErrDeadlock)
	l.wantNoAnswer(victim)
	l.wants(l.watch, mssqlHeld, "0")
}

// TestMSSQLOnGrant has the server tell a lock that was waited for from one that
// was free.
func TestMSSQLOnGrant(t *testing.T) {
	l := newMSSQLLab(t)
	var told []string
	m := l.pool(1, mssql.OnGrant(func(lock dialect.Lock, waited bool) {
		if waited {
			lock.Name += " after a wait"
		}
		told = append(told, lock.Name)
	}))
	holder := l.begin(l.pool(1), applock.With(applock.Exclusive("b")))
	done := l.start(func() error {
		return m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			l.wantIs(applock.Acquire(ctx, u, applock.Exclusive("d"), applock.Exclusive("z").NoWait()), applock.ErrTimeout)
			return applock.Acquire(ctx, u, applock.Shared("e"))
		}, applock.With(exclusive, applock.Exclusive("b"), applock.Update("c")))
	})
	l.until(mssqlWaiting, "1")
	other := l.begin(l.pool(1), applock.With(applock.Exclusive("z")))
	l.check(holder.Commit(l.ctx))
	l.check(l.ended(done))
	l.check(other.Commit(l.ctx))
	if got := strings.Join(told, ", "); got != "a, b after a wait, c, d, e" {
		t.Errorf("granted: %s", got)
	}
}

// TestMSSQLRefusedSetLeavesTheRest has a set of which the last is refused: what
// was new is given back, what was held before is still held.
func TestMSSQLRefusedSetLeavesTheRest(t *testing.T) {
	l := newMSSQLLab(t)
	l.begin(l.pool(1), applock.With(applock.Exclusive("z")))
	other := l.pool(1)
	l.check(l.pool(1).Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		err := applock.Acquire(ctx, u, applock.Update("a"), applock.Exclusive("b"), applock.Exclusive("z").NoWait())
		l.wantIs(err, applock.ErrTimeout)
		if mode, _ := applock.Held(u, "a"); mode != applock.ModeShared {
			t.Errorf("held: %v", mode)
		}
		l.wants(u, "select applock_mode('public', 'b', 'Transaction')", "NoLock")
		if l.ask(u, "select applock_mode('public', 'a', 'Transaction')") == "NoLock" {
			t.Error("the lock that was held before is lost")
		}
		l.check(other.Do(ctx, nothing, applock.With(applock.Exclusive("b").NoWait())))
		l.wantIs(other.Do(ctx, nothing, applock.With(applock.Exclusive("a").NoWait())), applock.ErrTimeout)
		return nil
	}, applock.With(applock.Shared("a"))))
	l.check(other.Do(l.ctx, nothing, applock.With(applock.Exclusive("a").NoWait(), applock.Exclusive("b").NoWait())))
}

// TestMSSQLLimitIsOfTheCall has a limit that has passed while another lock of
// the set was waited for: nothing is left of it for the next.
func TestMSSQLLimitIsOfTheCall(t *testing.T) {
	l := newMSSQLLab(t)
	first := l.begin(l.pool(1), lockA)
	l.begin(l.pool(1), applock.With(applock.Exclusive("b")))
	u := l.begin(l.pool(1))
	session := l.spid(u)
	done := l.start(func() error {
		return applock.Acquire(l.ctx, u.UnitOfWork, exclusive, applock.Exclusive("b").Wait(50*time.Millisecond))
	})
	l.until("select count(*) from sys.dm_os_waiting_tasks where wait_duration_ms > 50 and resource_description like 'applicationlock%' and session_id = "+
		session, "1")
	l.check(first.Commit(l.ctx))
	err := l.ended(done)
	l.wantIs(err, applock.ErrTimeout)
	var timeout *applock.TimeoutError
	if !errors.As(err, &timeout) || timeout.Lock.Name() != "b" {
		t.Errorf("error %v, want a timeout of b", err)
	}
	l.check(u.Commit(l.ctx))
}

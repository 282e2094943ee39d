//go:build unix

package peers

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect/postgres"
	"github.com/lockstep-go/lockstep/uow"
)

// UpgradeByHand locks on whatever connection the pool gives it, works on the same
// or another, and unlocks on whatever it gets then.
func UpgradeByHand(ctx context.Context, db *sqlx.DB, work func(*sqlx.Tx) error) error {
	if _, err := db.ExecContext(ctx, "select pg_advisory_lock(42)"); err != nil {
		return err
	}
	defer db.ExecContext(context.WithoutCancel(ctx), "select pg_advisory_unlock(42)")
	tx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := work(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// UpgradeInUnit has the lock in the transaction of the work.
func UpgradeInUnit(ctx context.Context, m *uow.Manager, work uow.Func) error {
	return m.Do(ctx, work, applock.With(applock.Exclusive("tenant:42:upgrade")))
}

// In a busy pool another request gets the connection with the lock as soon as
// the transaction has ended, and the unlock goes to the next one.
func TestByHandUnlockMissesItsConnection(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	db := s.open()
	db.SetMaxOpenConns(2)
	release, released := make(chan struct{}), make(chan error, 1)
	err := UpgradeByHand(t.Context(), db, func(*sqlx.Tx) error {
		other, err := db.Connx(t.Context())
		if err != nil {
			return err
		}
		go func() { // waits for a connection, and gets that of the transaction
			request, err := db.Connx(t.Context())
			if err == nil {
				err = other.Close() // on which the unlock is sent
				<-release
				err = errors.Join(err, request.Close())
			}
			released <- err
		}()
		eventually(t, "a request waits for a connection", func() bool { return db.Stats().WaitCount == 1 })
		return nil
	})
	if err != nil {
		t.Errorf("by hand: %v", err)
	}
	if n := s.advisoryLocks(); n != 1 {
		t.Errorf("by hand %d locks are left, want the one that nobody holds any more", n)
	}
	close(release)
	if err := <-released; err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil { // ends the sessions
		t.Error(err)
	}
	eventually(t, "the lock ends with its session", func() bool { return s.advisoryLocks() == 0 })

	err = UpgradeInUnit(t.Context(), s.manager(), func(context.Context, *uow.UnitOfWork) error {
		if n := s.advisoryLocks(); n != 1 {
			t.Errorf("in a unit %d locks are held", n)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if n := s.advisoryLocks(); n != 0 {
		t.Errorf("after a unit %d locks are left", n)
	}
}

// Close gives the connection back to the pool, with its session and the
// session's locks.
func TestSessionLockOutlivesClose(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	conn, err := s.open().Connx(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), "select pg_advisory_lock(42)"); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if n := s.count("select case when pg_try_advisory_lock(42) then 1 else 0 end"); n != 0 {
		t.Error("the lock ended with Close")
	}
}

// An unlock that another connection of the pool gets is answered by false, which
// is no error.
func TestUnlockOnAnotherConnectionUnlocksNothing(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	db := s.open()
	holder, err := db.Connx(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close() // in use by somebody while the unlock is sent
	if _, err := holder.ExecContext(t.Context(), "select pg_advisory_lock(42)"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "select pg_advisory_unlock(42)"); err != nil {
		t.Errorf("the unlock failed: %v", err)
	}
	if n := s.advisoryLocks(); n != 1 {
		t.Errorf("%d locks are held, want the one that was not unlocked", n)
	}
}

// database/sql rolls back as soon as the ctx of a transaction ends. The function
// still runs, and another gets the lock meanwhile.
func TestCancelFreesTheLockUnderARunningFunction(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tx, err := s.open().BeginTxx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, "select pg_advisory_xact_lock(42)"); err != nil {
		t.Fatal(err)
	}
	cancel()
	eventually(t, "by hand the lock is free while the function runs", func() bool { return s.advisoryLocks() == 0 })
}

// A unit's lock lasts until its function has returned.
func TestUnitKeepsTheLockUntilItsFunctionReturns(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := UpgradeInUnit(ctx, s.manager(), func(context.Context, *uow.UnitOfWork) error {
		cancel()
		other := applock.Exclusive("tenant:42:upgrade").NoWait()
		err := s.manager().Do(t.Context(), func(context.Context, *uow.UnitOfWork) error { return nil }, applock.With(other))
		if !errors.Is(err, applock.ErrTimeout) {
			t.Errorf("another got the lock: %v", err)
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// hashtext and the like have 32 bits: with 200,000 names some are the same.
func TestKeysOf32BitsCollide(t *testing.T) {
	t.Parallel()
	const names = 200_000
	s := newServer(t)
	different := s.count("select count(distinct hashtext('tenant:' || n || ':upgrade')) from generate_series(1, $1) n", names)
	if different == names {
		t.Error("all keys of 32 bits are different")
	}
	keys := make(map[int64]bool, names)
	for n := range names {
		keys[postgres.Key(fmt.Sprintf("tenant:%d:upgrade", n+1))] = true
	}
	if len(keys) != names {
		t.Errorf("%d keys of 64 bits are the same", names-len(keys))
	}
}

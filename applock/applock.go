package applock

import (
	"context"
	"errors"
	"fmt"

	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/uow"
)

// With declares locks for a unit: they are held before its first statement,
// and before its function is called. All are taken in one call in an order of
// their own. Do and Begin return the error when one is not granted, and nothing
// is held or open then.
//
// On a unit that joins or nests in an open one they are acquired there and
// then, as by Acquire.
func With(locks ...Lock) uow.Option {
	return uow.Locks(lockSet(locks))
}

// Acquire takes locks in an open unit, all or none. It waits in the server's
// queue; ctx governs the wait. A lock that the unit holds in the same or a
// stronger mode is granted without asking the server.
//
// When a lock is not granted the unit stays usable and every setting of its
// session is as it was: *TimeoutError, ErrSnapshotTaken, or the cause of ctx. A
// deadlock alone dooms the unit, with ErrDeadlock.
func Acquire(ctx context.Context, u *uow.UnitOfWork, locks ...Lock) error {
	set := lockSet(locks)
	if set.Err == nil && u == nil {
		set.Err = fmt.Errorf("%w: nil unit of work", ErrInvalid)
	}
	if set.Err != nil {
		return set.Err
	}
	return u.AcquireLocks(ctx, set)
}

// TryAcquire is Acquire that does not wait for locks without a Wait of their
// own, and reports false, with no error, when one is not granted; none of locks
// is held then that was not held before.
func TryAcquire(ctx context.Context, u *uow.UnitOfWork, locks ...Lock) (bool, error) {
	tries := make([]Lock, len(locks))
	for i, l := range locks {
		tries[i] = l
		if l.limit == 0 {
			tries[i] = l.NoWait()
		}
	}
	err := Acquire(ctx, u, tries...)
	var timeout *TimeoutError
	if errors.As(err, &timeout) {
		return false, nil
	}
	return err == nil, err
}

// Held returns the strongest mode in which the unit holds the named lock, and
// whether it holds it at all. It does not ask the server.
func Held(u *uow.UnitOfWork, name string) (Mode, bool) {
	if u == nil {
		return 0, false
	}
	return u.HeldLock(name)
}

// Inspect tells who holds and who waits for the named locks, one Status a name
// in the order given. Without names it returns every lock of the database that
// the server shows; those have a Key but no Name, for servers know only keys. It
// uses a connection of the pool and sees what the role may see.
func Inspect(ctx context.Context, m *uow.Manager, names ...string) ([]Status, error) {
	for _, name := range names {
		if err := checkName(name); err != nil {
			return nil, err
		}
	}
	return m.Inspect(ctx, names...)
}

func lockSet(locks []Lock) uow.LockSet {
	if len(locks) == 0 {
		return uow.LockSet{Err: fmt.Errorf("%w: no locks", ErrInvalid)}
	}
	set := uow.LockSet{Locks: make([]dialect.Lock, len(locks)), Explain: explain}
	for i, l := range locks {
		set.Locks[i], set.Err = l.request()
		if set.Err != nil {
			break
		}
	}
	return set
}

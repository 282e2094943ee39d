package applock

import (
	"context"
	"fmt"

	"github.com/lockstep-go/lockstep/uow"
)

// Hold runs fn while it holds locks, for work outside the database that must not
// run twice at once: a deployment, a job, a call to another system. fn's own
// writes are units of their own and survive the loss of the lock; work that can
// be in one transaction with its lock belongs into a unit with With instead.
//
// The locks are held by a transaction on a connection of its own that never
// writes and holds no snapshot, so that it keeps back neither vacuum nor
// replication. Waiters poll in short transactions: a statement that waited in
// the server's queue would hold a snapshot, for which a CREATE INDEX
// CONCURRENTLY in fn would wait. They stand in line within this process; those
// of others are served in no order. A poll may find the lock up to half a second
// after it became free.
//
// The connection is watched (see uow.Watch). When it ends, or nothing is heard
// from the server for too long, fn's ctx is cancelled with a *LostError as its
// cause. Hold returns once fn has returned. It returns
//   - nil when fn returned nil and the locks were held until then;
//   - a *LostError, which matches ErrLost, joined with fn's error, when they
//     were not;
//   - fn's error;
//   - *TimeoutError, the cause of ctx, or what else kept the locks from being
//     granted; fn was not called then.
//
// The locks are freed when fn returns, panics or ends its goroutine. ctx governs
// the wait and is the parent of fn's; its end does not free the locks before fn
// has returned. A unit begun in fn that asks for one of the locks gets
// ErrDeadlock, not an endless wait. Of the Manager's default options those of
// label, time and watching apply.
func Hold(ctx context.Context, m *uow.Manager, fn func(context.Context) error, locks ...Lock) error {
	set := lockSet(locks)
	set.Lost = func(err error) error { return &LostError{Locks: locks, err: err} }
	return m.HoldLocks(ctx, set, fn)
}

// LostError is returned by Hold, and the cause of the ctx of its function, when
// the locks were lost before the function had returned: others may have held
// them since. It matches ErrLost.
type LostError struct {
	Locks []Lock
	err   error
}

// Error names the locks and what is known of the loss.
func (e *LostError) Error() string {
	return fmt.Sprintf("applock: lost %v: %v", e.Locks, e.err)
}

// Unwrap returns what is known of the loss, which is ErrLost.
func (e *LostError) Unwrap() error { return e.err }

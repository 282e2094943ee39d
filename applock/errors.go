package applock

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/uow"
)

// ErrName is returned for a name that is empty, not valid UTF-8, or holds a
// NUL. Nothing was sent.
var ErrName = errors.New("applock: invalid lock name")

// ErrInvalid is returned for other arguments that can never work, such as a
// negative wait. Nothing was sent. It is uow.ErrInvalid.
var ErrInvalid = uow.ErrInvalid

// These errors come from the server, wrapped; errors.Is asks for them.
var (
	// ErrTimeout is returned, within a *TimeoutError, when a lock was not
	// granted in time, or not at once when asked so.
	ErrTimeout error = dialect.LockTimeout

	// ErrDeadlock is returned when the server failed this request to end a
	// deadlock, and when a unit asks for a lock that a unit around it holds. The
	// unit can only be rolled back; running the outermost one again may succeed.
	ErrDeadlock error = dialect.Deadlock

	// ErrLost is returned when the connection ended, and the lock with it.
	ErrLost error = dialect.ConnectionLost

	// ErrSnapshotTaken is returned by Acquire in a unit whose isolation reads
	// from one snapshot: what it reads would be older than the lock. Declare the
	// lock by With. The unit stays usable.
	ErrSnapshotTaken error = dialect.SnapshotTaken

	// ErrUnsupported is returned when the database, or what stands before it,
	// cannot hold such a lock safely.
	ErrUnsupported error = dialect.Unsupported
)

// TimeoutError is returned when a lock was not granted in time, or not at once
// when asked so. It matches ErrTimeout. A unit that waited in Acquire stays
// usable.
type TimeoutError struct {
	Lock    Lock
	Waited  time.Duration
	Holders []Session // who held it, as far as the server told; they may have ended since
	err     error
}

// Error names the lock, the wait and the holders.
func (e *TimeoutError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "applock: %v not granted after %v", e.Lock, e.Waited.Round(time.Millisecond))
	for i, h := range e.Holders {
		if i == 0 {
			b.WriteString("; held by ")
		} else {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "session %s", h.ID)
		if h.Label != "" {
			fmt.Fprintf(&b, " (%s)", h.Label)
		}
	}
	return b.String()
}

// Unwrap returns ErrTimeout's kind with the driver's error.
func (e *TimeoutError) Unwrap() error { return e.err }

// explain gives the failure to get a lock its public form.
func explain(e *dialect.LockError) error {
	if !errors.Is(e.Err, dialect.LockTimeout) {
		return fmt.Errorf("applock: %w", e)
	}
	return &TimeoutError{Lock: lock(e.Lock), Waited: e.Waited, Holders: e.Holders, err: e.Err}
}

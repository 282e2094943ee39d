package uow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lockstep-go/lockstep/dialect"
)

var (
	// ErrDone is returned when a unit or scope is used after its end. Nothing
	// is sent, and never to the pool instead.
	ErrDone = errors.New("uow: unit of work has ended")

	// ErrConcurrentUse is returned when a unit is used while another goroutine
	// is using it. Nothing of the refused call is sent. A unit owns one
	// connection, which serves one goroutine at a time.
	ErrConcurrentUse = errors.New("uow: unit of work used by two goroutines at once")

	// ErrNoUnit is returned by Mandatory when ctx carries no open unit of the
	// Manager.
	ErrNoUnit = errors.New("uow: no unit of work in context")

	// ErrUnitActive is returned by Never when ctx carries an open unit of the
	// Manager.
	ErrUnitActive = errors.New("uow: a unit of work is active in context")

	// ErrNoManager is returned by the package-level Do when ctx carries no
	// Manager, and by every method of a nil *Manager.
	ErrNoManager = errors.New("uow: no manager")

	// ErrInvalid is returned for an argument that can never work: a nil
	// database, dialect or function, an option out of range.
	ErrInvalid = errors.New("uow: invalid argument")

	// ErrOptionConflict is returned for options that contradict each other, and
	// for options that a unit already open cannot meet.
	ErrOptionConflict = errors.New("uow: conflicting options")

	// ErrRollbackOnly is returned when a unit is used that can only be rolled
	// back. It wraps the cause. Nothing is sent.
	ErrRollbackOnly = errors.New("uow: unit of work can only be rolled back")

	// ErrRowsOpen is returned when a unit is used, or committed, while rows of
	// an earlier query have been neither read to their end nor closed.
	ErrRowsOpen = errors.New("uow: rows of an earlier query are still open")

	// ErrScopeOrder is returned when a scope is ended while a scope opened after
	// it is still open. Nothing was done: end the inner one first.
	ErrScopeOrder = errors.New("uow: a scope opened later is still open")

	// ErrScopeOpen is returned when a unit ends while a scope inside it is
	// open. The unit is rolled back.
	ErrScopeOpen = errors.New("uow: a scope was left open")

	// ErrPoolExhausted is returned when a unit needs a connection of a pool
	// whose every connection is held by a unit that waits for another one.
	ErrPoolExhausted = errors.New("uow: every connection of the pool is held by an enclosing unit of work")

	// ErrTransactionEnded is wrapped by the *InDoubtError of a unit whose
	// transaction was ended by a statement, such as COMMIT sent as SQL.
	ErrTransactionEnded = errors.New("uow: a statement ended the transaction")

	errUnwound = errors.New("uow: function panicked or called runtime.Goexit")
	errClosed  = errors.New("uow: scope closed without Commit")
	// errHoldLost marks the loss of locks that were held for work that must not
	// run twice.
	errHoldLost = errors.New("uow: while the lock was held")
	// errHeldAround is a deadlock that running the unit again only repeats.
	errHeldAround = errors.New("uow: held by the enclosing unit of work, which waits for this one")
	errLeaked     = errors.New("uow: scope was never closed")
	errInRows     = &dialect.Error{Kind: dialect.Aborted, Detail: "a statement failed while its rows were read"}
)

// UnexpectedRollbackError is returned in place of success when a unit or
// nested scope was rolled back although its function returned nil: an inner
// failure was swallowed, or the server answered COMMIT with a rollback.
type UnexpectedRollbackError struct {
	Cause error // what made it impossible to commit
}

// Error tells the cause.
func (e *UnexpectedRollbackError) Error() string {
	return fmt.Sprintf("uow: rolled back although the function succeeded: %v", e.Cause)
}

// Unwrap returns the cause.
func (e *UnexpectedRollbackError) Unwrap() error { return e.Cause }

// IsRetryable reports whether running the whole unit again may succeed: it met
// a serialization failure or a deadlock, or lost its connection before COMMIT
// was sent. It expects an error that came out of this package. An in-doubt
// unit is never retryable, nor is one whose ctx ended.
func IsRetryable(err error) bool {
	var doubt *InDoubtError
	var ended *endedError
	if err == nil || errors.As(err, &doubt) || errors.As(err, &ended) || errors.Is(err, errHeldAround) || errors.Is(err, errHoldLost) || dialect.IsLasting(err) {
		return false
	}
	for _, kind := range []dialect.Kind{dialect.Serialization, dialect.Deadlock, dialect.ConnectionLost} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// describe gives err its portable kind, if it has one that tells more than err
// itself, and the cause of ctx if that is why err came.
func describe(ctx context.Context, d dialect.Dialect, err error) error {
	var ended *endedError
	if err == nil || errors.As(err, &ended) {
		return err
	}
	kind := dialect.KindOf(err)
	if kind == dialect.Unknown {
		kind = d.Classify(err)
		if kind != dialect.Unknown && kind != dialect.Refused {
			err = &dialect.Error{Kind: kind, Err: err}
		}
	}
	return causeOf(ctx, err)
}

// causeOf adds the cause of ctx if that has ended.
func causeOf(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	// The driver keeps to the same deadline and may be the first to notice.
	if deadline, ok := ctx.Deadline(); cause == nil && ok && !time.Now().Before(deadline) {
		cause = context.DeadlineExceeded
	}
	if cause == nil || errors.Is(err, cause) && dialect.KindOf(err) == dialect.Unknown {
		return err
	}
	return &endedError{cause: cause, err: err}
}

// marked makes IsRetryable see what an error is that fn got from a driver's rows
// or prepared statement, which no method of the unit has seen. A lost connection
// is not told from the error alone: it may be another system's.
func (c *core) marked(err error) error {
	if err == nil || dialect.KindOf(err) != dialect.Unknown {
		return err
	}
	if kind := c.dialect.Classify(err); kind == dialect.Serialization || kind == dialect.Deadlock {
		return &dialect.Error{Kind: kind, Err: err}
	}
	return err
}

// endedError is a failure that came because a context ended.
type endedError struct {
	cause error
	err   error
}

func (e *endedError) Error() string   { return fmt.Sprintf("%v: %v", e.cause, e.err) }
func (e *endedError) Unwrap() []error { return []error{e.cause, e.err} }

// rollbackOnly is ErrRollbackOnly with its cause.
func rollbackOnly(cause error) error {
	return fmt.Errorf("%w: %w", ErrRollbackOnly, cause)
}

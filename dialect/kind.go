package dialect

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind is what an error means, on every engine alike. A Kind is itself an
// error, so that errors.Is(err, dialect.Deadlock) asks for it.
type Kind int

// The kinds of errors.
const (
	Unknown        Kind = iota // no meaning known; also every error that never reached the server
	Refused                    // the server refused a statement for a reason without a kind of its own
	Serialization              // the transaction lost against a concurrent one; run it again
	Deadlock                   // the transaction was chosen to end a deadlock; run it again
	LockTimeout                // a lock was not granted in time, or not at once when asked so
	Cancelled                  // the server ended a statement on the client's request or by its own time limit
	ConnectionLost             // the connection ended under way
	IdleTimeout                // the server ended the connection because the transaction was idle for too long; also ConnectionLost
	Unavailable                // no connection could be had; nothing was sent
	ReadOnly                   // a write was refused because the transaction or the database is read-only
	OutOfLocks                 // the server has no memory left for locks
	SnapshotTaken              // a lock was asked for after the transaction had fixed what it reads
	Unsupported                // the engine, or what stands before it, cannot do this safely
	Aborted                    // refused because an earlier statement of the transaction had failed
	NotCommitted               // the server answered COMMIT with a rollback
	Unresolvable               // the server cannot say what became of a transaction
)

var kindTexts = [...]string{
	Unknown:        "unknown error",
	Refused:        "refused by the server",
	Serialization:  "serialization failure",
	Deadlock:       "deadlock",
	LockTimeout:    "lock not granted in time",
	Cancelled:      "statement cancelled",
	ConnectionLost: "connection lost",
	IdleTimeout:    "connection ended by the server: transaction idle for too long",
	Unavailable:    "database unavailable",
	ReadOnly:       "read-only",
	OutOfLocks:     "server out of lock memory",
	SnapshotTaken:  "lock asked for after the snapshot was taken",
	Unsupported:    "unsupported",
	Aborted:        "transaction aborted by an earlier error",
	NotCommitted:   "COMMIT answered by ROLLBACK",
	Unresolvable:   "outcome cannot be resolved",
}

// Error returns the kind in words.
func (k Kind) Error() string {
	if k < 0 || int(k) >= len(kindTexts) {
		return "invalid kind"
	}
	return kindTexts[k]
}

// Is reports that an IdleTimeout is a ConnectionLost as well.
func (k Kind) Is(target error) bool {
	return k == IdleTimeout && target == ConnectionLost
}

// Error is an error of a known kind. errors.Is matches both its Kind and the
// driver's error.
type Error struct {
	Kind     Kind
	Err      error // the driver's error; nil when the dialect itself found the fault
	Detail   string
	Poisoned bool // the connection must not be used again
	Stale    bool // it was dead before anything of consequence was sent; another may serve
	Lasting  bool // to run the unit again would only repeat it
}

// Error returns the kind, the detail and the driver's error.
func (e *Error) Error() string {
	text := e.Kind.Error()
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	if e.Err == nil {
		return text
	}
	cause := e.Err.Error()
	if strings.HasPrefix(cause, text+": ") {
		return cause // of the same kind, and tells more
	}
	return text + ": " + cause
}

// Unwrap returns the kind and the driver's error.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// KindOf returns the kind of the first *Error in err's tree, Unknown if none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Unknown
}

// IsPoisoned reports whether err says that its connection must not be reused.
func IsPoisoned(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Poisoned
}

// IsStale reports whether err says that its connection was dead before anything
// of consequence was sent on it.
func IsStale(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Stale
}

// IsLasting reports whether err says that running the unit again only repeats it.
func IsLasting(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Lasting
}

// LockError is the failure to get one lock of a request. Err tells why.
type LockError struct {
	Lock    Lock
	Waited  time.Duration
	Holders []Session // who stood in the way, as far as the server told
	Err     error
}

// Error names the lock, how it was wanted, and the reason.
func (e *LockError) Error() string {
	return fmt.Sprintf("lock %q (%s): %v", e.Lock.Name, e.Lock.Mode, e.Err)
}

// Unwrap returns the reason.
func (e *LockError) Unwrap() error { return e.Err }

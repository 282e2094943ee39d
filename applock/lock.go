package applock

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lockstep-go/lockstep/dialect"
)

// Mode is how a lock shares with others; a greater mode is stronger.
type Mode = dialect.Mode

// The modes.
const (
	ModeShared    = dialect.Shared
	ModeUpdate    = dialect.Update
	ModeExclusive = dialect.Exclusive
)

// Session is a session of the server that holds or waits for a lock.
type Session = dialect.Session

// Status tells who holds and who waits for one lock.
type Status = dialect.LockStatus

// Lock is a request for a named lock. It is a value: NoWait and Wait return a
// changed copy. A name that cannot be one, or a negative wait, is reported by
// whoever uses the Lock.
type Lock struct {
	name string
	mode Mode
	// limit is the wait plus one, so that the zero value waits until ctx ends.
	limit time.Duration
}

// Exclusive asks for the lock alone.
func Exclusive(name string) Lock { return Lock{name: name, mode: ModeExclusive} }

// Shared asks for the lock together with other readers.
func Shared(name string) Lock { return Lock{name: name, mode: ModeShared} }

// Update asks for the lock together with readers, but with no other Update: for
// a reader that may ask for Exclusive later.
func Update(name string) Lock { return Lock{name: name, mode: ModeUpdate} }

// NoWait makes the request fail at once, with a *TimeoutError, when the lock is
// not free.
func (l Lock) NoWait() Lock { return l.Wait(0) }

// Wait bounds the wait for the lock, counted from the call that asks for it;
// after it the request fails with a *TimeoutError. 0 does not wait. Without
// Wait a request waits until its ctx ends. The limits that the session or the
// server set on lock waits and statements do not apply.
func (l Lock) Wait(d time.Duration) Lock {
	if d < 0 {
		d = invalidWait
	} else {
		d++
	}
	l.limit = d
	return l
}

const invalidWait = time.Duration(-1)

// Name returns the lock's name.
func (l Lock) Name() string { return l.name }

// Mode returns the lock's mode.
func (l Lock) Mode() Mode { return l.mode }

// String returns the mode and the quoted name.
func (l Lock) String() string { return fmt.Sprintf("%v %q", l.mode, l.name) }

// request turns l into the dialect's form, or tells what is wrong with it.
func (l Lock) request() (dialect.Lock, error) {
	if err := checkName(l.name); err != nil {
		return dialect.Lock{}, err
	}
	if l.mode < ModeShared || l.mode > ModeExclusive {
		return dialect.Lock{}, fmt.Errorf("%w: lock %q has no mode", ErrInvalid, l.name)
	}
	if l.limit == invalidWait {
		return dialect.Lock{}, fmt.Errorf("%w: negative wait for lock %q", ErrInvalid, l.name)
	}
	limit := dialect.Forever
	if l.limit > 0 {
		limit = l.limit - 1
	}
	return dialect.Lock{Name: l.name, Mode: l.mode, Limit: limit}, nil
}

// lock is the reverse of request.
func lock(r dialect.Lock) Lock {
	l := Lock{name: r.Name, mode: r.Mode}
	if r.Limit >= 0 {
		l.limit = r.Limit + 1
	}
	return l
}

func checkName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: empty", ErrName)
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: %q is not valid UTF-8", ErrName, name)
	case strings.ContainsRune(name, 0):
		return fmt.Errorf("%w: %q holds a NUL", ErrName, name)
	}
	return nil
}

package uow

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Option changes how one unit, or every unit of a Manager, is begun. Options
// are made by the functions of this package and by applock.With.
type Option interface {
	apply(*settings) error
}

type optionFunc func(*settings) error

func (f optionFunc) apply(s *settings) error { return f(s) }

type propagation int

const (
	required propagation = iota
	nested
	requiresNew
	mandatory
	never
)

// settings are resolved options. The flags tell what one list of options set,
// so that contradictions within a list are found and a later list may override.
type settings struct {
	propagation propagation
	isolation   sql.IsolationLevel
	readOnly    bool
	timeout     time.Duration
	label       string
	retry       *RetryPolicy
	locks       LockSet
	idle        bool // only holds locks
	watch       watch
	set         struct{ propagation, isolation, readOnly, timeout, label, retry bool }
}

// resolve applies opts over s and returns the result.
func (s settings) resolve(opts []Option) (settings, error) {
	s.set = struct{ propagation, isolation, readOnly, timeout, label, retry bool }{}
	for _, o := range opts {
		if o == nil {
			return s, fmt.Errorf("%w: nil option", ErrInvalid)
		}
		if err := o.apply(&s); err != nil {
			return s, err
		}
	}
	return s, nil
}

// once records that a list of options set one thing, and refuses a second,
// different value.
func once(set *bool, same bool, what string) error {
	if *set && !same {
		return fmt.Errorf("%w: %s given twice", ErrOptionConflict, what)
	}
	*set = true
	return nil
}

func propagate(p propagation) Option {
	return optionFunc(func(s *settings) error {
		if err := once(&s.set.propagation, s.propagation == p, "propagation"); err != nil {
			return err
		}
		s.propagation = p
		return nil
	})
}

// Required joins the open unit, or begins one. It is the default.
func Required() Option { return propagate(required) }

// Nested opens a savepoint in the open unit, or begins a unit. A failure inside
// undoes the work since the savepoint alone, and the locks taken since, and the
// enclosing unit may go on.
func Nested() Option { return propagate(nested) }

// RequiresNew begins a unit of its own on a connection of its own. It commits
// or rolls back whatever becomes of the unit around it, which waits meanwhile
// and keeps its connection and locks. ErrPoolExhausted tells when the pool can
// never give that second connection.
func RequiresNew() Option { return propagate(requiresNew) }

// Mandatory joins the open unit and fails with ErrNoUnit when there is none.
func Mandatory() Option { return propagate(mandatory) }

// Never begins a unit and fails with ErrUnitActive when one is open already.
func Never() Option { return propagate(never) }

// Isolation sets the isolation of the transaction. An engine that does not know
// the level refuses it when the unit begins. The default is the database's own.
// A joined unit must have been begun with the same level, else
// ErrOptionConflict.
func Isolation(level sql.IsolationLevel) Option {
	return optionFunc(func(s *settings) error {
		if level < sql.LevelDefault || level > sql.LevelLinearizable {
			return fmt.Errorf("%w: isolation level %d", ErrInvalid, int(level))
		}
		if err := once(&s.set.isolation, s.isolation == level, "isolation"); err != nil {
			return err
		}
		s.isolation = level
		return nil
	})
}

// ReadOnly makes the server refuse writes. A joined unit must have been begun
// read-only, else ErrOptionConflict.
func ReadOnly() Option {
	return optionFunc(func(s *settings) error {
		s.readOnly, s.set.readOnly = true, true
		return nil
	})
}

// Timeout ends the ctx of the unit, or of the joined or nested scope, after d;
// the cause is context.DeadlineExceeded. COMMIT and ROLLBACK have limits of
// their own. d must be positive.
func Timeout(d time.Duration) Option {
	return optionFunc(func(s *settings) error {
		if d <= 0 {
			return fmt.Errorf("%w: timeout %v", ErrInvalid, d)
		}
		if err := once(&s.set.timeout, s.timeout == d, "timeout"); err != nil {
			return err
		}
		s.timeout = d
		return nil
	})
}

// watch says how a unit that only holds locks finds out that it has lost them.
type watch struct{ every, silence time.Duration }

// DefaultWatchEvery and DefaultWatchSilence apply where Watch does not.
const (
	DefaultWatchEvery   = 500 * time.Millisecond
	DefaultWatchSilence = 10 * time.Second
)

// Watch sets how applock.Hold watches its connection: it asks the server for a
// sign of life every so often, so that a session ended by the server is noticed
// within about that time, and takes the locks for lost when no answer has come
// within silence. It means nothing to other units. Both must be positive.
func Watch(every, silence time.Duration) Option {
	return optionFunc(func(s *settings) error {
		if every <= 0 || silence <= 0 {
			return fmt.Errorf("%w: watch every %v, silence %v", ErrInvalid, every, silence)
		}
		s.watch = watch{every, silence}
		return nil
	})
}

// MaxLabel is the greatest length of a label, in bytes: PostgreSQL cuts
// application_name there.
const MaxLabel = 63

// Label names the owner of a unit, for those who look at the server:
// application_name on PostgreSQL. It is 1 to MaxLabel bytes of printable ASCII
// without quotes and backslashes, so that it reads the same in every log and
// view. It has no effect on a unit that is joined.
func Label(label string) Option {
	return optionFunc(func(s *settings) error {
		if err := checkLabel(label); err != nil {
			return err
		}
		if err := once(&s.set.label, s.label == label, "label"); err != nil {
			return err
		}
		s.label = label
		return nil
	})
}

func checkLabel(label string) error {
	if label == "" || len(label) > MaxLabel {
		return fmt.Errorf("%w: label of %d bytes, allowed are 1 to %d", ErrInvalid, len(label), MaxLabel)
	}
	for _, r := range label {
		if r < ' ' || r > '~' || strings.ContainsRune(`'"\`+"`", r) {
			return fmt.Errorf("%w: label holds %q, allowed is printable ASCII without quotes and backslashes", ErrInvalid, r)
		}
	}
	return nil
}

// ManagerOption changes a Manager as a whole.
type ManagerOption interface {
	applyManager(*Manager) error
}

type managerOptionFunc func(*Manager) error

func (f managerOptionFunc) applyManager(m *Manager) error { return f(m) }

// DefaultCommitTimeout and DefaultRollbackTimeout bound COMMIT and ROLLBACK
// where no option does.
const (
	DefaultCommitTimeout   = 30 * time.Second
	DefaultRollbackTimeout = 10 * time.Second
)

// CommitTimeout bounds the wait for the answer to COMMIT, which the caller's
// ctx never reaches. After it the outcome is in doubt. d must be positive.
func CommitTimeout(d time.Duration) ManagerOption {
	return managerTimeout(d, func(m *Manager) *time.Duration { return &m.core.commitTimeout })
}

// RollbackTimeout bounds the wait for the answer to ROLLBACK, to the end of a
// nested scope, and to the questions that name the holder of a lock. After it
// the connection is discarded, which makes the server roll back. d must be
// positive.
func RollbackTimeout(d time.Duration) ManagerOption {
	return managerTimeout(d, func(m *Manager) *time.Duration { return &m.core.rollbackTimeout })
}

func managerTimeout(d time.Duration, field func(*Manager) *time.Duration) ManagerOption {
	return managerOptionFunc(func(m *Manager) error {
		if d <= 0 {
			return fmt.Errorf("%w: timeout %v", ErrInvalid, d)
		}
		*field(m) = d
		return nil
	})
}

// Logger receives what no caller can be told: failed hooks, scopes that were
// never closed. The default is slog.Default at the time of logging.
func Logger(l *slog.Logger) ManagerOption {
	return managerOptionFunc(func(m *Manager) error {
		if l == nil {
			return fmt.Errorf("%w: nil logger", ErrInvalid)
		}
		m.core.logger = l
		return nil
	})
}

// Defaults sets options for every unit that the Manager begins. Those of a
// single call override them. Unlike the options of Manager.With they ask
// nothing of a unit that is joined.
func Defaults(opts ...Option) ManagerOption {
	return managerOptionFunc(func(m *Manager) error {
		s, err := m.defaults.resolve(opts)
		m.defaults = s
		return err
	})
}

// withTimeout derives the ctx of a scope. The returned function is never nil.
func (s *settings) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if s.timeout == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, s.timeout)
}

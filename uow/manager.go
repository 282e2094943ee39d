package uow

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/internal/gate"
)

// Func is the work of a unit. Returning nil votes for the commit; an error, a
// panic and runtime.Goexit vote against it. ctx carries the unit, so that Do
// with the same Manager joins it. Neither ctx nor u may outlive the call.
type Func = func(ctx context.Context, u *UnitOfWork) error

// Manager begins units of work on one database. It is safe for concurrent use
// and needs no closing; the database remains the caller's to close.
type Manager struct {
	core     *core
	defaults settings
	demands  demands // what joined units must meet
	err      error   // found by New or With, told by every call
}

// demands are the options that With set explicitly.
type demands struct{ isolation, readOnly bool }

// core is what all Managers of one database share. A unit belongs to a core:
// units of different cores never join.
type core struct {
	db              *sqlx.DB
	dialect         dialect.Dialect
	gates           gate.Table
	turns           turns
	born            time.Time // what moments are counted from
	suspended       suspended
	commitTimeout   time.Duration
	rollbackTimeout time.Duration
	logger          *slog.Logger
}

// New returns a Manager for db, which must have been opened for the database
// that d speaks to. It does no I/O. A nil db or d and invalid options are
// reported as ErrInvalid by the first use of the Manager.
//
// Units join only units of the same Manager or one made from it by With: make
// one Manager for each database and share it.
func New(db *sqlx.DB, d dialect.Dialect, opts ...ManagerOption) *Manager {
	m := &Manager{core: &core{
		db:              db,
		dialect:         d,
		born:            time.Now(),
		commitTimeout:   DefaultCommitTimeout,
		rollbackTimeout: DefaultRollbackTimeout,
	}}
	if db == nil || db.DB == nil {
		m.err = fmt.Errorf("%w: nil database", ErrInvalid)
	} else if isNil(d) {
		m.err = fmt.Errorf("%w: nil dialect", ErrInvalid)
	}
	for _, o := range opts {
		if m.err != nil {
			break
		}
		if o == nil {
			m.err = fmt.Errorf("%w: nil option", ErrInvalid)
			break
		}
		m.err = o.applyManager(m)
	}
	return m
}

// isNil reports a nil dialect, or a nil pointer that hides in one.
func isNil(d dialect.Dialect) bool {
	v := reflect.ValueOf(d)
	return !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil()
}

// With returns a Manager of the same database whose units begin with opts.
// What opts say of isolation and read-only is asked of units that it joins as
// well: ErrOptionConflict otherwise. Options that conflict are reported by the
// first use.
func (m *Manager) With(opts ...Option) *Manager {
	if m == nil {
		return nil
	}
	derived := *m
	if derived.err != nil {
		return &derived
	}
	derived.defaults, derived.err = m.defaults.resolve(opts)
	derived.demands.isolation = m.demands.isolation || derived.defaults.set.isolation
	derived.demands.readOnly = m.demands.readOnly || derived.defaults.set.readOnly
	return &derived
}

// DB returns the database. Statements sent through it are no part of any unit.
func (m *Manager) DB() *sqlx.DB {
	if m == nil {
		return nil
	}
	return m.core.db
}

// Inspect tells who holds and who waits for named locks, as applock.Inspect
// documents. It uses a connection of the pool that is no part of any unit.
func (m *Manager) Inspect(ctx context.Context, names ...string) ([]dialect.LockStatus, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	inspector, ok := m.core.dialect.(dialect.Inspector)
	if !ok {
		return nil, &dialect.Error{Kind: dialect.Unsupported, Detail: m.core.dialect.Name() + " does not show locks"}
	}
	var status []dialect.LockStatus
	err := m.core.ask(ctx, func(conn *sqlx.Conn) (err error) {
		status, err = inspector.Inspect(ctx, conn.Conn, names)
		return err
	})
	return status, err
}

func (m *Manager) check() error {
	if m == nil {
		return ErrNoManager
	}
	return m.err
}

// Do runs fn in a unit of work: it joins the open unit that ctx carries, or
// begins one and ends it when fn returns. The transaction is committed when fn
// returns nil and ctx has not ended, and rolled back in every other case; a
// panic goes on after the rollback.
//
// The connection is taken and BEGIN is sent with the first statement, or before
// fn when locks are declared. ctx governs that and the statements; it never
// reaches COMMIT and ROLLBACK, which have time limits of their own.
//
// Do returns nil only when the server acknowledged the commit, or when a
// joined fn has voted for it. Else it returns
//   - fn's error, as it is, joined with that of a failed rollback;
//   - context.Cause(ctx) when ctx ended before COMMIT was sent;
//   - *UnexpectedRollbackError when fn returned nil but the work is undone;
//   - *InDoubtError when COMMIT was sent and its answer is not known;
//   - what kept the unit from being begun, in which case fn was not called.
//
// Retry runs the unit again where that may help.
func (m *Manager) Do(ctx context.Context, fn Func, opts ...Option) error {
	s, err := m.settings(opts)
	if err != nil {
		return err
	}
	if fn == nil {
		return fmt.Errorf("%w: nil function", ErrInvalid)
	}
	if s.retry == nil || s.retry.Attempts <= 1 || m.core.lookup(ctx) != nil {
		return m.once(ctx, fn, s)
	}
	return m.retrying(ctx, fn, s)
}

// once runs fn in one scope.
func (m *Manager) once(ctx context.Context, fn Func, s settings) error {
	u, cancel, err := m.open(ctx, &s)
	if err != nil {
		return err
	}
	defer cancel()
	returned := false
	defer func() {
		// Neither recover nor a flag set by fn tells a panic from Goexit; only
		// a function that came back may commit.
		if !returned {
			_ = u.end(u.ctx, errUnwound, true)
		}
	}()
	verdict := fn(u.ctx, u)
	returned = true
	return u.end(u.ctx, m.core.marked(verdict), true)
}

// settings resolves the options of one call.
func (m *Manager) settings(opts []Option) (settings, error) {
	if err := m.check(); err != nil {
		return settings{}, err
	}
	if len(opts) == 0 {
		s := m.defaults
		s.set.isolation, s.set.readOnly, s.set.retry = m.demands.isolation, m.demands.readOnly, false
		return s, nil
	}
	s, err := m.defaults.resolve(opts)
	s.set.isolation = s.set.isolation || m.demands.isolation
	s.set.readOnly = s.set.readOnly || m.demands.readOnly
	return s, err
}

// open opens the scope that s asks for: a unit, a savepoint, or a share in the
// open unit.
func (m *Manager) open(ctx context.Context, s *settings) (*UnitOfWork, context.CancelFunc, error) {
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	current := m.core.lookup(ctx)
	fresh, err := s.begins(current)
	if err != nil {
		return nil, nil, err
	}
	scoped, cancel := s.withTimeout(ctx)
	opened := false
	defer func() {
		if !opened {
			cancel()
		}
	}()
	var u *UnitOfWork
	if fresh {
		u, err = m.begin(ctx, scoped, s)
	} else {
		u, err = current.join(scoped, s)
	}
	if err != nil {
		return nil, nil, err
	}
	opened = true
	return u, cancel, nil
}

// begins decides whether a scope begins a unit of its own or joins current.
func (s *settings) begins(current *UnitOfWork) (bool, error) {
	ended := current != nil && current.isDone()
	switch {
	case s.propagation == requiresNew:
		return true, nil
	case s.propagation == never && current != nil && !ended:
		return false, ErrUnitActive
	case s.propagation == never:
		return true, nil
	case s.propagation == mandatory && current == nil:
		return false, ErrNoUnit
	case ended:
		return false, ErrDone
	}
	return current == nil, nil
}

func (c *core) log() *slog.Logger {
	if c.logger != nil {
		return c.logger
	}
	return slog.Default()
}

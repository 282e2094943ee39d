package uow

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect"
)

// unit is one transaction and all that hangs on it. Its scopes form a stack;
// every scope but the first joins or nests in the one below.
type unit struct {
	core   *core
	opts   settings
	parent context.Context // what the unit was begun with; carries no part of it
	around *unit           // the unit of the same database that waits for this one

	// wire is held by whoever uses the connection. It is only ever tried, save
	// by the end of the unit: two goroutines in one unit are a mistake.
	wire       sync.Mutex
	conn       *sqlx.Conn
	tx         dialect.Tx
	rows       openRows
	connected  atomic.Bool
	suspends   []*unit     // units around this one that it counted
	discarded  bool        // conn must not go back to the pool
	unseen     atomic.Bool // statements were prepared, whose rows are not known here
	savepoints int         // how many were set; makes their names unique

	// state guards the scopes, the votes, the hooks and the lock book.
	state sync.Mutex
	root  *UnitOfWork
	top   *UnitOfWork // innermost open scope
	book  lockBook
	phase phase
}

// begin makes a unit with its first scope, and takes the declared locks.
func (m *Manager) begin(parent, ctx context.Context, s *settings) (*UnitOfWork, error) {
	u := m.newUnit(parent, ctx, s)
	if len(s.locks.Locks) == 0 {
		return u, nil
	}
	if err := u.AcquireLocks(ctx, s.locks); err != nil {
		return nil, u.end(ctx, err, true)
	}
	return u, nil
}

// newUnit makes a unit with its first scope. Nothing is sent.
func (m *Manager) newUnit(parent, ctx context.Context, s *settings) *UnitOfWork {
	made := &struct { // they live and die together
		unit  unit
		scope UnitOfWork
	}{}
	t, u := &made.unit, &made.scope
	t.core, t.opts, t.parent = m.core, *s, parent
	u.unit, u.base = t, u
	u.outer, _ = ctx.Value(unitKey{}).(*UnitOfWork)
	u.ctx = context.WithValue(ctx, unitKey{}, u)
	t.root, t.top = u, u
	t.around = m.core.surrounding(ctx)
	return u
}

// enter claims the connection for one call through u, or tells why not. Every
// enter that returns nil is followed by leave.
func (u *UnitOfWork) enter(ctx context.Context) error {
	t := u.unit
	if !t.wire.TryLock() {
		if u.isDone() {
			return ErrDone
		}
		return ErrConcurrentUse
	}
	err := u.usable(ctx)
	if err == nil && t.stuck() {
		err = ErrRowsOpen
	}
	if err != nil {
		t.wire.Unlock()
	}
	return err
}

func (u *UnitOfWork) leave() { u.unit.wire.Unlock() }

// usable tells why no statement may be sent now.
func (u *UnitOfWork) usable(ctx context.Context) error {
	t := u.unit
	t.state.Lock()
	defer t.state.Unlock()
	if u.ended || t.root.ended {
		return ErrDone
	}
	if t.root.ctx.Err() != nil {
		t.root.doom(context.Cause(t.root.ctx))
		return context.Cause(t.root.ctx)
	}
	if u.ctx.Err() != nil {
		u.base.doom(context.Cause(u.ctx))
		return context.Cause(u.ctx)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	t.noticeFailure()
	if cause := t.doomed(); cause != nil {
		return rollbackOnly(cause)
	}
	if t.rowsOpen() {
		return ErrRowsOpen
	}
	return nil
}

// noticeFailure dooms what a failure dooms that no call has reported: an error
// met while rows were read, or a statement that ended the transaction.
func (t *unit) noticeFailure() {
	if t.tx == nil {
		return
	}
	switch t.tx.State() {
	case dialect.Failed:
		t.top.base.doom(errInRows)
	case dialect.Ended:
		t.root.doom(ErrTransactionEnded)
	case dialect.Broken:
		t.root.doom(&dialect.Error{Kind: dialect.ConnectionLost})
	}
}

// doomed returns why the innermost scope, or one around it, can only be rolled
// back; nil if none is.
func (t *unit) doomed() error {
	for u := t.top; u != nil; u = u.below {
		if u.base.cause != nil {
			return u.base.cause
		}
	}
	return nil
}

func (t *unit) rowsOpen() bool {
	return t.tx != nil && t.rows.any(t.tx.State())
}

// ready begins the transaction and sets the savepoints of the open scopes,
// where that has not been done, for query to follow. The caller holds wire.
func (t *unit) ready(ctx context.Context, query string) error {
	if t.tx == nil {
		if err := t.start(ctx, nil, query); err != nil {
			return t.settle(ctx, err)
		}
	}
	return t.setSavepoints(ctx)
}

// settle looks at a statement's error: it dooms what the error dooms and
// returns the error as the caller should see it. The caller holds wire.
func (t *unit) settle(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	state := dialect.StateUnknown // before the transaction was begun
	if t.tx != nil {
		state = t.tx.State()
	}
	if (state == dialect.Active || state == dialect.Busy) && !dialect.IsPoisoned(err) {
		// The server has seen no failure: the arguments did not fit, say, or
		// a function given to Raw failed.
		if t.core.dialect.Classify(err) == dialect.ConnectionLost {
			return causeOf(ctx, err) // another one
		}
		return describe(ctx, t.core.dialect, err)
	}
	err = describe(ctx, t.core.dialect, err)
	if errors.Is(err, dialect.Aborted) {
		err = rollbackOnly(err)
	}
	if state == dialect.StateUnknown && ctx.Err() == nil && !answered(t.core.dialect, err) {
		return err
	}
	t.state.Lock()
	defer t.state.Unlock()
	switch {
	case state == dialect.Broken || connectionEnded(err):
		t.discarded = t.tx != nil
		t.root.doom(err)
	case state == dialect.Ended:
		t.root.doom(ErrTransactionEnded)
	case t.tx == nil && ctx.Err() != nil:
		// The wait for a connection ended: nothing was sent.
	default:
		t.top.base.doom(err)
	}
	return err
}

// answered reports whether err came from the server or for want of it, not from
// this side of the connection.
func answered(d dialect.Dialect, err error) bool {
	kind := dialect.KindOf(err)
	if kind == dialect.Unknown {
		kind = d.Classify(err)
	}
	return kind != dialect.Unknown && kind != dialect.Unsupported
}

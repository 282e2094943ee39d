package uow

import (
	"context"
	"sync/atomic"

	"github.com/jmoiron/sqlx"
)

// turns share a pool that is full between units under locks and those without.
// The pool's own line serves in no order: the holders of fifty hot names would
// leave nothing of a pool of eight to two units that want none of them. So of
// each kind one at a time is in the pool's line, first come first served. The one
// under locks lets one without, who keeps nobody waiting, go first if that is
// there already; else the pool draws between the two. Outside the lines are those
// inside other units, those who found room, and units without locks that came when
// nobody was in line.
type turns struct {
	locked  line
	plain   line
	waiting atomic.Int64                  // how many are in the lines
	served  atomic.Pointer[chan struct{}] // closed when the plain unit in the pool's line has been served; nil if there is none
}

// takeConn takes a connection from the pool. Units inside others do not wait for
// their turn, because others may wait for the outer ones. A unit without locks does
// if anybody is in line, were it others without locks alone: it would overtake them.
func (t *unit) takeConn(ctx context.Context, underLocks bool) (*sqlx.Conn, error) {
	c := t.core
	if !underLocks && c.turns.waiting.Load() == 0 || c.roomy() || len(t.enclosing(ctx)) > 0 {
		return c.conn(ctx)
	}
	c.turns.waiting.Add(1)
	defer c.turns.waiting.Add(-1)
	if underLocks {
		return c.inTurn(ctx, &c.turns.locked, c.lockedTurn)
	}
	return c.inTurn(ctx, &c.turns.plain, c.plainTurn)
}

// inTurn waits in a line, and takes a connection when its turn has come, or when
// there is room besides.
func (c *core) inTurn(ctx context.Context, l *line, take func(context.Context) (*sqlx.Conn, error)) (*sqlx.Conn, error) {
	leave, turn, err := l.enter(ctx, c.roomy)
	switch {
	case err != nil:
		return nil, &endedError{cause: err, err: ctx.Err()}
	case !turn:
		return c.conn(ctx)
	}
	defer leave()
	return take(ctx)
}

func (c *core) plainTurn(ctx context.Context) (*sqlx.Conn, error) {
	served := make(chan struct{})
	c.turns.served.Store(&served)
	defer func() {
		c.turns.served.Store(nil)
		close(served)
	}()
	return c.conn(ctx)
}

func (c *core) lockedTurn(ctx context.Context) (*sqlx.Conn, error) {
	if served := c.turns.served.Load(); served != nil {
		if _, err := await(ctx, *served, c.roomy); err != nil {
			return nil, &endedError{cause: err, err: ctx.Err()}
		}
	}
	return c.conn(ctx)
}

// roomy reports whether whoever asks the pool for a connection need not wait for
// one that is in use.
func (c *core) roomy() bool {
	s := c.db.Stats()
	return s.MaxOpenConnections <= 0 || s.Idle > 0 || s.OpenConnections < s.MaxOpenConnections
}

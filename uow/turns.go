package uow

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
)

// turns share a pool that is full between units under locks and those without.
// The pool's own line serves in no order: the holders of fifty hot names would
// leave nothing of a pool of eight to two units that want none of them. So of
// each kind one at a time is in the pool's line, first come first served. The one
// under locks lets one without, who keeps nobody waiting, go first if that is
// there already; else the pool draws between the two. Outside the lines are those
// inside other units, those who found room, and units without locks that came when
// nobody under locks was in line, nor had been a moment before.
type turns struct {
	locked  line
	plain   line
	waiting atomic.Int64                  // units under locks that wait for a connection
	waited  atomic.Int64                  // when one last stopped waiting, since core.born; 0 for long ago
	served  atomic.Pointer[chan struct{}] // closed when the plain unit in the pool's line has been served; nil if there is none
}

// takeConn takes a connection from the pool. Units inside others do not wait for
// their turn, because others may wait for the outer ones.
func (t *unit) takeConn(ctx context.Context, underLocks bool) (*sqlx.Conn, error) {
	c := t.core
	switch {
	case underLocks && c.roomy(), !underLocks && c.unhindered(), len(t.enclosing(ctx)) > 0:
		return c.conn(ctx)
	case !underLocks:
		return c.inTurn(ctx, &c.turns.plain, c.unhindered, c.plainTurn)
	}
	c.turns.waiting.Add(1)
	defer func() {
		c.turns.waited.Store(int64(max(time.Since(c.born), 1)))
		c.turns.waiting.Add(-1)
	}()
	return c.inTurn(ctx, &c.turns.locked, c.roomy, c.lockedTurn)
}

// inTurn waits in a line, and takes a connection when its turn has come, or when
// it needs none.
func (c *core) inTurn(ctx context.Context, l *line, needless func() bool, take func(context.Context) (*sqlx.Conn, error)) (*sqlx.Conn, error) {
	leave, turn, err := l.enter(ctx, needless)
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

// calm is how long units without locks stay in line after the last one under locks
// has gone. Left at once, the next one would find all of them in the pool's line;
// kept, they would be one there for ever beside others who use the pool directly.
const calm = time.Second

// unhindered reports whether a unit without locks needs no turn.
func (c *core) unhindered() bool {
	waited := c.turns.waited.Load()
	switch {
	case c.turns.waiting.Load() > 0 || waited > 0 && time.Since(c.born)-time.Duration(waited) < calm:
		return c.roomy()
	case waited > 0:
		c.turns.waited.CompareAndSwap(waited, 0) // the clock need not be asked again
	}
	return true
}

// roomy reports whether whoever asks the pool for a connection need not wait for
// one that is in use.
func (c *core) roomy() bool {
	s := c.db.Stats()
	return s.MaxOpenConnections <= 0 || s.Idle > 0 || s.OpenConnections < s.MaxOpenConnections
}

package uow

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect"
)

// begun is what a begin attempt leaves behind.
type begun struct {
	tx     dialect.Tx
	result sql.Result
}

// connect takes a connection and begins on it. A pooled connection that turns
// out to be dead before anything was sent is replaced. On failure nothing is
// held. If begin returns a transaction beside an error, it is kept. underLocks
// tells in which line for a connection the unit stands.
func (t *unit) connect(ctx context.Context, underLocks bool, begin func(*sql.Conn) (begun, error)) (sql.Result, error) {
	if err := t.suspend(ctx); err != nil {
		return nil, err
	}
	defer func() { // also where the driver panics
		if t.tx == nil {
			t.unsuspend()
		}
	}()
	var last error
	for range t.core.attempts() {
		conn, err := t.takeConn(ctx, underLocks)
		if err != nil {
			last = err
			break
		}
		var b begun
		err = t.core.use(conn, func() (err error) {
			b, err = begin(conn.Conn)
			return err
		})
		if b.tx != nil {
			t.conn, t.tx = conn, b.tx
			t.connected.Store(true)
			return b.result, err
		}
		last = describe(ctx, t.core.dialect, err)
		t.core.release(conn, connectionEnded(last))
		if !dialect.IsStale(last) || ctx.Err() != nil {
			break
		}
	}
	return nil, last
}

// use discards the connection if f does not come back: hooks of the caller's, those
// of a tracer for example, may panic below it.
func (c *core) use(conn *sqlx.Conn, f func() error) error {
	returned := false
	defer func() {
		if !returned {
			go c.discardNow(conn)
		}
	}()
	err := f()
	returned = true
	return err
}

// discardNow ends the session of a connection before database/sql does, which may
// wait without end for a query that panicked.
func (c *core) discardNow(conn *sqlx.Conn) {
	_ = conn.Raw(func(driverConn any) error {
		err := c.poison(driverConn)
		if d, ok := driverConn.(driver.Conn); ok {
			_ = d.Close()
		}
		return err
	})
	_ = conn.Close()
}

// attempts bounds how many connections are tried: all that idle in the pool
// may be dead at once, and one new one must get its turn.
func (c *core) attempts() int { return c.db.Stats().Idle + 2 }

// conn takes a connection from the pool.
func (c *core) conn(ctx context.Context) (*sqlx.Conn, error) {
	conn, err := c.db.Connx(ctx)
	switch {
	case err == nil:
		return conn, nil
	case ctx.Err() != nil:
		return nil, &endedError{cause: context.Cause(ctx), err: err}
	}
	return nil, &dialect.Error{Kind: dialect.Unavailable, Err: err}
}

// ask runs a question of the library's own on a connection outside any unit.
func (c *core) ask(ctx context.Context, question func(*sqlx.Conn) error) error {
	var last error
	for range c.attempts() {
		conn, err := c.conn(ctx)
		if err != nil {
			return err
		}
		last = describe(ctx, c.dialect, c.use(conn, func() error { return question(conn) }))
		c.release(conn, connectionEnded(last))
		if !errors.Is(last, dialect.ConnectionLost) {
			break
		}
	}
	return last
}

// release gives a connection back to the pool, or discards it. Its own error
// tells nothing: the connection is gone for us either way.
func (c *core) release(conn *sqlx.Conn, discard bool) {
	if discard {
		_ = conn.Raw(c.poison)
	}
	_ = conn.Close()
}

// suspended are the units that hold a connection while an inner unit of theirs
// needs another.
type suspended struct {
	mu    sync.Mutex
	units map[*unit]int // by how many inner units
}

// suspend counts the units around this one as such that will not give their
// connections back before this one is done, and with them those on deck for
// their locks. When all of the pool is held like that, waiting for a connection
// would never end.
func (t *unit) suspend(ctx context.Context) error {
	enclosing := t.enclosing(ctx)
	if len(enclosing) == 0 {
		return nil
	}
	all := &t.core.suspended
	all.mu.Lock()
	defer all.mu.Unlock()
	for _, a := range enclosing {
		if a.connected.Load() && !slices.Contains(t.suspends, a) {
			if all.units == nil {
				all.units = make(map[*unit]int)
			}
			all.units[a]++
			t.suspends = append(t.suspends, a)
		}
	}
	limit := t.core.db.Stats().MaxOpenConnections
	if limit > 0 && t.core.barred(all.units) >= limit {
		t.resume()
		return fmt.Errorf("%w (pool of %d)", ErrPoolExhausted, limit)
	}
	return nil
}

// barred counts the connections of units that wait for inner ones, and of those
// on deck for their locks.
func (c *core) barred(units map[*unit]int) int {
	n := 0
	for t := range units {
		if !t.connected.Load() {
			continue // it has ended before an inner one
		}
		n++
		t.state.Lock()
		names := t.book.names()
		t.state.Unlock()
		for _, name := range names {
			if c.gates.OnDeck(name) {
				n++
			}
		}
	}
	return n
}

func (t *unit) unsuspend() {
	t.core.suspended.mu.Lock()
	defer t.core.suspended.mu.Unlock()
	t.resume()
}

// resume takes back what suspend has counted. The caller holds the lock.
func (t *unit) resume() {
	for _, a := range t.suspends {
		t.core.suspended.units[a]--
		if t.core.suspended.units[a] == 0 {
			delete(t.core.suspended.units, a)
		}
	}
	t.suspends = nil
}

// request says how the unit's transaction is begun, with locks and before query.
func (t *unit) request(locks []dialect.Lock, query string) dialect.Begin {
	return dialect.Begin{
		Isolation: t.opts.isolation,
		ReadOnly:  t.opts.readOnly,
		Label:     t.opts.label,
		Idle:      t.opts.idle,
		Locks:     locks,
		Query:     query,
		Unit:      t,
		Within:    t.within(),
	}
}

// within are the units that wait for this one with their transactions open.
func (t *unit) within() []any {
	if len(t.suspends) == 0 {
		return nil
	}
	all := make([]any, len(t.suspends))
	for i, a := range t.suspends {
		all[i] = a
	}
	return all
}

// startExec begins the transaction with its first statement, in one round trip
// where the dialect can.
func (t *unit) startExec(ctx context.Context, query string, args []any) (sql.Result, error) {
	beginner, ok := t.core.dialect.(dialect.ExecBeginner)
	if !ok {
		if err := t.start(ctx, nil, ""); err != nil {
			return nil, err
		}
		return t.tx.Exec(ctx, query, args...)
	}
	return t.connect(ctx, false, func(conn *sql.Conn) (b begun, err error) {
		b.tx, b.result, err = beginner.BeginExec(ctx, conn, t.request(nil, ""), query, args...)
		return b, err
	})
}

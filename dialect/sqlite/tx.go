package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/lockstep-go/lockstep/dialect"
)

// tx implements dialect.Tx, Observer and Identified.
type tx struct {
	conn    *sql.Conn
	session string // how others are shown who holds its locks
	raw     bool   // the caller has had the driver's connection
}

// use runs f alone on the connection: database/sql may close rows that were left
// open from a goroutine of its own.
func (t *tx) use(f func(*Conn) error) error { return use(t.conn, f) }

func use(conn *sql.Conn, f func(*Conn) error) error {
	var err error
	// What f returns must not pass through Raw, which would act on ErrBadConn.
	raw := conn.Raw(func(driverConn any) error {
		c, ok := driverConn.(*Conn)
		if !ok {
			err = unsupported("the database was not opened by package sqlite's Open")
			return nil
		}
		err = f(c)
		return nil
	})
	if raw != nil {
		return raw
	}
	return err
}

// in is use for what needs the unit to be there.
func (t *tx) in(f func(*Conn) error) error {
	return t.use(func(c *Conn) error {
		if c.unit == nil {
			return &dialect.Error{Kind: dialect.ConnectionLost, Detail: "the unit has ended", Poisoned: true}
		}
		return f(c)
	})
}

// State implements dialect.Tx.
func (t *tx) State() dialect.State {
	state := dialect.Broken
	_ = t.use(func(c *Conn) error {
		state = c.state()
		return nil
	})
	if t.raw && state == dialect.Active {
		return dialect.StateUnknown // what the caller's own statements met was not seen
	}
	return state
}

// Exec implements dialect.Tx.
func (t *tx) Exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return t.conn.ExecContext(ctx, query, args...)
}

// Observe implements dialect.Observer. Statements are seen by the connection;
// but not those of a caller who has the driver's own, so that the transaction
// must be open by then.
func (t *tx) Observe(query string) error {
	if query != "" {
		return nil
	}
	t.raw = true
	return t.in(func(c *Conn) error { return c.ready(context.Background()) })
}

// Lock implements dialect.Tx.
func (t *tx) Lock(ctx context.Context, locks []dialect.Lock) error {
	return t.in(func(c *Conn) error {
		// One that writes reads what is current: since it has begun, nobody else
		// can have committed.
		if c.unit.begun && !c.unit.writes() {
			return &dialect.LockError{Lock: locks[0], Err: &dialect.Error{
				Kind: dialect.SnapshotTaken, Detail: "declare the lock with the unit",
			}}
		}
		err := c.acquire(ctx, locks)
		t.session = c.unit.sessionID()
		return err
	})
}

// Savepoint implements dialect.Tx. It is set with the next statement.
func (t *tx) Savepoint(_ context.Context, name string) error {
	return t.in(func(c *Conn) error {
		c.savepoint(name)
		return nil
	})
}

// RollbackTo implements dialect.Tx.
func (t *tx) RollbackTo(_ context.Context, name string) error {
	return t.in(func(c *Conn) error { return c.undo(name) })
}

// Release implements dialect.Tx.
func (t *tx) Release(_ context.Context, name string) error {
	return t.in(func(c *Conn) error { return c.keep(name) })
}

// Rollback implements dialect.Tx.
func (t *tx) Rollback(context.Context) error {
	return t.in(func(c *Conn) error { return c.rollback() })
}

// Commit implements dialect.Tx. The engine is in this process: its answer cannot
// be lost without the process.
func (t *tx) Commit(ctx context.Context) (outcome dialect.Outcome, err error) {
	outcome = dialect.RolledBack
	err = t.in(func(c *Conn) error {
		outcome, err = c.commit(ctx)
		return err
	})
	return outcome, err
}

func (c *Conn) commit(ctx context.Context) (dialect.Outcome, error) {
	u := c.unit
	if u.lost == nil && u.session != nil {
		u.lost = u.session.Intact()
	}
	switch {
	case u.lost != nil:
		return c.notCommitted(u.lost)
	case u.failed || u.gone:
		return c.notCommitted(&dialect.Error{Kind: dialect.NotCommitted, Detail: "a statement had failed"})
	case u.begun:
		if err := c.sendCommit(ctx); err != nil {
			return c.notCommitted(&dialect.Error{Kind: classify(err), Err: err})
		}
	}
	if err := c.end(); err != nil {
		// It is committed; the connection is closed for what could not be undone.
		c.unit = u
		return dialect.Committed, nil
	}
	return dialect.Committed, nil
}

// sendCommit commits within ctx. The engine keeps the transaction open while
// others are in the way: readers, where the database has no write-ahead log.
func (c *Conn) sendCommit(ctx context.Context) error {
	if err := c.setWait(0); err != nil {
		return err
	}
	err := c.exec("COMMIT")
	for pause := retryFirst; isBusy(err) && !c.unit.gone; pause = min(pause*3/2, retryMost) {
		if sleep(ctx, pause) != nil {
			break
		}
		err = c.exec("COMMIT")
	}
	if err == nil {
		_ = c.setWait(c.busy) // what fails now fails for the next user as well, who is told
		return nil
	}
	return errors.Join(err, c.setWait(c.busy))
}

// notCommitted rolls back. Only if that cannot be seen to have worked is there
// a doubt: until the connection is closed.
func (c *Conn) notCommitted(cause error) (dialect.Outcome, error) {
	if err := c.rollback(); err != nil {
		return dialect.InDoubt, errors.Join(cause, err)
	}
	return dialect.RolledBack, cause
}

// Ref implements dialect.Identified.
func (t *tx) Ref() dialect.Ref { return dialect.Ref{Session: t.session} }

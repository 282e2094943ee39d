package mssql

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	mssql "github.com/microsoft/go-mssqldb"

	"github.com/lockstep-go/lockstep/dialect"
)

// tx implements dialect.Tx, Observer and Identified.
type tx struct {
	conn     *sql.Conn
	options  settings
	level    sql.IsolationLevel
	session  string // the server's name of the session, once a lock has told it
	wrote    bool   // a statement may have written
	raw      bool   // the caller has had the driver's connection
	unsure   bool   // what was done to the transaction may not have been seen
	spoilt   error  // why it must not commit, if so
	acquired int    // how many savepoints for locks were set
	outcome  string // id of the row in the outcome table, once it is there
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
			err = unsupported("the database was not opened by package mssql's Open")
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

// State implements dialect.Tx. After the caller has had the driver's connection it
// asks the server, once: else nothing would tell that the transaction has ended,
// and what follows would be committed by itself.
func (t *tx) State() dialect.State {
	state := dialect.Broken
	_ = t.use(func(c *Conn) error {
		_ = c.verify(context.Background())
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
	if err := t.Observe(query); err != nil {
		return nil, err
	}
	return t.conn.ExecContext(ctx, query, args...)
}

// Observe implements dialect.Observer.
func (t *tx) Observe(query string) error {
	if query == "" {
		t.raw, t.wrote = true, true
		return t.use(func(c *Conn) error {
			c.handed, c.abort = true, abortUnset // it may set that, too
			return nil
		})
	}
	effect := effectOf(query)
	if effect == ends {
		return unsupported("a statement of the unit begins or ends a transaction, or rolls back")
	}
	t.wrote = t.wrote || effect == mayWrite
	t.unsure = t.unsure || mayHide(query)
	return nil
}

// Savepoint implements dialect.Tx. The statements after it run under XACT_ABORT
// OFF, so that their errors leave a transaction to return to.
func (t *tx) Savepoint(ctx context.Context, name string) error {
	return t.use(func(c *Conn) error {
		if err := c.exec(ctx, "SET XACT_ABORT OFF;SAVE TRANSACTION "+name); err != nil {
			return err
		}
		c.abort = abortOff
		c.marks = append(c.marks, name)
		return nil
	})
}

// RollbackTo implements dialect.Tx. The server forgets the savepoint and those
// set after it.
func (t *tx) RollbackTo(ctx context.Context, name string) error {
	return t.use(func(c *Conn) error {
		err := c.bounded(ctx, func() error {
			return c.exec(context.WithoutCancel(ctx), "ROLLBACK TRANSACTION "+name)
		})
		if err != nil {
			return err
		}
		c.forget(name)
		c.failed, c.suspect = false, false
		return nil
	})
}

// Release implements dialect.Tx. The server has no such request and needs none.
func (t *tx) Release(_ context.Context, name string) error {
	return t.use(func(c *Conn) error {
		c.forget(name)
		return nil
	})
}

// forget drops a savepoint and those set after it.
func (c *Conn) forget(name string) {
	if i := slices.Index(c.marks, name); i >= 0 {
		c.marks = c.marks[:i]
	}
}

// Rollback implements dialect.Tx.
func (t *tx) Rollback(ctx context.Context) error {
	return t.use(func(c *Conn) error {
		if c.open > 0 {
			return &dialect.Error{Kind: dialect.ConnectionLost, Detail: "rows were left open", Poisoned: true}
		}
		return c.rollback(ctx)
	})
}

// Commit implements dialect.Tx.
func (t *tx) Commit(ctx context.Context) (outcome dialect.Outcome, err error) {
	err = t.use(func(c *Conn) error {
		outcome, err = t.commit(ctx, c)
		return err
	})
	return outcome, err
}

func (t *tx) commit(ctx context.Context, c *Conn) (dialect.Outcome, error) {
	_ = c.verify(ctx)
	switch c.state() {
	case dialect.Busy, dialect.Broken:
		return dialect.RolledBack, &dialect.Error{Kind: dialect.ConnectionLost, Detail: "before COMMIT was sent", Poisoned: true}
	case dialect.Ended:
		return dialect.InDoubt, endedBefore(nil)
	}
	err := t.spoilt
	if err == nil {
		err = t.checkCount(ctx, c)
	}
	if err == nil {
		err = t.leaveOutcome(ctx, c)
	}
	switch {
	case c.ended:
		return dialect.InDoubt, endedBefore(err)
	case err != nil:
		return dialect.RolledBack, c.abandon(err)
	}
	err = c.bounded(ctx, c.Conn.Commit)
	c.inUnit = false
	if err == nil {
		return dialect.Committed, nil
	}
	return t.refusedCommit(ctx, c, err)
}

// endedBefore is the error of a COMMIT that found no transaction.
func endedBefore(err error) error {
	return &dialect.Error{Kind: dialect.Unknown, Detail: "a statement ended the transaction", Err: err, Poisoned: true}
}

// checkCount fails if COMMIT would only end a transaction within the unit's: one
// that was begun where no error could tell.
func (t *tx) checkCount(ctx context.Context, c *Conn) error {
	if !t.unsure && !c.surplus {
		return nil
	}
	return c.bounded(ctx, func() error {
		return c.exec(context.WithoutCancel(ctx), "IF @@TRANCOUNT<>1 RAISERROR('a statement began a transaction and did not end it',16,1)")
	})
}

// refusedCommit tells what an error of COMMIT means for the transaction.
func (t *tx) refusedCommit(ctx context.Context, c *Conn, err error) (dialect.Outcome, error) {
	var answer mssql.Error
	var unsent mssql.RetryableError
	switch {
	case errors.As(err, &unsent):
		// The request was not written whole: the server cannot have run it.
		return dialect.RolledBack, &dialect.Error{Kind: dialect.ConnectionLost, Err: err, Poisoned: true}
	case !errors.As(err, &answer) || answer.Class >= fatalClass || !c.IsValid():
		return dialect.InDoubt, err
	case isGuard(answer) && c.failed:
		return dialect.RolledBack, &dialect.Error{Kind: dialect.NotCommitted, Err: err}
	case isGuard(answer):
		// The transaction was ended by something that met no error: a COMMIT or
		// a ROLLBACK in a procedure, for example.
		c.ended = true
		return dialect.InDoubt, endedBefore(err)
	}
	// The server refused. A lost conflict says by itself that nothing was committed;
	// else that it can roll back shows it.
	kind := classify(err)
	undone := c.rollback(ctx)
	if undone != nil && kind != dialect.Serialization && kind != dialect.Deadlock {
		return dialect.InDoubt, errors.Join(err, undone)
	}
	return dialect.RolledBack, &dialect.Error{Kind: kind, Err: err, Poisoned: true}
}

// Ref implements dialect.Identified.
func (t *tx) Ref() dialect.Ref {
	return dialect.Ref{ID: t.outcome, Session: t.session, ReadOnly: !t.wrote}
}

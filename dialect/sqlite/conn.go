package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

	sqlite "modernc.org/sqlite"

	"github.com/lockstep-go/lockstep/dialect"
)

// engine is what modernc.org/sqlite's connection is known to be.
type engine interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.ConnBeginTx
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
	sqlite.HookRegisterer
	sqlite.AuthorizerRegisterer
}

// Conn is the driver's connection as the pools of Open hold it. Outside units of
// work it behaves as that does. database/sql serialises its use.
type Conn struct {
	engine
	place *place
	busy  int64 // milliseconds that a statement outside units waits for other writers
	unit  *unit // nil outside units
	own   bool  // a statement of the library's own is being run

	prepared map[*stmt]bool // and not closed
}

func newConn(inner driver.Conn, p *place, trace func(string)) (*Conn, error) {
	e, ok := inner.(engine)
	if !ok {
		return nil, fmt.Errorf("sqlite: the driver's connection is a %T, which lacks what is needed", inner)
	}
	if trace != nil {
		e = traced{e, trace}
	}
	c := &Conn{engine: e, place: p, prepared: make(map[*stmt]bool)}
	var err error
	if c.busy, err = c.number("PRAGMA busy_timeout"); err != nil {
		return nil, err
	}
	e.RegisterCommitHook(c.committing)
	e.RegisterRollbackHook(c.rolledBack)
	return c, e.RegisterAuthorizer(c.authorize)
}

// startLog gives the database a write-ahead log, for good, unless it has one. A
// user who may not write the database is left alone: its locks need no more than
// that it can be opened.
func (c *Conn) startLog() error {
	err := c.exec("PRAGMA journal_mode=WAL")
	if kind := classify(err); kind == dialect.ReadOnly || kind == dialect.Unavailable {
		return nil
	}
	return err
}

// committing is asked by the engine before anything is committed. It turns a
// unit's COMMIT that is not the library's into a rollback.
func (c *Conn) committing() int32 {
	if c.unit == nil || c.own {
		return 0
	}
	return 1
}

// rolledBack is told by the engine of every rollback of a transaction, also those
// that come with an error: a full disk, an interrupt, ON CONFLICT ROLLBACK.
func (c *Conn) rolledBack() {
	if c.unit != nil {
		c.unit.gone = true
		c.place.writer.CompareAndSwap(c.unit, nil)
	}
}

// authorize is asked by the engine when a statement is prepared. A unit's
// transaction is begun, ended and marked by the library alone, and what makes it
// read-only stays.
func (c *Conn) authorize(action sqlite.AuthorizerActionCode, name, value, _, _ string) sqlite.AuthorizerReturnCode {
	if c.unit == nil || c.own {
		return sqlite.AuthorizerOK
	}
	switch {
	case action == sqlite.AuthTransaction, action == sqlite.AuthSavepoint:
		c.unit.denied = "a statement of the unit begins, ends or marks a transaction"
	case action == sqlite.AuthPragma && name == "query_only" && value != "":
		c.unit.denied = "a statement of the unit changes query_only"
	default:
		return sqlite.AuthorizerOK
	}
	return sqlite.AuthorizerDeny
}

// exec runs a statement of the library's own. It is not cut off: the driver
// would not tell whether it had taken effect.
func (c *Conn) exec(statement string) error {
	c.own = true
	defer func() { c.own = false }()
	_, err := c.engine.ExecContext(context.Background(), statement, nil)
	return err
}

// number asks for a number.
func (c *Conn) number(query string) (int64, error) {
	rows, err := c.engine.QueryContext(context.Background(), query, nil)
	if err != nil {
		return 0, err
	}
	row := make([]driver.Value, 1)
	err = rows.Next(row)
	n, ok := row[0].(int64)
	if err == nil && !ok || err == io.EOF {
		err = fmt.Errorf("sqlite: %s has no answer", query)
	}
	return n, errors.Join(err, rows.Close())
}

// setWait changes for how long the engine waits for other writers.
func (c *Conn) setWait(milliseconds int64) error {
	return c.exec(fmt.Sprintf("PRAGMA busy_timeout=%d", milliseconds))
}

// ResetSession implements driver.SessionResetter.
func (c *Conn) ResetSession(ctx context.Context) error {
	if c.unit != nil {
		return driver.ErrBadConn
	}
	return c.engine.ResetSession(ctx)
}

// IsValid implements driver.Validator. A connection whose unit has not ended is
// closed, which ends it.
func (c *Conn) IsValid() bool { return c.unit == nil && c.engine.IsValid() }

// Close implements driver.Conn. What a unit left open is rolled back before its
// locks are given back.
func (c *Conn) Close() error {
	var err error
	for s := range c.prepared {
		err = errors.Join(err, s.Close())
	}
	err = errors.Join(err, c.engine.Close())
	if u := c.unit; u != nil {
		c.unit = nil
		c.place.writer.CompareAndSwap(u, nil)
		err = errors.Join(err, u.release())
	}
	return err
}

// state is what is known of the unit's transaction.
func (c *Conn) state() dialect.State {
	switch u := c.unit; {
	case u == nil || u.lost != nil:
		return dialect.Broken
	case u.open > 0:
		return dialect.Busy
	case u.failed || u.gone:
		return dialect.Failed
	}
	return dialect.Active
}

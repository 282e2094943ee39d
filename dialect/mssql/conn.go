package mssql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"slices"
	"time"

	mssql "github.com/microsoft/go-mssqldb"

	"github.com/lockstep-go/lockstep/dialect"
)

// answerGrace is how long the server may take to answer after a ctx has ended
// before the network connection is closed. A cancel has the driver's own limits.
const answerGrace = 5 * time.Second

// endLimit bounds what undoes a begin that failed.
const endLimit = 10 * time.Second

// Conn is go-mssqldb's connection as the pools of Open hold it. Outside units
// of work it behaves as that does, save that an isolation level that a unit has
// left on the session is put back first. database/sql serialises its use.
type Conn struct {
	*mssql.Conn
	sockets *sockets

	level    sql.IsolationLevel // of the session, if a unit has changed it
	labelled bool               // the session may have a label
	proven   bool               // locks are known to mean something on this server

	// What is known of the unit's transaction.
	inUnit  bool
	abort   abortSetting
	marks   []string // savepoints, oldest first
	open    int      // result sets that were not closed
	failed  bool     // a statement failed, and nothing was undone since
	ended   bool     // a statement ended the transaction
	suspect bool     // a query failed: the driver may be stuck in its reply
	handed  bool     // the caller has had the driver's connection since the transaction was last seen
	surplus bool     // transactions were begun within it there
	stuck   bool     // it is, and a goroutine with it: the connection must be left alone
}

// abortSetting is the session's XACT_ABORT.
type abortSetting int

const (
	abortUnset abortSetting = iota // as the server's defaults have it
	abortOn
	abortOff
)

var abortStatements = map[abortSetting]string{abortOn: "SET XACT_ABORT ON;", abortOff: "SET XACT_ABORT OFF;"}

// wanted is the XACT_ABORT that the next statement must run under.
func (c *Conn) wanted() abortSetting {
	if len(c.marks) > 0 {
		return abortOff
	}
	return abortOn
}

// ResetSession implements driver.SessionResetter.
func (c *Conn) ResetSession(ctx context.Context) error {
	c.inUnit, c.marks, c.failed, c.ended, c.abort = false, nil, false, false, abortUnset
	return c.Conn.ResetSession(ctx)
}

// BeginTx implements driver.ConnBeginTx, for transactions that are no units. One
// that names no isolation level gets none that a unit has left behind.
func (c *Conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if opts.Isolation == driver.IsolationLevel(sql.LevelDefault) {
		if err := c.restoreLevel(ctx); err != nil {
			return nil, err
		}
		return c.Conn.BeginTx(ctx, opts)
	}
	t, err := c.Conn.BeginTx(ctx, opts)
	if err == nil {
		c.level = sql.LevelDefault // the caller's own from here
	}
	return t, err
}

// IsValid implements driver.Validator.
func (c *Conn) IsValid() bool { return !c.stuck && c.Conn.IsValid() }

// Close implements driver.Conn. Where the driver may still be in a reply, its
// buffer must not serve another connection, as its own Close would have it.
func (c *Conn) Close() error {
	if c.suspect || c.stuck {
		c.sockets.cut()
		return nil
	}
	return c.Conn.Close()
}

// state is what is known of the unit's transaction.
func (c *Conn) state() dialect.State {
	switch {
	case !c.IsValid():
		return dialect.Broken
	case c.open > 0:
		return dialect.Busy
	case c.ended:
		return dialect.Ended
	case c.failed:
		return dialect.Failed
	}
	return dialect.Active
}

// begin starts a transaction by the driver's own request. Its ctx must not end:
// the driver would leave the reply unread and the connection in the pool.
func (c *Conn) begin(ctx context.Context, level sql.IsolationLevel) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	done := c.cutAfter(ctx, answerGrace)
	_, err := c.Conn.BeginTx(context.WithoutCancel(ctx), driver.TxOptions{Isolation: driver.IsolationLevel(level)})
	done()
	c.level = level
	if err != nil {
		// Nothing of consequence was sent: without its client an empty
		// transaction ends.
		lost := !c.IsValid() || classify(err) == dialect.ConnectionLost
		return &dialect.Error{Kind: classify(err), Err: err, Poisoned: true, Stale: lost && ctx.Err() == nil}
	}
	c.inUnit, c.handed, c.surplus, c.abort, c.marks = true, false, false, abortUnset, nil
	c.failed, c.ended, c.suspect, c.open = false, false, false, 0
	return nil
}

// cutAfter closes the network connection once ctx has ended and grace has
// passed, unless done is called before.
func (c *Conn) cutAfter(ctx context.Context, grace time.Duration) (done func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	var timer *time.Timer
	armed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		timer = time.AfterFunc(grace, c.sockets.cut)
		close(armed)
	})
	return func() {
		if !stop() {
			<-armed
			timer.Stop()
		}
	}
}

// abandon rolls back a transaction that could not be made ready for use.
func (c *Conn) abandon(cause error) error {
	ctx, cancel := context.WithTimeout(context.Background(), endLimit)
	defer cancel()
	err := c.rollback(ctx)
	if err == nil {
		return cause
	}
	return poisoned(cause, err)
}

// poisoned is cause where what had to follow it failed with err.
func poisoned(cause, err error) error {
	var refused *dialect.LockError
	if errors.As(cause, &refused) {
		refused.Err = poisonedBy(refused.Err, err)
		return refused
	}
	return poisonedBy(cause, err)
}

func poisonedBy(cause, err error) error {
	kind := kindOf(cause)
	if kind == dialect.Unknown {
		kind = kindOf(err)
	}
	return &dialect.Error{Kind: kind, Err: errors.Join(cause, err), Poisoned: true}
}

// rollback ends the transaction within ctx. The driver sends nothing where the
// server has ended it already: then something else must show that it can.
func (c *Conn) rollback(ctx context.Context) error {
	return c.bounded(ctx, func() error {
		err := c.Rollback()
		if err == nil && c.suspect {
			err = c.exec(context.WithoutCancel(ctx), "SELECT 1")
		}
		if err == nil {
			c.inUnit = false
		}
		return err
	})
}

// bounded runs f, which may not heed ctx, and closes the network connection when
// ctx ends. After a failed query the driver may wait for itself without end;
// then the connection is given up with what waits there.
func (c *Conn) bounded(ctx context.Context, f func() error) error {
	if c.stuck {
		return errStuck
	}
	done := c.cutAfter(ctx, 0)
	defer done()
	if !c.suspect {
		return f()
	}
	result := make(chan error, 1)
	go func() { result <- f() }()
	select {
	case err := <-result:
		c.suspect = err != nil
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-result:
		return err
	case <-time.After(time.Second):
		c.stuck = true
		return errStuck
	}
}

var errStuck = &dialect.Error{Kind: dialect.ConnectionLost, Detail: "the driver is stuck in the reply to a failed query", Poisoned: true}

// exec runs a batch of the library's own.
func (c *Conn) exec(ctx context.Context, batch string) error {
	stmt, err := c.Conn.PrepareContext(ctx, batch)
	if err != nil {
		return err
	}
	_, err = c.watched(ctx, func(ctx context.Context) (driver.Result, error) {
		return stmt.(driver.StmtExecContext).ExecContext(ctx, nil)
	})
	return err
}

// results runs a batch of the library's own and reads all that it returns.
func (c *Conn) results(ctx context.Context, batch string) ([][]driver.Value, error) {
	stmt, err := c.Conn.PrepareContext(ctx, batch)
	if err != nil {
		return nil, err
	}
	var all [][]driver.Value
	_, err = c.watched(ctx, func(ctx context.Context) (driver.Result, error) {
		rows, err := stmt.(driver.StmtQueryContext).QueryContext(ctx, nil)
		if err != nil {
			c.suspect = true
			return nil, err
		}
		all, err = readAll(rows.(*mssql.Rows))
		return nil, errors.Join(err, rows.Close())
	})
	return all, err
}

// watched runs f, a statement, and notes what its failure means. The driver
// takes an expired ctx for a broken network: it is given one that is cancelled.
func (c *Conn) watched(ctx context.Context, f func(context.Context) (driver.Result, error)) (driver.Result, error) {
	inner, release := cancelOnly(ctx)
	defer release()
	result, err := f(inner)
	return result, c.note(ctx, err)
}

// cancelOnly returns a ctx that is cancelled when ctx ends, for whatever reason.
func cancelOnly(ctx context.Context) (inner context.Context, release func()) {
	if ctx.Done() == nil {
		return ctx, func() {}
	}
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	return inner, func() {
		stop()
		cancel()
	}
}

// note remembers what a statement's error says of the transaction, and gives an
// ended ctx its own error back.
func (c *Conn) note(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var answer mssql.Error
	switch {
	case errors.As(err, &answer):
		// The driver's guard answers for a transaction that is no more.
		c.ended = c.ended || isGuard(answer) && !c.failed || endedByProcedure(answer)
		c.failed = true
		return &refusal{err}
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		c.failed = true
		return ctx.Err()
	}
	return err
}

// refusal holds an error of the server. The driver's own is no comparable value,
// so that errors.Is would not know it again.
type refusal struct{ error }

// Unwrap returns the driver's error.
func (r *refusal) Unwrap() error { return r.error }

// endedByProcedure reports error 266: the count of open transactions is not what
// it was before a procedure. Whether that has committed is not told.
func endedByProcedure(e mssql.Error) bool {
	return slices.ContainsFunc(e.All, func(one mssql.Error) bool { return one.Number == 266 })
}

// isGuard reports the driver's own refusal to run a statement after the server
// has ended the transaction.
func isGuard(e mssql.Error) bool { return e.Number == 0 }

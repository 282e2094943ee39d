package mssql

import (
	"context"
	"database/sql"
	"database/sql/driver"

	mssql "github.com/microsoft/go-mssqldb"
)

// Prepare implements driver.Conn.
func (c *Conn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

// PrepareContext implements driver.ConnPrepareContext.
func (c *Conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	inner, err := c.Conn.PrepareContext(ctx, query)
	if s, ok := inner.(*mssql.Stmt); ok {
		return &stmt{s, c, query}, err
	}
	if err != nil {
		return nil, err
	}
	if !c.inUnit {
		return inner, c.restoreLevel(ctx)
	}
	if err := c.setAbort(ctx); err != nil {
		return nil, err
	}
	return &bulkCopy{inner, ctx, c}, nil
}

// setAbort makes the session's XACT_ABORT what the unit needs.
func (c *Conn) setAbort(ctx context.Context) error {
	if err := c.verify(ctx); err != nil {
		return err
	}
	want := c.wanted()
	if c.abort == want {
		return nil
	}
	if err := c.exec(ctx, abortStatements[want]); err != nil {
		return err
	}
	c.abort = want
	return nil
}

// bulkCopy is the driver's in a unit.
type bulkCopy struct {
	driver.Stmt
	ctx  context.Context
	conn *Conn
}

// Exec implements driver.Stmt.
func (b *bulkCopy) Exec(args []driver.Value) (driver.Result, error) {
	//lint:ignore SA1019 the driver's has nothing newer
	result, err := b.Stmt.Exec(args)
	return result, b.conn.note(b.ctx, err)
}

// stmt runs the caller's statements. It has no counterpart on the server.
type stmt struct {
	*mssql.Stmt
	conn  *Conn
	query string
}

// ready returns the statement to send in place of s, and the arguments: in a unit,
// one that runs under the XACT_ABORT that the unit needs.
func (s *stmt) ready(ctx context.Context, args []driver.NamedValue) (*mssql.Stmt, []driver.NamedValue, func(), error) {
	send, sent := s.Stmt, func() {}
	c := s.conn
	var err error
	switch want := c.wanted(); {
	case !c.inUnit:
		err = c.restoreLevel(ctx)
	case c.abort == want || !takesPrefix(s.query):
		err = c.setAbort(ctx)
	default:
		var prefixed driver.Stmt
		if err = c.verify(ctx); err == nil {
			prefixed, err = c.Conn.PrepareContext(ctx, abortStatements[want]+s.query)
		}
		send, _ = prefixed.(*mssql.Stmt)
		// With arguments it is sp_executesql, whose settings end with it.
		if len(args) == removedOf(args) {
			sent = func() { c.abort = want }
		}
	}
	if err != nil {
		return nil, nil, nil, err
	}
	args, err = s.bind(args) // after all else that is sent: the driver forgets outputs then
	return send, args, sent, err
}

// restoreLevel puts back the isolation level that a unit has left behind: a
// reset of the session does not.
func (c *Conn) restoreLevel(ctx context.Context) error {
	if c.level == sql.LevelDefault || c.level == sql.LevelReadCommitted {
		return nil
	}
	if err := c.exec(ctx, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"); err != nil {
		return err
	}
	c.level = sql.LevelReadCommitted
	return nil
}

// ExecContext implements driver.StmtExecContext.
func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	send, args, sent, err := s.ready(ctx, args)
	if err != nil {
		return nil, err
	}
	if !s.conn.inUnit {
		return send.ExecContext(ctx, args)
	}
	result, err := s.conn.watched(ctx, func(ctx context.Context) (driver.Result, error) {
		return send.ExecContext(ctx, args)
	})
	if err == nil {
		sent()
	}
	return result, err
}

// QueryContext implements driver.StmtQueryContext.
func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	send, args, sent, err := s.ready(ctx, args)
	if err != nil {
		return nil, err
	}
	if !s.conn.inUnit {
		return send.QueryContext(ctx, args)
	}
	inner, release := cancelOnly(ctx)
	result, err := send.QueryContext(inner, args)
	if err != nil {
		release()
		s.conn.suspect = true
		return nil, s.conn.note(ctx, err)
	}
	sent()
	s.conn.open++
	return &rows{result.(*mssql.Rows), s.conn, ctx, release}, nil // message queues are refused
}

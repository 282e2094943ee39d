package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"strings"

	"github.com/lockstep-go/lockstep/dialect"
)

// ExecContext implements driver.ExecerContext.
func (c *Conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	u := c.unit
	if u == nil {
		return c.engine.ExecContext(ctx, query, args)
	}
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	result, err := c.engine.ExecContext(ctx, query, args)
	return result, u.note(ctx, query, err)
}

// QueryContext implements driver.QueryerContext.
func (c *Conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	u := c.unit
	if u == nil {
		return c.engine.QueryContext(ctx, query, args)
	}
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	result, err := c.engine.QueryContext(ctx, query, args)
	return u.watched(ctx, query, result, err)
}

// Prepare implements driver.Conn.
func (c *Conn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

// PrepareContext implements driver.ConnPrepareContext.
func (c *Conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	u := c.unit
	if u == nil {
		inner, err := c.engine.PrepareContext(ctx, query)
		return c.statement(inner, query, err)
	}
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	inner, err := c.engine.PrepareContext(ctx, query)
	return c.statement(inner, query, u.note(ctx, query, err))
}

func (c *Conn) statement(inner driver.Stmt, query string, err error) (driver.Stmt, error) {
	s, ok := inner.(engineStmt)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, errors.Join(errors.New("sqlite: the driver's statement lacks what is needed"), inner.Close())
	}
	prepared := &stmt{s, c, query}
	c.prepared[prepared] = true
	return prepared, nil
}

// engineStmt is what the driver's statements are known to be.
type engineStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// stmt is a prepared statement, of whatever unit its connection is in.
type stmt struct {
	engineStmt
	conn  *Conn
	query string
}

// Close implements driver.Stmt. database/sql may close a statement after its
// connection, with which the driver does not reckon.
func (s *stmt) Close() error {
	if !s.conn.prepared[s] {
		return nil
	}
	delete(s.conn.prepared, s)
	return s.engineStmt.Close()
}

// ExecContext implements driver.StmtExecContext.
func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	u := s.conn.unit
	if u == nil {
		return s.engineStmt.ExecContext(ctx, args)
	}
	if err := s.conn.ready(ctx); err != nil {
		return nil, err
	}
	result, err := s.engineStmt.ExecContext(ctx, args)
	return result, u.note(ctx, s.query, err)
}

// QueryContext implements driver.StmtQueryContext.
func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	u := s.conn.unit
	if u == nil {
		return s.engineStmt.QueryContext(ctx, args)
	}
	if err := s.conn.ready(ctx); err != nil {
		return nil, err
	}
	result, err := s.engineStmt.QueryContext(ctx, args)
	return u.watched(ctx, s.query, result, err)
}

// note remembers what a statement's error says of the transaction.
func (u *unit) note(ctx context.Context, query string, err error) error {
	if err == nil {
		return nil
	}
	// Of several statements some may have been run.
	several := isScript(query)
	if u.denied != "" {
		err = &dialect.Error{Kind: dialect.Unsupported, Detail: u.denied, Err: err}
		u.denied = ""
		u.failed = u.failed || several
		return err
	}
	u.failed = u.failed || several || isAnswer(err) || ctx.Err() != nil
	return err
}

// isScript reports whether a query may be several statements.
func isScript(query string) bool {
	_, rest, found := strings.Cut(query, ";")
	return found && strings.TrimSpace(rest) != ""
}

// engineRows are what the driver's rows are known to be.
type engineRows interface {
	driver.Rows
	driver.RowsColumnTypeDatabaseTypeName
	driver.RowsColumnTypeLength
	driver.RowsColumnTypeNullable
	driver.RowsColumnTypePrecisionScale
	driver.RowsColumnTypeScanType
}

func (u *unit) watched(ctx context.Context, query string, result driver.Rows, err error) (driver.Rows, error) {
	if err != nil {
		return nil, u.note(ctx, query, err)
	}
	inner, ok := result.(engineRows)
	if !ok {
		return nil, errors.Join(errors.New("sqlite: the driver's rows lack what is needed"), result.Close())
	}
	u.open++
	return &rows{inner, u, ctx, query, false}, nil
}

// rows are those of a query in a unit.
type rows struct {
	engineRows
	unit   *unit
	ctx    context.Context
	query  string
	closed bool
}

// Next implements driver.Rows.
func (r *rows) Next(dest []driver.Value) error {
	err := r.engineRows.Next(dest)
	if err == io.EOF {
		return err
	}
	return r.unit.note(r.ctx, r.query, err)
}

// Close implements driver.Rows.
func (r *rows) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	r.unit.open--
	return r.unit.note(r.ctx, r.query, r.engineRows.Close())
}

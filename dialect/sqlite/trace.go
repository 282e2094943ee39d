package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
)

// Trace has f called with the text of every statement before the engine gets it,
// those of the library and of database/sql included; one that is prepared shows
// when it is prepared and whenever it is run. Calls come from many goroutines, and
// whoever runs the statement waits for f.
func Trace(f func(statement string)) OpenOption {
	return func(o *opening) { o.trace = f }
}

// traced is a connection whose statements are told.
type traced struct {
	engine
	tell func(statement string)
}

// ExecContext implements driver.ExecerContext.
func (t traced) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	t.tell(query)
	return t.engine.ExecContext(ctx, query, args)
}

// QueryContext implements driver.QueryerContext.
func (t traced) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	t.tell(query)
	return t.engine.QueryContext(ctx, query, args)
}

// BeginTx implements driver.ConnBeginTx.
func (t traced) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	t.tell("BEGIN")
	inner, err := t.engine.BeginTx(ctx, opts)
	if err != nil {
		return nil, err
	}
	return tracedTx{inner, t.tell}, nil
}

// Prepare implements driver.Conn.
func (t traced) Prepare(query string) (driver.Stmt, error) {
	return t.PrepareContext(context.Background(), query)
}

// PrepareContext implements driver.ConnPrepareContext.
func (t traced) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	t.tell(query)
	inner, err := t.engine.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s, ok := inner.(engineStmt)
	if !ok {
		return nil, errors.Join(errors.New("sqlite: the driver's statement lacks what is needed"), inner.Close())
	}
	return tracedStmt{s, query, t.tell}, nil
}

type tracedTx struct {
	driver.Tx
	tell func(statement string)
}

// Commit implements driver.Tx.
func (t tracedTx) Commit() error {
	t.tell("COMMIT")
	return t.Tx.Commit()
}

// Rollback implements driver.Tx.
func (t tracedTx) Rollback() error {
	t.tell("ROLLBACK")
	return t.Tx.Rollback()
}

type tracedStmt struct {
	engineStmt
	query string
	tell  func(statement string)
}

// ExecContext implements driver.StmtExecContext.
func (s tracedStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	s.tell(s.query)
	return s.engineStmt.ExecContext(ctx, args)
}

// QueryContext implements driver.StmtQueryContext.
func (s tracedStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	s.tell(s.query)
	return s.engineStmt.QueryContext(ctx, args)
}

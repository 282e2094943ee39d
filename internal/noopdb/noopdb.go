// Package noopdb is a database that does nothing, for measurements of what the
// library itself costs: a driver for database/sql and a dialect over it. Every
// statement succeeds and changes one row, every query has no rows, and every
// lock is granted.
package noopdb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"io"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect"
)

// Open returns a pool of at most size connections, all of which are kept. The
// caller closes it.
func Open(size int) *sqlx.DB {
	db := sqlx.NewDb(sql.OpenDB(connector{}), "noop")
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	return db
}

type connector struct{}

func (connector) Connect(context.Context) (driver.Conn, error) { return &conn{}, nil }
func (connector) Driver() driver.Driver                        { return nil }

// conn has a field, so that each is another one.
type conn struct{ _ byte }

var (
	_ driver.ExecerContext  = (*conn)(nil)
	_ driver.QueryerContext = (*conn)(nil)
	_ driver.ConnBeginTx    = (*conn)(nil)
)

func (*conn) ExecContext(context.Context, string, []driver.NamedValue) (driver.Result, error) {
	return driver.RowsAffected(1), nil
}

func (*conn) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return rows{}, nil
}

func (*conn) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) { return sqlTx{}, nil }
func (*conn) Begin() (driver.Tx, error)                                    { return sqlTx{}, nil }
func (*conn) Prepare(string) (driver.Stmt, error)                          { return statement{}, nil }
func (*conn) Close() error                                                 { return nil }

type sqlTx struct{}

func (sqlTx) Commit() error   { return nil }
func (sqlTx) Rollback() error { return nil }

type statement struct{}

func (statement) Close() error                               { return nil }
func (statement) NumInput() int                              { return -1 }
func (statement) Exec([]driver.Value) (driver.Result, error) { return driver.RowsAffected(1), nil }
func (statement) Query([]driver.Value) (driver.Rows, error)  { return rows{}, nil }

type rows struct{}

func (rows) Columns() []string         { return []string{"nothing"} }
func (rows) Close() error              { return nil }
func (rows) Next([]driver.Value) error { return io.EOF }

// Dialect returns the dialect, which begins a transaction together with its
// first statement, as that of PostgreSQL does.
func Dialect() dialect.Dialect { return noop{} }

type noop struct{}

var (
	_ dialect.ExecBeginner = noop{}
	_ dialect.Tx           = (*tx)(nil)
)

func (noop) Name() string { return "noop" }

func (noop) Classify(err error) dialect.Kind { return dialect.KindOf(err) }

func (noop) Begin(_ context.Context, conn *sql.Conn, _ dialect.Begin) (dialect.Tx, error) {
	return &tx{conn}, nil
}

func (noop) BeginExec(ctx context.Context, conn *sql.Conn, _ dialect.Begin, query string, args ...any) (dialect.Tx, sql.Result, error) {
	t := &tx{conn}
	result, err := t.Exec(ctx, query, args...)
	return t, result, err
}

// tx sends statements through database/sql, so that they cost what those of a
// transaction by hand do.
type tx struct{ conn *sql.Conn }

func (t *tx) Exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return t.conn.ExecContext(ctx, query, args...)
}

func (*tx) Lock(context.Context, []dialect.Lock) error      { return nil }
func (*tx) Savepoint(context.Context, string) error         { return nil }
func (*tx) RollbackTo(context.Context, string) error        { return nil }
func (*tx) Release(context.Context, string) error           { return nil }
func (*tx) State() dialect.State                            { return dialect.Active }
func (*tx) Rollback(context.Context) error                  { return nil }
func (*tx) Commit(context.Context) (dialect.Outcome, error) { return dialect.Committed, nil }

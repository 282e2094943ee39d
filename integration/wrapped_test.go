package integration

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect/dialecttest"
)

// wrappedHarness runs the suite behind a driver wrapper, as libraries for
// tracing have one, that hides the driver's own connection.
type wrappedHarness struct{ postgresHarness }

func (h wrappedHarness) Open(tb testing.TB, dsn, address string) *sqlx.DB {
	config, err := pgx.ParseConfig(h.dsnAt(tb, dsn, address))
	if err != nil {
		tb.Fatal(err)
	}
	return sqlx.NewDb(sql.OpenDB(wrappingConnector{stdlib.GetConnector(*config)}), "pgx")
}

func TestPostgresWrapped(t *testing.T) {
	dialecttest.Run(t, wrappedHarness{}, shortly(t, "Outcome", "Nesting", "Context", "Faults", "Hygiene", "LockInUnit")...)
}

// shortly returns the topics of a suite's short form, which it tells; nil, which
// is all, in the long form.
func shortly(t *testing.T, topics ...string) []string {
	if !testing.Short() {
		return nil
	}
	t.Logf("short form: %s alone", strings.Join(topics, ", "))
	return topics
}

type wrappingConnector struct{ driver.Connector }

func (c wrappingConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return wrappedConn{conn.(*stdlib.Conn)}, nil
}

// wrappedConn forwards what database/sql asks for and is not a *stdlib.Conn.
type wrappedConn struct{ conn *stdlib.Conn }

func (w wrappedConn) Prepare(query string) (driver.Stmt, error) { return w.conn.Prepare(query) }
func (w wrappedConn) Close() error                              { return w.conn.Close() }

// Begin is part of driver.Conn; database/sql calls BeginTx.
func (w wrappedConn) Begin() (driver.Tx, error) {
	return w.BeginTx(context.Background(), driver.TxOptions{})
}

func (w wrappedConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	return w.conn.BeginTx(ctx, opts)
}

func (w wrappedConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	return w.conn.PrepareContext(ctx, query)
}

func (w wrappedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return w.conn.ExecContext(ctx, query, args)
}

func (w wrappedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return w.conn.QueryContext(ctx, query, args)
}

func (w wrappedConn) Ping(ctx context.Context) error         { return w.conn.Ping(ctx) }
func (w wrappedConn) ResetSession(ctx context.Context) error { return w.conn.ResetSession(ctx) }
func (w wrappedConn) CheckNamedValue(value *driver.NamedValue) error {
	return w.conn.CheckNamedValue(value)
}

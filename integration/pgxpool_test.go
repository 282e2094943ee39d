package integration

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect/dialecttest"
)

// pgxpoolHarness runs the suite on a pool of pgx's own, out of which database/sql
// takes its connections.
type pgxpoolHarness struct{ postgresHarness }

func (h pgxpoolHarness) Open(tb testing.TB, dsn, address string) *sqlx.DB {
	config, err := pgxpool.ParseConfig(h.dsnAt(tb, dsn, address))
	if err != nil {
		tb.Fatal(err)
	}
	config.MaxConns = 200 // what database/sql does not know of
	return fromPgxpool(tb, config)
}

// fromPgxpool opens a pool of database/sql over one of pgx, until tb ends.
func fromPgxpool(tb testing.TB, config *pgxpool.Config) *sqlx.DB {
	pool, err := pgxpool.NewWithConfig(tb.Context(), config)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		closed := make(chan struct{})
		go func() { defer close(closed); pool.Close() }()
		select {
		case <-closed:
		case <-time.After(time.Minute):
			tb.Error("a connection has not come back to the pgxpool")
		}
	})
	return sqlx.NewDb(stdlib.OpenDBFromPool(pool), "pgx")
}

// Lent implements dialecttest.Lender.
func (pgxpoolHarness) Lent(driverConn any) any { return driverConn.(*stdlib.Conn).Conn() }

func TestPostgresFromPgxpool(t *testing.T) {
	dialecttest.Run(t, pgxpoolHarness{}, shortly(t, "Outcome", "Context", "Faults", "Hygiene")...)
}

package integration

import (
	"net"
	"net/url"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/dialect/dialecttest"
	"github.com/lockstep-go/lockstep/dialect/postgres"
	"github.com/lockstep-go/lockstep/integration/servers/serverstest"
)

// byURL is what harnesses have in common whose DSNs are URLs.
type byURL struct{}

// Address implements dialecttest.Harness.
func (byURL) Address(tb testing.TB, dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		tb.Fatal(err)
	}
	return net.JoinHostPort(u.Hostname(), u.Port())
}

// dsnAt is dsn, leading to address unless that is empty.
func (byURL) dsnAt(tb testing.TB, dsn, address string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		tb.Fatal(err)
	}
	if address != "" {
		u.Host = address
	}
	return u.String()
}

// postgresHarness runs the suite on PostgreSQL.
type postgresHarness struct{ byURL }

func (postgresHarness) Dialect() dialect.Dialect { return postgres.Dialect() }

func (postgresHarness) NewDatabase(tb testing.TB) string { return serverstest.PostgresDatabase(tb) }

func (h postgresHarness) Open(tb testing.TB, dsn, address string) *sqlx.DB {
	db, err := postgres.Open(h.dsnAt(tb, dsn, address))
	if err != nil {
		tb.Fatal(err)
	}
	return db
}

func (postgresHarness) Kill(tb testing.TB, admin *sqlx.DB, session string) {
	if _, err := admin.ExecContext(tb.Context(), "select pg_terminate_backend($1::int)", session); err != nil {
		tb.Fatal(err)
	}
}

func TestPostgres(t *testing.T) { dialecttest.Run(t, postgresHarness{}) }

package integration

import (
	"net/url"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect/dialecttest"
	"github.com/lockstep-go/lockstep/dialect/postgres"
	"github.com/lockstep-go/lockstep/integration/servers/serverstest"
)

// pgBouncerHarness runs the suite through PgBouncer in transaction pooling: a
// connection keeps its server process for the length of a transaction alone.
type pgBouncerHarness struct {
	postgresHarness
	address string
}

func TestPgBouncer(t *testing.T) {
	bouncer := serverstest.PgBouncer(t, serverstest.PostgresURL(t))
	at, err := url.Parse(bouncer.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("through %v", bouncer)
	dialecttest.Run(t, pgBouncerHarness{address: at.Host},
		shortly(t, "Outcome", "Context", "Faults", "LockCore", "LockModes", "LockSets", "LockInUnit", "LockPool", "Processes")...)
}

func (h pgBouncerHarness) Address(testing.TB, string) string { return h.address }

func (h pgBouncerHarness) Open(tb testing.TB, dsn, address string) *sqlx.DB {
	if address == "" {
		address = h.address
	}
	// Statements prepared by name belong to a server process, which the next
	// transaction may not get again.
	u, err := url.Parse(h.dsnAt(tb, dsn, address))
	if err != nil {
		tb.Fatal(err)
	}
	query := u.Query()
	query.Set("default_query_exec_mode", "exec")
	u.RawQuery = query.Encode()
	db, err := postgres.Open(u.String())
	if err != nil {
		tb.Fatal(err)
	}
	return db
}

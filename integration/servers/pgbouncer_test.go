package servers

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
)

// newPgBouncer starts a PgBouncer in front of server for one test.
func newPgBouncer(t *testing.T, server *Server) *PgBouncer {
	t.Helper()
	bouncer, err := StartPgBouncer(t.Context(), server.URL)
	if MaySkip(err, RequirePgBouncer) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := bouncer.Stop(); err != nil {
			t.Error(err)
		}
	})
	return bouncer
}

// connect opens a connection that the test closes at its end.
func connect(t *testing.T, address string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeConn(t.Context(), conn) })
	return conn
}

func TestPgBouncerPoolsTransactions(t *testing.T) {
	t.Parallel()
	bouncer := newPgBouncer(t, started(t, PostgresFromBinaries))
	if pools, err := bouncer.Pools(t.Context()); err != nil || len(pools) != 0 {
		t.Errorf("before the first client: pools %v, error %v; want none", pools, err)
	}
	const clients = 2 * PgBouncerPoolSize
	backends := map[string]bool{}
	for range clients {
		var pid string
		row := connect(t, bouncer.URL).QueryRow(t.Context(),
			"SELECT pg_backend_pid()::text", pgx.QueryExecModeSimpleProtocol)
		if err := row.Scan(&pid); err != nil {
			t.Fatal(err)
		}
		backends[pid] = true
	}
	// In session pooling each client would hold a server connection of its own.
	if len(backends) > PgBouncerPoolSize {
		t.Errorf("%d clients used %d server connections", clients, len(backends))
	}
	pools, err := bouncer.Pools(t.Context())
	if err != nil || len(pools) != 1 {
		t.Fatalf("pools %v, error %v; want one", pools, err)
	}
	want := PoolCounts{Database: "postgres", User: superuser, ClientsActive: clients, ServersIdle: len(backends)}
	if pools[0] != want {
		t.Errorf("pool %+v; want %+v", pools[0], want)
	}
}

func TestPgBouncerRestart(t *testing.T) {
	t.Parallel()
	bouncer := newPgBouncer(t, started(t, PostgresFromBinaries))
	before := connect(t, bouncer.URL)
	if err := bouncer.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := before.Ping(t.Context()); err == nil {
		t.Error("a connection outlived the restart")
	}
	if err := connect(t, bouncer.URL).Ping(t.Context()); err != nil {
		t.Errorf("after the restart: %v", err)
	}
	if err := bouncer.Stop(); err != nil {
		t.Error(err)
	}
	if err := bouncer.Restart(t.Context()); err == nil {
		t.Error("Restart after Stop gave no error")
	}
	if err := refused(bouncer.URL); err != nil {
		t.Errorf("after Stop: %v", err)
	}
}

func TestPgBouncerCrashIsTold(t *testing.T) {
	t.Parallel()
	bouncer, err := StartPgBouncer(t.Context(), started(t, PostgresFromBinaries).URL)
	if MaySkip(err, RequirePgBouncer) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	console, err := bouncer.console(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer console.Close(context.Background())
	// Its answer is the end of the connection.
	_, _ = console.Exec(t.Context(), "SHUTDOWN")
	<-bouncer.process.ended
	if err := bouncer.Stop(); !errors.Is(err, errEndedByItself) {
		t.Errorf("Stop: %v; want %v", err, errEndedByItself)
	}
}

func TestQuoteUser(t *testing.T) {
	t.Parallel()
	if got, want := quoteUser(`pass"word`), `"pass""word"`; got != want {
		t.Errorf("quoteUser = %s; want %s", got, want)
	}
}

package serverstest

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/lockstep-go/lockstep/integration/servers"
)

// PostgresURL is the address of the PostgreSQL server that [Main] found. Where
// there is none it skips tb with the reason, or fails it where LOCKSTEP_REQUIRE
// names the server. Tests that write take a [PostgresDatabase] or a
// [PostgresSchema] instead.
func PostgresURL(tb testing.TB) string {
	tb.Helper()
	return serverURL(tb, servers.Postgres)
}

// PostgresDatabase creates an empty database for one test and returns its URL.
// When the test ends, whatever is still connected to it is thrown out and it is
// dropped. It isolates advisory locks as well as tables, and costs about 50 ms.
// Where there is no server it ends the test as [PostgresURL] does.
func PostgresDatabase(tb testing.TB) string {
	tb.Helper()
	server := PostgresURL(tb)
	name := newName()
	// template0 is the one template that nothing connects to or changes.
	executePostgres(tb, server, "CREATE DATABASE "+name+" TEMPLATE template0")
	tb.Cleanup(func() { executePostgres(tb, server, "DROP DATABASE "+name+" WITH (FORCE)") })
	return edit(tb, server, func(u *url.URL) { u.Path = "/" + name })
}

// PostgresSchema creates an empty schema for one test, in the server's own
// database, and returns a URL whose connections create and find their tables
// there. It is dropped, with all it holds, when the test ends. It costs a tenth
// of what [PostgresDatabase] does, but shares advisory locks with every other
// test, and its URL does not work through PgBouncer. Where there is no server
// it ends the test as [PostgresURL] does.
func PostgresSchema(tb testing.TB) string {
	tb.Helper()
	server := PostgresURL(tb)
	name := newName()
	executePostgres(tb, server, "CREATE SCHEMA "+name)
	tb.Cleanup(func() { executePostgres(tb, server, "DROP SCHEMA "+name+" CASCADE") })
	return edit(tb, server, func(u *url.URL) {
		query := u.Query()
		query.Set("options", strings.TrimSpace(query.Get("options")+" -c search_path="+name))
		// PostgreSQL's own reading of URLs takes a plus sign as it stands.
		u.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20")
	})
}

// PgBouncer starts a PgBouncer of the test's own in front of the database at
// postgresURL, which [PostgresDatabase] made, and stops it when the test ends;
// see [servers.StartPgBouncer]. It skips tb where the program is missing, or
// fails it where LOCKSTEP_REQUIRE names pgbouncer.
func PgBouncer(tb testing.TB, postgresURL string) *servers.PgBouncer {
	tb.Helper()
	bouncer, err := servers.StartPgBouncer(tb.Context(), postgresURL)
	if err != nil {
		if servers.MaySkip(err, servers.RequirePgBouncer) {
			tb.Skip(err)
		}
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := bouncer.Stop(); err != nil {
			tb.Error(err)
		}
	})
	return bouncer
}

// executePostgres runs one statement in the server's own database.
func executePostgres(tb testing.TB, server, statement string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), executeTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		tb.Errorf("%s: %v", statement, err)
	}
}

package serverstest_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/lockstep-go/lockstep/integration/servers"
	"github.com/lockstep-go/lockstep/integration/servers/serverstest"
)

func TestMain(m *testing.M) { os.Exit(serverstest.Main(m, servers.Postgres, servers.MSSQL)) }

// query runs one query in the simple protocol, which PgBouncer needs, and
// returns its one value.
func query(t *testing.T, address, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var value string
	if err := conn.QueryRow(t.Context(), sql, pgx.QueryExecModeSimpleProtocol).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

func TestDatabaseIsTheTestsOwn(t *testing.T) {
	t.Parallel()
	var name string
	var left *pgx.Conn
	t.Run("test", func(t *testing.T) {
		one, other := serverstest.PostgresDatabase(t), serverstest.PostgresDatabase(t)
		if name = query(t, one, "SELECT current_database()"); name == query(t, other, "SELECT current_database()") {
			t.Errorf("two calls gave the same database %s", name)
		}
		var err error
		if left, err = pgx.Connect(t.Context(), one); err != nil {
			t.Fatal(err)
		}
	})
	if left == nil {
		t.Skip("no server")
	}
	if err := left.Ping(t.Context()); err == nil {
		t.Error("a connection to the database outlived the test")
	}
	count := query(t, serverstest.PostgresURL(t), "SELECT count(*)::text FROM pg_database WHERE datname = '"+name+"'")
	if count != "0" {
		t.Errorf("the database %s outlived the test", name)
	}
}

func TestSchemaIsTheTestsOwn(t *testing.T) {
	t.Parallel()
	var name string
	t.Run("test", func(t *testing.T) {
		one, other := serverstest.PostgresSchema(t), serverstest.PostgresSchema(t)
		if name = query(t, one, "SELECT current_schema()::text"); name == query(t, other, "SELECT current_schema()::text") {
			t.Errorf("two calls gave the same schema %s", name)
		}
	})
	if name == "" {
		t.Skip("no server")
	}
	count := query(t, serverstest.PostgresURL(t), "SELECT count(*)::text FROM pg_namespace WHERE nspname = '"+name+"'")
	if count != "0" {
		t.Errorf("the schema %s outlived the test", name)
	}
}

func TestPgBouncerServesTheTestsDatabase(t *testing.T) {
	t.Parallel()
	database := serverstest.PostgresDatabase(t)
	bouncer := serverstest.PgBouncer(t, database)
	const which = "SELECT current_database()"
	if got, want := query(t, bouncer.URL, which), query(t, database, which); got != want {
		t.Errorf("database %s through PgBouncer; want %s", got, want)
	}
}

// The next functions do something only in a child process that the tests below
// them start; they stand for a package's tests.

func asChild() bool { return os.Getenv("LOCKSTEP_TEST_CHILD") != "" }

func TestChildNeedsServer(t *testing.T) {
	if asChild() {
		serverstest.PostgresDatabase(t)
	}
}

func TestChildNeedsSQLServer(t *testing.T) {
	if asChild() {
		serverstest.MSSQLDatabase(t)
	}
}

func TestChildLeaks(t *testing.T) {
	if asChild() {
		go func() { select {} }()
	}
}

func Example_child() {
	// Output:
}

// child runs this test program with the given tests and environment.
func child(t *testing.T, pattern string, environment ...string) (output string, err error) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.v", "-test.run="+pattern)
	cmd.Env = append(os.Environ(), "LOCKSTEP_TEST_CHILD=1")
	cmd.Env = append(cmd.Env, environment...)
	text, err := cmd.CombinedOutput()
	return string(text), err
}

// without are the variables of a process that knows there is no server.
func without(require string) []string {
	return []string{
		servers.EnvPostgresURL + "=", servers.EnvPostgresNone + "=all gone fishing",
		servers.EnvMSSQLURL + "=", servers.EnvMSSQLNone + "=all gone swimming", servers.EnvRequire + "=" + require,
	}
}

func TestNoServerSkipsVisibly(t *testing.T) {
	t.Parallel()
	output, err := child(t, "^(TestChildNeedsServer|TestChildNeedsSQLServer|Example_child)$", without("pgbouncer")...)
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	for _, want := range []string{
		"lockstep: tests that need PostgreSQL and Examples are skipped: no server found: all gone fishing\n",
		"no PostgreSQL: all gone fishing\n--- SKIP: TestChildNeedsServer",
		"lockstep: tests that need SQL Server and Examples are skipped: no server found: all gone swimming\n",
		"no SQL Server: all gone swimming\n--- SKIP: TestChildNeedsSQLServer",
	} {
		if !strings.Contains(output, want) {
			t.Errorf("output lacks %q:\n%s", want, output)
		}
	}
	if strings.Contains(output, "Example_child") {
		t.Errorf("an Example ran:\n%s", output)
	}
}

func TestNoServerFailsWhereItIsRequired(t *testing.T) {
	t.Parallel()
	for _, require := range []string{"postgres", "pgbouncer,docker", "mssql", "mssql-simulator"} {
		if output, err := child(t, "^TestChildNeedsServer$", without(require)...); err == nil {
			t.Errorf("required %s: passed:\n%s", require, output)
		}
	}
}

func TestLeftOverGoroutineFails(t *testing.T) {
	t.Parallel()
	serverstest.PostgresURL(t)
	output, err := child(t, "^TestChildLeaks$")
	if err == nil || !strings.Contains(output, "after all tests: found unexpected goroutines") {
		t.Errorf("error %v; want one about goroutines:\n%s", err, output)
	}
}

func TestPrintsWhichServer(t *testing.T) {
	t.Parallel()
	serverstest.PostgresURL(t)
	output, err := child(t, "^$", servers.EnvPostgresSource+"=a shelf")
	if err != nil || !strings.HasPrefix(output, "lockstep: PostgreSQL ") || !strings.Contains(output, " from a shelf (") {
		t.Errorf("error %v, output %q; want a line that names the server", err, output)
	}
}

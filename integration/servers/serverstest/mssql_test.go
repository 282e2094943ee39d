package serverstest_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/lockstep-go/lockstep/integration/servers/serverstest"
)

// askMSSQL runs one query and returns its one value.
func askMSSQL(t *testing.T, address, query string, args ...any) (value string) {
	t.Helper()
	db, err := sql.Open("sqlserver", address)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(t.Context(), query, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value
}

func TestMSSQLDatabaseIsTheTestsOwn(t *testing.T) {
	t.Parallel()
	var name string
	var db *sql.DB
	var left *sql.Conn
	t.Run("test", func(t *testing.T) {
		one, other := serverstest.MSSQLDatabase(t), serverstest.MSSQLDatabase(t)
		if name = askMSSQL(t, one, "SELECT DB_NAME()"); name == askMSSQL(t, other, "SELECT DB_NAME()") {
			t.Errorf("two calls gave the same database %s", name)
		}
		var err error
		if db, err = sql.Open("sqlserver", one); err != nil {
			t.Fatal(err)
		}
		if left, err = db.Conn(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := left.ExecContext(t.Context(), "CREATE TABLE used (n INT)"); err != nil {
			t.Fatal(err)
		}
	})
	if left == nil {
		t.Skip("no server")
	}
	defer db.Close()
	defer left.Close()
	// A server that cannot throw out sessions, which is logged, may keep both.
	if err := left.PingContext(context.Background()); err == nil {
		t.Error("a connection to the database outlived the test")
	}
	count := askMSSQL(t, serverstest.MSSQLURL(t), "SELECT COUNT(*) FROM sys.databases WHERE name = @p1", name)
	if count != "0" {
		t.Errorf("the database %s outlived the test", name)
	}
}

package serverstest

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"testing"

	_ "github.com/microsoft/go-mssqldb" // the driver

	"github.com/lockstep-go/lockstep/integration/servers"
)

// MSSQLURL is [PostgresURL] for SQL Server, or for its simulator where [Main]
// found nothing else.
func MSSQLURL(tb testing.TB) string {
	tb.Helper()
	return serverURL(tb, servers.MSSQL)
}

// MSSQLDatabase creates an empty database for one test and returns its URL. It
// allows snapshot isolation where the server lets it. When the test ends,
// whatever is still connected to it is thrown out and it is dropped; a server
// that cannot throw out sessions gets the plain DROP DATABASE, and what it does
// not do is logged. Where there is no server it ends the test as [MSSQLURL]
// does.
func MSSQLDatabase(tb testing.TB) string {
	tb.Helper()
	server := MSSQLURL(tb)
	name := newName()
	if err := executeMSSQL(server, "CREATE DATABASE "+name); err != nil {
		tb.Fatalf("creating a database: %v", err)
	}
	tb.Cleanup(func() { dropMSSQL(tb, server, name) })
	if err := executeMSSQL(server, "ALTER DATABASE "+name+" SET ALLOW_SNAPSHOT_ISOLATION ON"); err != nil {
		tb.Logf("database %s without snapshot isolation: %v", name, err)
	}
	return edit(tb, server, func(u *url.URL) {
		query := u.Query()
		query.Set("database", name)
		u.RawQuery = query.Encode()
	})
}

// dropMSSQL drops a test's database. It only logs when that fails: the test has
// shown what it had to, and not every server can drop what is in use.
func dropMSSQL(tb testing.TB, server, name string) {
	tb.Helper()
	// Between two connections another session could become the single user.
	force := "ALTER DATABASE " + name + " SET SINGLE_USER WITH ROLLBACK IMMEDIATE"
	err := executeMSSQL(server, force, "DROP DATABASE "+name)
	if err == nil {
		return
	}
	if plain := executeMSSQL(server, "DROP DATABASE "+name); plain != nil {
		tb.Logf("database %s is left: %v", name, errors.Join(err, plain))
		return
	}
	tb.Logf("database %s dropped without force: %v", name, err)
}

// executeMSSQL runs statements on one connection to the server's own database,
// up to the first that fails.
func executeMSSQL(server string, statements ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), executeTimeout)
	defer cancel()
	db, err := sql.Open("sqlserver", server)
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, statement := range statements {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

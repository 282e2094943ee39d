package schedule

import (
	"net"
	"net/url"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect/mssql"
	"github.com/lockstep-go/lockstep/dialect/postgres"
	"github.com/lockstep-go/lockstep/integration/servers/serverstest"
	"github.com/lockstep-go/lockstep/internal/tdstest"
)

// FuzzOnSQLServer runs programs on the simulator of SQL Server, in this process.
func FuzzOnSQLServer(f *testing.F) {
	server, err := tdstest.Start()
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = server.Close() })
	s := &target{
		dialect: mssql.Dialect(mssql.WithOutcomeTable("outcome")),
		address: server.Addr().String(),
		held:    "select count(*) from sys.dm_tran_locks where resource_type = 'APPLICATION'",
		open: func(address string) (*sqlx.DB, error) {
			return mssql.Open(at(server.URL("sa", "secret", "master"), address))
		},
	}
	s.prepare(f)
	if err := mssql.CreateOutcomeTable(f.Context(), s.admin, "outcome"); err != nil {
		f.Fatal(err)
	}
	fuzz(f, s)
}

// FuzzOnPostgres runs programs on PostgreSQL, where there is one.
func FuzzOnPostgres(f *testing.F) {
	dsn := serverstest.PostgresDatabase(f)
	u, err := url.Parse(dsn)
	if err != nil {
		f.Fatal(err)
	}
	s := &target{
		dialect: postgres.Dialect(),
		address: net.JoinHostPort(u.Hostname(), u.Port()),
		held: "select count(*) from pg_locks where locktype = 'advisory' " +
			"and database = (select oid from pg_database where datname = current_database())",
		open: func(address string) (*sqlx.DB, error) { return postgres.Open(at(dsn, address)) },
	}
	s.prepare(f)
	fuzz(f, s)
}

// at returns the URL of a server, leading to address unless that is empty.
func at(dsn, address string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		panic(err)
	}
	if address != "" {
		u.Host = address
	}
	return u.String()
}

// prepare makes the tables. Rows of item are told apart by nothing, so that one
// written twice is there twice.
func (s *target) prepare(f *testing.F) {
	var err error
	if s.admin, err = s.open(""); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.admin.Close() })
	for _, statement := range []string{
		"create table counter (run int not null primary key, n int not null)",
		"create table item (run int not null, id int not null)",
	} {
		if _, err := s.admin.ExecContext(f.Context(), statement); err != nil {
			f.Fatal(err)
		}
	}
}

//go:build unix

package peers

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect/postgres"
	"github.com/lockstep-go/lockstep/integration/servers/serverstest"
	"github.com/lockstep-go/lockstep/uow"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(tryRecordLock); path != "" {
		os.Exit(recordLocker(path))
	}
	os.Exit(serverstest.Main(m))
}

// A server is a database of the test's own with one table.
type server struct {
	t   *testing.T
	url string
	db  *sqlx.DB // for looking
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, url: serverstest.PostgresDatabase(t)}
	s.db = s.open()
	s.db.MustExecContext(t.Context(), "create table entry (id int primary key)")
	return s
}

// open opens a pool of its own, as that of another process.
func (s *server) open() *sqlx.DB {
	s.t.Helper()
	db, err := postgres.Open(s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = db.Close() })
	return db
}

// manager is a Manager on a pool of its own.
func (s *server) manager() *uow.Manager {
	s.t.Helper()
	return uow.New(s.open(), postgres.Dialect())
}

// count returns what a query counts.
func (s *server) count(query string, args ...any) (n int) {
	s.t.Helper()
	if err := s.db.GetContext(s.t.Context(), &n, query, args...); err != nil {
		s.t.Fatalf("%s: %v", query, err)
	}
	return n
}

// wantEntries checks how many rows were committed.
func (s *server) wantEntries(who string, want int) {
	s.t.Helper()
	if n := s.count("select count(*) from entry"); n != want {
		s.t.Errorf("%s: %d rows were committed, want %d", who, n, want)
	}
	s.db.MustExecContext(s.t.Context(), "delete from entry")
}

// advisoryLocks counts the locks that sessions of the database hold.
func (s *server) advisoryLocks() int {
	s.t.Helper()
	return s.count("select count(*) from pg_locks where locktype = 'advisory' and granted and database = (select oid from pg_database where datname = current_database())")
}

// eventually waits until a condition is met.
func eventually(t *testing.T, what string, met func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for !met() {
		select {
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

const insert = "insert into entry values ($1)"

var errNoStock = errors.New("no stock")

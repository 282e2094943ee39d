package integration

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect/mssql"
	"github.com/lockstep-go/lockstep/integration/servers/serverstest"
	"github.com/lockstep-go/lockstep/internal/faultproxy"
	"github.com/lockstep-go/lockstep/internal/pooltest"
	"github.com/lockstep-go/lockstep/internal/tdstest"
	"github.com/lockstep-go/lockstep/uow"
)

// mssqlLab is a database of a test's own, for what only SQL Server can show.
type mssqlLab struct {
	*testing.T
	dsn   string
	ctx   context.Context
	watch *sqlx.DB // the driver's own, outside the library
}

// newMSSQLLab makes a database on the server that was found.
func newMSSQLLab(t *testing.T) *mssqlLab {
	t.Helper()
	t.Parallel()
	return enterMSSQL(t, serverstest.MSSQLDatabase(t))
}

// newSimulator starts a simulator of the test's own, for what no server can be
// made to do on demand.
func newSimulator(t *testing.T) (*mssqlLab, *tdstest.Server) {
	t.Helper()
	t.Parallel()
	server, err := tdstest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return enterMSSQL(t, server.URL("sa", "secret", "master")), server
}

// enterMSSQL makes table item (id, n) with the rows (1,0), (2,0) and (3,0).
func enterMSSQL(t *testing.T, dsn string) *mssqlLab {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*factPatience)
	t.Cleanup(cancel)
	watch, err := sqlx.Open("sqlserver", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = watch.Close() })
	l := &mssqlLab{T: t, dsn: dsn, ctx: ctx, watch: watch}
	l.do("create table item (id int not null primary key, n int not null)")
	l.do("insert into item values (1,0),(2,0),(3,0)")
	return l
}

// db returns a pool of n connections, through address unless that is empty.
func (l *mssqlLab) db(n int, address string) *sqlx.DB {
	l.Helper()
	db := mssqlHarness{}.Open(l.T, l.dsn, address)
	db.SetMaxOpenConns(n)
	l.Cleanup(func() {
		pooltest.WantAllBack(l, db)
		_ = db.Close()
	})
	return db
}

// pool returns a Manager with a pool of n connections of its own.
func (l *mssqlLab) pool(n int, opts ...mssql.Option) *uow.Manager {
	l.Helper()
	return uow.New(l.db(n, ""), mssql.Dialect(opts...))
}

// proxied is pool behind a fault proxy.
func (l *mssqlLab) proxied(n int, opts ...mssql.Option) (*faultproxy.Proxy, *uow.Manager) {
	l.Helper()
	proxy, err := faultproxy.Start(mssqlHarness{}.Address(l.T, l.dsn))
	l.check(err)
	l.Cleanup(func() { _ = proxy.Close() })
	return proxy, uow.New(l.db(n, proxy.Addr()), mssql.Dialect(opts...))
}

func (l *mssqlLab) check(err error) {
	l.Helper()
	if err != nil {
		l.Fatalf("unexpected error: %v", err)
	}
}

// wantIs may be called on any goroutine.
func (l *mssqlLab) wantIs(err, target error) {
	l.Helper()
	if !errors.Is(err, target) {
		l.Errorf("error %v, want one that is %q", err, target)
	}
}

// do runs a statement outside the library.
func (l *mssqlLab) do(query string) {
	l.Helper()
	if _, err := l.watch.ExecContext(l.ctx, query); err != nil {
		l.Fatalf("%s: %v", query, err)
	}
}

// ask returns the one value of a query; NULL is empty.
func (l *mssqlLab) ask(q sqlx.QueryerContext, query string) string {
	l.Helper()
	var value *string
	if err := sqlx.GetContext(l.ctx, q, &value, query); err != nil {
		l.Fatalf("%s: %v", query, err)
	}
	if value == nil {
		return ""
	}
	return *value
}

func (l *mssqlLab) wants(q sqlx.QueryerContext, query, want string) {
	l.Helper()
	if got := l.ask(q, query); got != want {
		l.Errorf("%s: %q, want %q", query, got, want)
	}
}

// until asks the server until it answers as wanted.
func (l *mssqlLab) until(query, want string) {
	l.Helper()
	for l.ask(l.watch, query) != want {
		l.check(l.ctx.Err())
	}
}

// begin opens a unit that is closed when the test ends, if not before.
func (l *mssqlLab) begin(m *uow.Manager, opts ...uow.Option) *uow.Scope {
	l.Helper()
	_, scope, err := m.Begin(l.ctx, opts...)
	l.check(err)
	l.Cleanup(func() { _ = scope.Close() })
	return scope
}

// start runs f on a goroutine.
func (l *mssqlLab) start(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

// ended returns what the work behind a channel returned.
func (l *mssqlLab) ended(done <-chan error) error {
	l.Helper()
	select {
	case err := <-done:
		return err
	case <-l.ctx.Done():
		l.Fatal("still waiting")
		return nil
	}
}

// statements are the texts that passed the proxy, without the driver's ping.
func statements(proxy *faultproxy.Proxy) []string {
	return slices.DeleteFunc(proxy.Statements(), func(s string) bool { return s == "-- ping" })
}

// wantUnsent reports statements on the wire that hold a text.
func (l *mssqlLab) wantUnsent(proxy *faultproxy.Proxy, text string) {
	l.Helper()
	for _, s := range statements(proxy) {
		if strings.Contains(s, text) {
			l.Errorf("sent: %s", s)
		}
	}
}

// as returns the lab's DSN for another login or database.
func (l *mssqlLab) as(change func(*url.URL, url.Values)) string {
	l.Helper()
	u, err := url.Parse(l.dsn)
	l.check(err)
	query := u.Query()
	change(u, query)
	u.RawQuery = query.Encode()
	return u.String()
}

// spid is the session that serves the next user of a pool of one connection.
func (l *mssqlLab) spid(q sqlx.QueryerContext) string {
	l.Helper()
	return l.ask(q, "select @@SPID")
}

const (
	mssqlWaiting = "select count(*) from sys.dm_exec_requests where blocking_session_id <> 0 and database_id = db_id()"
	mssqlHeld    = "select count(*) from sys.dm_tran_locks where resource_type = 'APPLICATION' and resource_database_id = db_id()"
)

package mssql_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"

	mssqldb "github.com/microsoft/go-mssqldb"

	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/dialect/mssql"
)

// TestOpenHidesPassword has data source names that cannot be read, and passwords
// with all that has a meaning in them.
func TestOpenHidesPassword(t *testing.T) {
	t.Parallel()
	for _, dsn := range []string{
		"sqlserver://sa:Sesame7@host?encrypt=sometimes",
		"sqlserver://sa:Sesame7@host:port",
		"sqlserver://sa:Sesame7@host:99999",
		"sqlserver://sa:Sesame7/@host",
		"sqlserver://sa:7777777/Sesame7@host",
		"sqlserver://sa:'7777777'/Sesame7@host",
		"sqlserver://sa:Ses%ame7@host",
		"sqlserver://sa:Sesame7@host\x7f",
		"sqlserver://sa:x@host?database=a&password=Sesame7&Password=Sesame7",
		"sqlserver://sa:Sesame7@host?connection+timeout=x",
		"sqlserver://sa:Sesame7@host?certificate=/nowhere/at/all",
		"server=host;password=Sesame7;port=x",
		"server=host;port=Sesame7;password=",
		"server=host;password=Sesame7;encrypt=y'e\ns",
		"odbc:server=host;password={Sesame7",
	} {
		db, err := mssql.Open(dsn)
		if err == nil {
			_ = db.Close()
			t.Errorf("%q: no error", dsn)
			continue
		}
		if strings.Contains(err.Error(), "Sesame") || strings.Contains(err.Error(), "7777") {
			t.Errorf("%q: %v", dsn, err)
		}
	}
}

// TestConnectHidesPassword has errors of connecting.
func TestConnectHidesPassword(t *testing.T) {
	server, _, _ := simulated(t)
	server.Engine().SetUser("app", "right")
	for _, dsn := range []string{
		server.URL("app", "Sesame7", "master"),
		server.URL("sa", "Sesame7", "nowhere"),
		(&url.URL{Scheme: "sqlserver", User: url.UserPassword("sa", "Sesame7"), Host: "127.0.0.1:1", RawQuery: "encrypt=disable"}).String(),
	} {
		db, err := mssql.Open(dsn)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.PingContext(t.Context()); err == nil || strings.Contains(err.Error(), "Sesame") {
			t.Errorf("error %v", err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestPlainUse has the pool used as go-mssqldb's is, without units.
func TestPlainUse(t *testing.T) {
	_, db, _ := simulated(t)
	if name := mssql.Dialect().Name(); name != "mssql" {
		t.Errorf("name %q", name)
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = conn.Raw(func(pooled any) error {
		c := pooled.(*mssql.Conn)
		if got := mssql.Dialect().(dialect.Unwrapper).DriverConn(c); got != any(c.Conn) {
			t.Errorf("DriverConn: %T", got)
		}
		stmt, err := c.Prepare("select 1")
		if err != nil {
			return err
		}
		return stmt.Close()
	})
	if err := errors.Join(err, conn.Close()); err != nil {
		t.Error(err)
	}
	if got := mssql.Dialect().(dialect.Unwrapper).DriverConn(t); got != any(t) {
		t.Errorf("DriverConn of something else: %T", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.GetContext(ctx, new(int), "select 1"); err == nil {
		t.Error("no error")
	}
	ask(t, db, "select 1", "1")
}

// hostDialer looks up names by itself: every one is the simulator.
type hostDialer struct {
	address string
	asked   chan string
}

// DialContext implements mssql.Dialer.
func (d hostDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	select {
	case d.asked <- address:
	default:
	}
	return new(net.Dialer).DialContext(ctx, network, d.address)
}

// HostName implements mssql.HostDialer.
func (hostDialer) HostName() string { return "simulated" }

// TestHostDialer has a name that can be looked up in the dialer's network alone.
func TestHostDialer(t *testing.T) {
	server, _, _ := simulated(t)
	u, err := url.Parse(server.URL("sa", "secret", "master"))
	if err != nil {
		t.Fatal(err)
	}
	dialer := hostDialer{u.Host, make(chan string, 1)}
	u.Host = "database.invalid:1433"
	c, err := mssqldb.NewConnector(u.String())
	if err != nil {
		t.Fatal(err)
	}
	c.Dialer = dialer
	db := mssql.OpenConnector(c)
	defer db.Close()
	ask(t, db, "select 1", "1")
	if address := <-dialer.asked; address != "database.invalid:1433" {
		t.Errorf("dialled %s", address)
	}
}

func TestNilConnector(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	_ = mssql.OpenConnector(nil)
}

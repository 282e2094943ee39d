package mssql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"net"
	"regexp"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
	mssql "github.com/microsoft/go-mssqldb"
	"github.com/microsoft/go-mssqldb/msdsn"
)

// Open returns a database for dsn, as go-mssqldb takes it: a URL such as
// sqlserver://user:password@host:1433?database=name, or an ADO string. It does
// no I/O; the caller closes it. An error tells what is wrong with dsn, without
// its password.
func Open(dsn string) (*sqlx.DB, error) {
	config, err := msdsn.Parse(dsn)
	if err != nil {
		return nil, errors.New("mssql: the data source name cannot be read: " + quoted.ReplaceAllString(err.Error(), "(not shown)"))
	}
	return OpenConfig(config), nil
}

// quoted is what a message quotes of a data source name. A password with a colon
// or a slash in it may be taken for something else.
var quoted = regexp.MustCompile(`(?s)['"].*['"]`)

// OpenConfig is Open for a config that msdsn.Parse has made, for what a DSN
// cannot say.
func OpenConfig(config msdsn.Config) *sqlx.DB {
	c := mssql.NewConnectorConfig(config)
	c.Dialer = plainDialer(config.KeepAlive)
	return OpenConnector(c)
}

// OpenConnector is Open for a connector of go-mssqldb's, such as one that asks
// for access tokens. Its Dialer is replaced by one that dials through it: it must
// not be used elsewhere. A connector without a Dialer gets one whose connections
// are kept alive as by default, whatever its config says; OpenConfig honours that.
// It panics if c is nil.
func OpenConnector(c *mssql.Connector) *sqlx.DB {
	if c == nil {
		panic("mssql: OpenConnector of a nil connector")
	}
	if c.Dialer == nil {
		c.Dialer = plainDialer(0)
	}
	watched := watchedDialer{c.Dialer}
	if host, ok := c.Dialer.(mssql.HostDialer); ok {
		c.Dialer = watchedHostDialer{watched, host}
	} else {
		c.Dialer = watched
	}
	return sqlx.NewDb(sql.OpenDB(connector{c}), "sqlserver")
}

// plainDialer is what the driver would dial with.
func plainDialer(keepAlive time.Duration) *net.Dialer {
	if keepAlive == 0 {
		keepAlive = 30 * time.Second
	}
	return &net.Dialer{KeepAlive: keepAlive}
}

// connector opens the driver's connections and keeps their sockets in reach.
type connector struct{ *mssql.Connector }

// Connect implements driver.Connector.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	s := &sockets{}
	conn, err := c.Connector.Connect(context.WithValue(ctx, socketsKey{}, s))
	if err != nil {
		return nil, err
	}
	return &Conn{Conn: conn.(*mssql.Conn), sockets: s}, nil
}

type socketsKey struct{}

// sockets are what was dialled for one connection of the driver: several where
// a host has several addresses.
type sockets struct {
	mu     sync.Mutex
	dialed []net.Conn
}

// cut closes the network connection below the driver, which then gives up
// whatever it waits for.
func (s *sockets) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, conn := range s.dialed {
		_ = conn.Close()
	}
}

// watchedDialer notes what it dials with the connection that it is dialled for.
type watchedDialer struct{ mssql.Dialer }

// DialContext implements mssql.Dialer.
func (w watchedDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := w.Dialer.DialContext(ctx, network, address)
	if s, ok := ctx.Value(socketsKey{}).(*sockets); ok && err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.dialed = append(s.dialed, conn)
	}
	return conn, err
}

// watchedHostDialer is a watchedDialer of one that looks up names by itself.
type watchedHostDialer struct {
	watchedDialer
	host mssql.HostDialer
}

// HostName implements mssql.HostDialer.
func (w watchedHostDialer) HostName() string { return w.host.HostName() }

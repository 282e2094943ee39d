package tdstest

import (
	"context"
	"errors"
	"net"
	"net/url"
	"sync"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine"
)

// The reasons for which the simulator ends a connection of itself.
var (
	errClosed = errors.New("tdstest: server closed")
	errCut    = errors.New("tdstest: connection cut by a fault")
	errFatal  = errors.New("tdstest: connection ended after an error of class 20 or more")
)

// Server listens for clients and serves each in a session of its engine. It is
// safe for concurrent use.
type Server struct {
	engine   *engine.Server
	backend  backend
	listener net.Listener
	ctx      context.Context // ends with Close
	cancel   context.CancelCauseFunc
	tasks    sync.WaitGroup

	mu          sync.Mutex
	closed      bool
	accepted    int
	roundTrips  int
	connections []*Connection
	requests    []Request
	rules       []*Rule
}

// Option changes what Start makes.
type Option func(*options)

type options struct {
	address string
	engine  *engine.Server
	backend backend
}

// WithAddress listens at a TCP address other than 127.0.0.1:0.
func WithAddress(address string) Option {
	return func(o *options) { o.address = address }
}

// WithEngine serves an engine that the caller made, which may have several
// servers in front of it.
func WithEngine(e *engine.Server) Option {
	return func(o *options) { o.engine = e }
}

// Start listens and serves until Close. The error is that of listening.
func Start(opts ...Option) (*Server, error) {
	o := options{address: "127.0.0.1:0"}
	for _, option := range opts {
		option(&o)
	}
	listener, err := net.Listen("tcp", o.address)
	if err != nil {
		return nil, err
	}
	if o.engine == nil {
		o.engine = engine.New()
	}
	if o.backend == nil {
		o.backend = engineBackend{server: o.engine}
	}
	s := &Server{engine: o.engine, backend: o.backend, listener: listener}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.tasks.Go(s.accept)
	return s, nil
}

// Addr returns the address that clients dial.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Engine returns what runs the requests.
func (s *Server) Engine() *engine.Server { return s.engine }

// URL returns the data source name for go-mssqldb. Encryption is off, as the
// simulator has none.
func (s *Server) URL(user, password, database string) string {
	query := url.Values{"encrypt": {"disable"}}
	if database != "" {
		query.Set("database", database)
	}
	u := url.URL{Scheme: "sqlserver", User: url.UserPassword(user, password), Host: s.Addr().String(), RawQuery: query.Encode()}
	return u.String()
}

// Close ends every connection and returns when all of the server's goroutines
// have ended. Further calls do the same.
func (s *Server) Close() error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	var err error
	if first {
		s.cancel(errClosed)
		err = s.listener.Close()
	}
	s.tasks.Wait()
	return err
}

// DialContext opens a connection in memory, whatever the address, so that a
// Server can be the Dialer of a go-mssqldb Connector.
func (s *Server) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	client, server := net.Pipe()
	if !s.serve(server) {
		return nil, errClosed
	}
	return client, nil
}

func (s *Server) accept() {
	for {
		socket, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.serve(socket)
	}
}

// serve serves a connection on goroutines of its own, or closes it and returns
// false when the server is closed.
func (s *Server) serve(socket net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = socket.Close()
		return false
	}
	s.accepted++
	stats := &Connection{ID: s.accepted, Open: true}
	s.connections = appendBounded(s.connections, stats)
	c := newConnection(s, socket, stats)
	s.tasks.Go(c.serve)
	return true
}

// opened notes the session of a connection.
func (s *Server) opened(stats *Connection, id int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats.Session = id
}

// ended notes why a connection ended.
func (s *Server) ended(stats *Connection, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats.Open, stats.Err = false, err
}

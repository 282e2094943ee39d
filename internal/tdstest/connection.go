package tdstest

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine"
)

const (
	// flushGrace is how long a connection that ends may still write.
	flushGrace = 200 * time.Millisecond

	// queueLength is how many messages a client may be ahead.
	queueLength = 16
)

// connection serves one client. One goroutine reads, so that an attention or
// the client's end is noticed while a request runs; another, which alone
// writes and uses the session, runs the requests one by one.
type connection struct {
	server     *Server
	socket     net.Conn
	stats      *Connection
	ctx        context.Context // ends with the connection, with the reason as its cause
	cancel     context.CancelCauseFunc
	reader     messageReader
	incoming   chan incoming
	session    session // nil before the login
	packetSize int
	database   string
	home       string // the database after the login
}

// incoming is a message on its way from one goroutine to the other.
type incoming struct {
	message
	ctx    context.Context // of the request
	cancel context.CancelCauseFunc
}

func newConnection(s *Server, socket net.Conn, stats *Connection) *connection {
	c := &connection{
		server:     s,
		socket:     socket,
		stats:      stats,
		reader:     messageReader{source: socket, limit: maxPacketSize},
		incoming:   make(chan incoming, queueLength),
		packetSize: defaultPacketSize,
	}
	c.ctx, c.cancel = context.WithCancelCause(s.ctx)
	return c
}

func (c *connection) serve() {
	var tasks sync.WaitGroup
	stop := context.AfterFunc(c.ctx, c.hurry)
	defer stop()
	err := c.handshake()
	if err == nil {
		tasks.Go(c.receive)
		tasks.Go(c.watch)
		err = c.work()
	}
	c.cancel(err)
	// What the session holds is free before the client sees the end.
	if c.session != nil {
		c.session.Close()
	}
	_ = c.socket.Close()
	tasks.Wait()
	c.server.ended(c.stats, err)
}

// hurry ends what waits for the network.
func (c *connection) hurry() {
	_ = c.socket.SetReadDeadline(time.Unix(1, 0))
	_ = c.socket.SetWriteDeadline(time.Now().Add(flushGrace))
}

// handshake answers PRELOGIN and LOGIN7.
func (c *connection) handshake() error {
	for {
		m, err := c.reader.next()
		if err != nil {
			return err
		}
		switch m.kind {
		case packetPrelogin:
			if err = checkPrelogin(m.payload); err == nil {
				err = c.send(preloginReply())
			}
			if err != nil {
				return err
			}
		case packetLogin:
			return c.login(m.payload)
		default:
			return malformed("message of type %d before the login", m.kind)
		}
	}
}

func (c *connection) login(payload []byte) error {
	request, err := parseLogin(payload)
	if err != nil {
		return err
	}
	// The client may take the size that it asks for as agreed at once.
	out := &reply{writer: newReplyWriter(c.socket, min(request.packetSize, defaultPacketSize), 0), database: &c.database}
	s, err := c.server.backend.login(request.Login)
	if err != nil {
		out.fail(engine.Done, 0, loginFailure(err))
		return errors.Join(err, out.finish())
	}
	c.session = s
	c.server.opened(c.stats, s.ID())
	out.writer.spid = uint16(s.ID())
	c.home = request.Database
	if c.home == "" {
		c.home = "master"
	}
	out.welcome(c.home, request.packetSize)
	c.packetSize, c.reader.limit = request.packetSize, request.packetSize
	return out.finish()
}

func loginFailure(err error) engine.Message {
	var m *engine.Message
	if errors.As(err, &m) {
		return *m
	}
	return engine.Message{Number: 18456, State: 1, Class: 14, Text: err.Error()}
}

// receive reads until the connection ends. An attention goes both ways: it
// cancels the request that was read last, and queues for its acknowledgement.
func (c *connection) receive() {
	defer close(c.incoming)
	cancelLast := func(error) {}
	for {
		m, err := c.reader.next()
		if err != nil {
			c.cancel(err)
			return
		}
		next := incoming{message: m}
		if m.kind == packetAttention {
			cancelLast(engine.ErrAttention)
		} else {
			next.ctx, next.cancel = context.WithCancelCause(c.ctx)
			cancelLast = next.cancel
		}
		select {
		case c.incoming <- next:
		case <-c.ctx.Done():
			return
		}
	}
}

// watch ends the connection when its session is killed.
func (c *connection) watch() {
	select {
	case <-c.session.Done():
		c.cancel(engine.ErrKilled)
	case <-c.ctx.Done():
	}
}

// work serves messages until the connection ends, and says why it did. What a
// client sent before it left still reaches its session, but with a context that
// has ended.
func (c *connection) work() error {
	for next := range c.incoming {
		if cause := context.Cause(c.ctx); errors.Is(cause, engine.ErrKilled) || errors.Is(cause, errClosed) {
			return cause
		}
		if err := c.handle(next); err != nil {
			return err
		}
	}
	return context.Cause(c.ctx)
}

func (c *connection) handle(next incoming) error {
	switch {
	case next.kind == packetAttention:
		c.server.observe(c.stats, Request{Connection: c.stats.ID, Session: c.session.ID(), Kind: KindAttention})
		return c.send(attentionDone.encode())
	case next.ignored:
		next.cancel(nil)
		return c.send(done{kind: engine.Done, status: engine.StatusError, command: commandError}.encode())
	}
	defer next.cancel(nil)
	return c.answer(next)
}

// send sends a reply of its own.
func (c *connection) send(payload []byte) error {
	id := 0
	if c.session != nil {
		id = c.session.ID()
	}
	w := newReplyWriter(c.socket, c.packetSize, id)
	w.write(payload)
	return w.finish()
}

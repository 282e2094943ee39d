package faultproxy

import (
	"context"
	"net"
	"sync"
	"time"
)

// connection is a client's connection and the one to the server that answers
// it.
type connection struct {
	proxy  *Proxy
	client net.Conn
	ctx    context.Context // ends when the connection is shut
	cancel context.CancelFunc
	up     *relay
	down   *relay

	requests requests // used by the up relay only
	replies  replies

	// Guarded by the proxy's mutex.
	stats      *ConnectionStats
	unanswered bool // the client awaits a reply that will count
	paired     bool // round trips are counted by messages, not by bursts

	mu     sync.Mutex
	server net.Conn // nil until dialled
	isShut bool
}

func newConnection(p *Proxy, client net.Conn, stats *ConnectionStats) *connection {
	c := &connection{proxy: p, client: client, stats: stats}
	c.ctx, c.cancel = context.WithCancel(p.ctx)
	c.up = newRelay(c, Up)
	c.down = newRelay(c, Down)
	return c
}

// serve runs the connection from dialling the server to its end.
func (c *connection) serve() {
	defer c.proxy.forget(c)
	server, err := c.proxy.target.dial(c.ctx)
	if err != nil {
		c.proxy.noteUnreachable(c, err)
		c.shut(Abort)
		return
	}
	c.relay(server)
}

func (p *Proxy) noteUnreachable(c *connection, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.stats.Err = err
}

// relay passes bytes both ways until both streams have ended or the connection
// is shut.
func (c *connection) relay(server net.Conn) {
	if !c.attach(server) {
		return
	}
	c.up.source, c.up.destination = c.client, server
	c.down.source, c.down.destination = server, c.client
	var receiving, forwarding sync.WaitGroup
	for _, r := range []*relay{c.up, c.down} {
		receiving.Go(r.receive)
		forwarding.Go(r.forward)
	}
	forwarding.Wait()
	c.shut(Orderly)
	receiving.Wait()
}

// attach adopts the server's side, or closes it and returns false if the
// connection was shut while dialling.
func (c *connection) attach(server net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isShut {
		closeSocket(server, Abort)
		return false
	}
	c.server = server
	return true
}

// shut closes both sides. When it returns, both are closed, whoever did it.
func (c *connection) shut(how CutMode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isShut {
		return
	}
	c.isShut = true
	c.cancel()
	closeSocket(c.client, how)
	if c.server != nil {
		closeSocket(c.server, how)
	}
	c.up.queue.close()
	c.down.queue.close()
}

// closeSocket closes one side, with a TCP reset if how is Abort. Its errors
// say that the peer is gone already, which is what is wanted.
func closeSocket(socket net.Conn, how CutMode) {
	if tcp, ok := socket.(*net.TCPConn); ok && how == Abort {
		_ = tcp.SetLinger(0)
	}
	_ = socket.Close()
}

// wait waits for the channel to be closed. It returns false if the connection
// is shut first.
func (c *connection) wait(event <-chan struct{}) bool {
	select {
	case <-event:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// waitUntil waits for the moment. It returns false if the connection is shut
// first.
func (c *connection) waitUntil(moment time.Time) bool {
	remaining := time.Until(moment)
	if remaining <= 0 {
		return c.ctx.Err() == nil
	}
	timer := time.NewTimer(remaining)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// fromClient passes client bytes on, message by message where a rule applies
// and in one piece otherwise.
func (c *connection) fromClient(b []byte) {
	var passing []byte
	for _, m := range c.requests.split(b) {
		c.proxy.observe(c, m)
		c.replies.sent(m, c.requests.protocol)
		rule := c.proxy.claim(m)
		if rule == nil {
			passing = append(passing, m.Payload...)
			continue
		}
		c.up.send(passing)
		passing = nil
		if !c.enact(rule, m) {
			return
		}
	}
	c.up.send(passing)
}

// enact carries out a rule on the message it matched. It returns false if the
// connection is shut.
func (c *connection) enact(rule *Rule, m Message) bool {
	switch rule.action {
	case CutBefore:
		c.shut(Orderly)
		rule.fire()
		return false
	case Hold:
		rule.fire()
		if !c.wait(rule.released) {
			return false
		}
	}
	c.replies.await(rule)
	c.up.send(m.Payload)
	if rule.action == BlackholeReply {
		rule.fire()
	}
	return true
}

// fromServer passes server bytes on, unless a rule keeps them from the client.
func (c *connection) fromServer(b []byte) {
	keep, cutting := c.replies.admit(b)
	c.down.send(b[:keep])
	c.cutFor(cutting)
}

// cutFor cuts the connection for the CutAfter rules that are due, if any.
func (c *connection) cutFor(rules []*Rule) {
	if len(rules) > 0 {
		c.shut(Orderly)
	}
	for _, rule := range rules {
		rule.fire()
	}
}

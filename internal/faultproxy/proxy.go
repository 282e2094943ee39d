package faultproxy

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// Proxy listens on a loopback port and passes every connection on to one
// server. All methods are safe for concurrent use. Close must be called to
// release the port, the connections and the goroutines.
type Proxy struct {
	target   target
	listener net.Listener
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	running  sync.WaitGroup
	closing  sync.Once
	closeErr error

	mu      sync.Mutex
	live    map[*connection]struct{}
	opened  int // connections ever passed on; the last one's number
	refuse  bool
	rtt     time.Duration
	stalled [2]chan struct{} // by direction; nil while bytes flow
	rules   []*Rule
	cuts    []*Cut
	ledger  ledger
}

// Start listens on a free port of 127.0.0.1 and passes connections on to
// target, which is "host:port", the path of a Unix socket, or the path of a
// directory that holds exactly one PostgreSQL socket (".s.PGSQL.<port>").
// A path is recognised by its leading slash.
//
// It returns an error if target has neither form or its path holds no socket,
// or if no port is to be had; nothing is left running then. Whether a server
// listens at target is found out per connection: a client whose server cannot
// be reached is reset, and [ConnectionStats] tells why.
func Start(target string) (*Proxy, error) {
	resolved, err := resolveTarget(target)
	if err != nil {
		return nil, fmt.Errorf("faultproxy: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("faultproxy: %w", err)
	}
	p := newProxy(resolved)
	p.listener = listener
	p.running.Go(p.accept)
	return p, nil
}

func newProxy(t target) *Proxy {
	ctx, cancel := context.WithCancel(context.Background())
	return &Proxy{target: t, ctx: ctx, cancel: cancel, live: map[*connection]struct{}{}}
}

// Addr returns the "host:port" on which the proxy listens. It remains the
// same, and is no longer served, after Close.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Close stops listening, closes every connection on both sides, and returns
// when all goroutines of the proxy have ended. Bytes held by a stall, a delay
// or a rule are dropped. The counters and the statement log stay readable.
// Further calls do nothing and return the first call's result, which is the
// error of closing the listener, if any.
func (p *Proxy) Close() error {
	p.closing.Do(func() {
		p.cancel()
		p.closeErr = p.listener.Close()
		for _, c := range p.connections() {
			c.shut(Orderly)
		}
		p.running.Wait()
	})
	return p.closeErr
}

// Refuse makes the proxy reset new connections as soon as they are accepted,
// as if the server were down, until it is called with false. The client finds
// it out while connecting or at its first read. Connections that exist already
// go on.
func (p *Proxy) Refuse(refuse bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = refuse
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			if p.ctx.Err() != nil {
				return
			}
			p.pause()
			continue
		}
		if c := p.admit(client); c != nil {
			p.running.Go(c.serve)
		}
	}
}

// pause waits a moment after a failure to accept, which may last: a process
// can be out of file descriptors.
func (p *Proxy) pause() {
	select {
	case <-time.After(10 * time.Millisecond):
	case <-p.ctx.Done():
	}
}

// admit registers a new connection, or resets it and returns nil when
// connections are refused or the proxy is closing.
func (p *Proxy) admit(client net.Conn) *connection {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse || p.ctx.Err() != nil {
		if p.refuse {
			p.ledger.refused++
		}
		closeSocket(client, Abort)
		return nil
	}
	p.opened++
	c := newConnection(p, client, p.ledger.open(p.opened))
	p.live[c] = struct{}{}
	return c
}

func (p *Proxy) forget(c *connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.live, c)
	p.cuts = slices.DeleteFunc(p.cuts, func(cut *Cut) bool { return cut.bound == c })
	c.stats.Open = false
}

func (p *Proxy) connections() []*connection {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]*connection, 0, len(p.live))
	for c := range p.live {
		all = append(all, c)
	}
	return all
}

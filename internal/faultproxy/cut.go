package faultproxy

import (
	"fmt"
	"slices"
)

// CutMode is how a connection is cut.
type CutMode int

const (
	// Abort closes both sides with a TCP reset, as a crashed host or a
	// firewall does. Bytes already written that the peer's window had no room
	// for are lost; a peer on Linux can read those it did have room for. A
	// Unix socket to the server is closed without a reset, having none.
	Abort CutMode = iota + 1
	// Orderly closes both sides as a process that exits does: bytes already
	// written arrive, followed by the end of the stream. The kernel makes it a
	// reset if the peer has sent bytes that the proxy has not read.
	Orderly
	// HalfClose ends the stream of one direction only: the receiver sees its
	// end, later bytes are dropped, and the other direction goes on.
	HalfClose
	// Blackhole silently drops all later bytes of one direction, and its end.
	// The connection stays open and the other direction goes on. The
	// receiver's side stays open even when the sender is gone, until the
	// receiver closes it, [Proxy.CutAll] or [Proxy.Close].
	Blackhole
)

// Cut is a cut that waits for its byte. It happens once at most.
type Cut struct {
	proxy *Proxy
	dir   Direction
	mode  CutMode
	fired chan struct{}

	// Guarded by the proxy's mutex.
	remaining int64
	newerThan int         // only connections with a greater ID
	onlyOne   bool        // the first to send fitting bytes takes the cut
	bound     *connection // that connection
}

// Fired returns a channel that is closed when the cut has been carried out:
// for Abort and Orderly, when both sides are closed.
func (c *Cut) Fired() <-chan struct{} { return c.fired }

// Remove calls the cut off. It reports whether it was still to come; if not,
// it has fired or is about to, or was removed before.
func (c *Cut) Remove() bool {
	c.proxy.mu.Lock()
	defer c.proxy.mu.Unlock()
	return c.proxy.dropCut(c)
}

// CutAfter lets n more bytes of direction dir pass, counted over all
// connections, and then cuts the connection that carried the last of them,
// once. With n zero, the connection that would carry the next byte is cut
// before it. HalfClose and Blackhole affect dir only.
//
// Bytes are counted as in [Proxy.BytesUp]: as they are delivered. It panics if
// n is negative or dir or mode unknown.
func (p *Proxy) CutAfter(dir Direction, n int64, mode CutMode) *Cut {
	return p.addCut(&Cut{dir: dir, mode: mode, remaining: n})
}

// CutNextAfter is CutAfter for the next connection only: it counts the bytes
// of, and cuts, the connection accepted after this call that is the first to
// carry a byte in direction dir. If that ends before its n bytes have passed,
// the cut does not happen.
func (p *Proxy) CutNextAfter(dir Direction, n int64, mode CutMode) *Cut {
	return p.addCut(&Cut{dir: dir, mode: mode, remaining: n, onlyOne: true})
}

// CutAll cuts all current connections at once in mode Abort, also those that
// are held, stalled, or still being connected to the server. When it returns,
// both sides of each are closed. Rules and later connections are not affected.
func (p *Proxy) CutAll() {
	for _, c := range p.connections() {
		c.shut(Abort)
	}
}

func (p *Proxy) addCut(c *Cut) *Cut {
	c.dir.mustBeKnown()
	if c.remaining < 0 {
		panic(fmt.Sprintf("faultproxy: cut after %d bytes", c.remaining))
	}
	if c.mode < Abort || c.mode > Blackhole {
		panic(fmt.Sprintf("faultproxy: unknown cut mode %d", c.mode))
	}
	c.proxy, c.fired = p, make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.onlyOne {
		c.newerThan = p.opened
	}
	p.cuts = append(p.cuts, c)
	return c
}

// dropCut takes a cut off the list. The caller holds the mutex.
func (p *Proxy) dropCut(c *Cut) bool {
	i := slices.Index(p.cuts, c)
	if i < 0 {
		return false
	}
	p.cuts = slices.Delete(p.cuts, i, i+1)
	return true
}

// ration returns how many of the size bytes about to be written may pass, and
// the cut to be carried out after them, if any. The bytes let through are
// counted.
func (p *Proxy) ration(c *connection, dir Direction, size int) (int, *Cut) {
	p.mu.Lock()
	defer p.mu.Unlock()
	allowed, due := int64(size), (*Cut)(nil)
	fitting := p.fittingCuts(c, dir)
	for _, cut := range fitting {
		if cut.remaining <= allowed && (due == nil || cut.remaining < allowed) {
			allowed, due = cut.remaining, cut
		}
	}
	for _, cut := range fitting {
		cut.remaining -= allowed
	}
	if due != nil {
		p.dropCut(due)
	}
	if allowed > 0 {
		p.ledger.count(c, dir, int(allowed))
	}
	return int(allowed), due
}

// fittingCuts returns the cuts that count bytes of this connection and
// direction, binding those that were waiting for a connection.
func (p *Proxy) fittingCuts(c *connection, dir Direction) []*Cut {
	if c.stats.Cancel {
		return nil
	}
	var fitting []*Cut
	for _, cut := range p.cuts {
		if cut.dir != dir || c.stats.ID <= cut.newerThan {
			continue
		}
		if cut.onlyOne && cut.bound == nil {
			cut.bound = c
		}
		if cut.bound == nil || cut.bound == c {
			fitting = append(fitting, cut)
		}
	}
	return fitting
}

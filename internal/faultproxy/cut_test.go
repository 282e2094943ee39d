package faultproxy

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
)

// pair is a connection through the proxy, seen from both ends.
type pair struct {
	proxy  *Proxy
	client net.Conn
	server net.Conn
}

func newPair(t *testing.T) pair {
	t.Helper()
	server := startTape(t)
	p := startProxy(t, server.addr)
	client := dial(t, p)
	return pair{proxy: p, client: client, server: server.accepted(t)}
}

// ends returns the sending and the receiving end of a direction.
func (c pair) ends(dir Direction) (from, to net.Conn) {
	if dir == Up {
		return c.client, c.server
	}
	return c.server, c.client
}

var directionNames = map[string]Direction{"up": Up, "down": Down}

func TestCutAfterLetsExactlyTheBytesPass(t *testing.T) {
	t.Parallel()
	modes := map[string]struct {
		mode CutMode
		ends func(*testing.T, net.Conn)
	}{"abort": {Abort, expectReset}, "orderly": {Orderly, expectEnd}}
	for dirName, dir := range directionNames {
		for modeName, m := range modes {
			t.Run(dirName+" "+modeName, func(t *testing.T) {
				t.Parallel()
				c := newPair(t)
				from, to := c.ends(dir)
				cut := c.proxy.CutAfter(dir, 7, m.mode)
				write(t, from, "0123")
				expect(t, to, "0123")
				if happened(cut.Fired()) {
					t.Error("cut too early")
				}
				write(t, from, "456789")
				expect(t, to, "456")
				m.ends(t, to)
				m.ends(t, from)
				awaitEvent(t, cut.Fired(), "cut")
			})
		}
	}
}

func TestCutAfterCountsAtTheLastByte(t *testing.T) {
	t.Parallel()
	c := newPair(t)
	c.proxy.CutAfter(Up, 4, Orderly)
	write(t, c.client, "0123")
	expect(t, c.server, "0123")
	expectEnd(t, c.client) // without a fifth byte
	if c.proxy.BytesUp() != 4 {
		t.Errorf("counted %d bytes", c.proxy.BytesUp())
	}
}

func TestCutAfterNothing(t *testing.T) {
	t.Parallel()
	c := newPair(t)
	c.proxy.CutAfter(Down, 0, Abort)
	write(t, c.client, "ask")
	expect(t, c.server, "ask")
	write(t, c.server, "reply")
	expectReset(t, c.client)
	if c.proxy.RoundTrips() != 0 || c.proxy.BytesDown() != 0 {
		t.Error("counted a reply that was not delivered")
	}
}

func TestHalfClose(t *testing.T) {
	t.Parallel()
	for name, dir := range directionNames {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newPair(t)
			from, to := c.ends(dir)
			c.proxy.CutAfter(dir, 2, HalfClose)
			write(t, from, "0123")
			expect(t, to, "01")
			expectEnd(t, to)
			write(t, from, "dropped")
			exchangeBetween(t, to, from, "other way")
			to.Close()
			expectEnd(t, from)
		})
	}
}

func TestBlackhole(t *testing.T) {
	t.Parallel()
	for name, dir := range directionNames {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newPair(t)
			from, to := c.ends(dir)
			cut := c.proxy.CutAfter(dir, 2, Blackhole)
			write(t, from, "0123")
			expect(t, to, "01")
			awaitEvent(t, cut.Fired(), "cut")
			write(t, from, "dropped")
			exchangeBetween(t, to, from, "other way")
			from.Close()
			c.proxy.CutAll()
			expectReset(t, to) // and nothing before, not even the end
		})
	}
}

func exchangeBetween(t *testing.T, from, to net.Conn, text string) {
	t.Helper()
	write(t, from, text)
	expect(t, to, text)
}

func TestCutAfterCountsOverAllConnections(t *testing.T) {
	t.Parallel()
	p := startProxy(t, startServer(t, echo))
	first, second, third := dial(t, p), dial(t, p), dial(t, p)
	cut := p.CutAfter(Up, 5, Orderly)
	exchange(t, first, "aaa")
	write(t, second, "bbb")
	awaitEvent(t, cut.Fired(), "cut")
	// The two bytes that passed may have been echoed before the cut.
	if _, err := io.ReadAll(second); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the connection that carried the last byte is still open")
	}
	exchange(t, first, "still here")
	exchange(t, third, "still here")
}

func TestCutNextAfterSparesOtherConnections(t *testing.T) {
	t.Parallel()
	p := startProxy(t, startServer(t, echo))
	old := dial(t, p)
	exchange(t, old, "x")
	cut := p.CutNextAfter(Down, 3, Orderly)
	exchange(t, old, "not counted")
	next := dial(t, p)
	exchange(t, next, "ab")
	later := dial(t, p)
	exchange(t, later, "not counted either")
	write(t, next, "cd")
	expect(t, next, "c")
	expectEnd(t, next)
	awaitEvent(t, cut.Fired(), "cut")
	exchange(t, old, "still here")
	exchange(t, later, "still here")
}

func TestRemovedCutDoesNotHappen(t *testing.T) {
	t.Parallel()
	p := startProxy(t, startServer(t, echo))
	conn := dial(t, p)
	cut := p.CutAfter(Up, 2, Abort)
	if !cut.Remove() || cut.Remove() {
		t.Error("Remove did not tell a waiting cut from a removed one")
	}
	exchange(t, conn, "abcdef")
	fired := p.CutAfter(Up, 1, Abort)
	write(t, conn, "x")
	awaitEvent(t, fired.Fired(), "cut")
	if fired.Remove() {
		t.Error("Remove took a fired cut for a waiting one")
	}
}

func TestSeveralCutsInOnePiece(t *testing.T) {
	t.Parallel()
	c := newPair(t)
	late := c.proxy.CutAfter(Up, 9, Abort)
	c.proxy.CutAfter(Up, 3, HalfClose)
	write(t, c.client, "0123456789")
	expect(t, c.server, "012")
	expectEnd(t, c.server)
	if happened(late.Fired()) || !late.Remove() {
		t.Error("the later cut counted bytes that were dropped")
	}
}

func TestCutAll(t *testing.T) {
	t.Parallel()
	p := startProxy(t, startServer(t, echo))
	conns := []net.Conn{dial(t, p), dial(t, p), dial(t, p)}
	for _, conn := range conns {
		exchange(t, conn, "x")
	}
	p.Stall()
	write(t, conns[0], "held")
	var cutting sync.WaitGroup
	for range 2 {
		cutting.Go(p.CutAll)
	}
	cutting.Wait()
	for _, conn := range conns {
		expectReset(t, conn)
	}
	p.Resume()
	exchange(t, dial(t, p), "new")
}

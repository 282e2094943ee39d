package faultproxy

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func TestBytesPassBothWays(t *testing.T) {
	t.Parallel()
	p := startProxy(t, startServer(t, echo))
	conn := dial(t, p)
	exchange(t, conn, "hello")
	exchange(t, conn, "again")
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	expectEnd(t, conn)
}

func TestLargeStreamsPass(t *testing.T) {
	t.Parallel()
	p := startProxy(t, startServer(t, echo))
	conn := dial(t, p)
	const size = 8 << 20
	var sending sync.WaitGroup
	sending.Go(func() {
		if _, err := conn.Write(make([]byte, size)); err != nil {
			t.Error(err)
		}
		_ = conn.CloseWrite()
	})
	n, err := io.Copy(io.Discard, conn)
	sending.Wait()
	if n != size || err != nil {
		t.Fatalf("%d bytes came back, and %v", n, err)
	}
	if p.BytesUp() != size || p.BytesDown() != size {
		t.Errorf("counted %d up and %d down", p.BytesUp(), p.BytesDown())
	}
}

func TestServerResetReachesClient(t *testing.T) {
	t.Parallel()
	server := startTape(t)
	p := startProxy(t, server.addr)
	conn := dial(t, p)
	far := server.accepted(t)
	write(t, far, "last words")
	expect(t, conn, "last words")
	closeSocket(far, Abort)
	expectReset(t, conn)
}

func TestLastWordsReachClientThatStillSends(t *testing.T) {
	t.Parallel()
	server := startTape(t)
	p := startProxy(t, server.addr)
	conn := dial(t, p)
	far := server.accepted(t)
	p.Stall(Down)
	write(t, far, "terminating")
	closeSocket(far, Orderly)
	// These reach a server that is gone, which must not cost the reply.
	write(t, conn, "one")
	write(t, conn, "two")
	p.Resume(Down)
	expect(t, conn, "terminating")
}

func TestCloseEndsConnectionsAndIsIdempotent(t *testing.T) {
	t.Parallel()
	p, err := Start(startServer(t, echo))
	if err != nil {
		t.Fatal(err)
	}
	conn := dial(t, p)
	exchange(t, conn, "x")
	p.Stall()
	p.SetRTT(patience)
	write(t, conn, "held for ever")
	for range 2 {
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	expectGone(t, conn) // a reset if the proxy had not read what was sent
	if _, err := net.Dial("tcp", p.Addr()); err == nil {
		t.Error("the port is still served")
	}
	if got := p.ConnectionStats(); len(got) != 1 || got[0].Open {
		t.Errorf("after Close: %+v", got)
	}
}

func TestRefuse(t *testing.T) {
	t.Parallel()
	p := startProxy(t, startServer(t, echo))
	old := dial(t, p)
	exchange(t, old, "x")
	p.Refuse(true)
	expectNoService(t, p)
	exchange(t, old, "still here")
	p.Refuse(false)
	exchange(t, dial(t, p), "back")
	if p.Refused() != 1 || p.Connections() != 2 {
		t.Errorf("%d refused, %d accepted", p.Refused(), p.Connections())
	}
}

func TestUnreachableServer(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	listener.Close()
	p := startProxy(t, addr)
	expectNoService(t, p)
	if stats := p.ConnectionStats(); len(stats) != 1 || stats[0].Err == nil {
		t.Errorf("stats do not tell why: %+v", stats)
	}
}

func TestUnixSocketTargets(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	path := filepath.Join(directory, ".s.PGSQL.5432")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	serveListener(t, listener, echo)
	lock := filepath.Join(directory, ".s.PGSQL.5432.lock")
	if err := os.WriteFile(lock, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{path, directory} {
		conn := dial(t, startProxy(t, target))
		exchange(t, conn, "over a socket")
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		expectEnd(t, conn)
	}
}

func TestTargetsThatCannotBe(t *testing.T) {
	t.Parallel()
	empty, two := t.TempDir(), t.TempDir()
	for i := range 2 {
		listener, err := net.Listen("unix", filepath.Join(two, fmt.Sprintf(".s.PGSQL.%d", i)))
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
	}
	for _, target := range []string{"", "localhost", empty, two, filepath.Join(empty, "none")} {
		if p, err := Start(target); err == nil {
			p.Close()
			t.Errorf("Start(%q) succeeded", target)
		}
	}
}

func TestNonsenseArgumentsPanic(t *testing.T) {
	t.Parallel()
	p := startProxy(t, "localhost:1")
	for name, call := range map[string]func(){
		"negative round-trip time": func() { p.SetRTT(-1) },
		"stall direction":          func() { p.Stall(2) },
		"resume direction":         func() { p.Resume(-1) },
		"cut direction":            func() { p.CutAfter(2, 1, Abort) },
		"cut bytes":                func() { p.CutAfter(Up, -1, Abort) },
		"cut mode":                 func() { p.CutAfter(Up, 1, 0) },
		"rule without matcher":     func() { p.Rule(nil, Hold) },
		"rule without match":       func() { p.OnClientMessage(nil, Hold) },
		"rule action":              func() { p.Rule(Query(""), 0) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			call()
		}()
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	p := startProxy(t, startServer(t, echo))
	var clients, faults sync.WaitGroup
	stop := make(chan struct{})
	faults.Go(func() {
		for i := int64(0); !happened(stop); i++ {
			p.Stall()
			p.CutAfter(Direction(i%2), i%7, CutMode(i%4)+Abort).Remove()
			p.Rule(Query("x"), CutBefore).Remove()
			p.Resume()
			p.Reset()
			_, _, _, _ = p.RoundTrips(), p.BytesUp(), p.Cancels(), p.ConnectionStats()
			if i%50 == 0 {
				p.CutAll()
			}
		}
	})
	for range 8 {
		clients.Go(func() { talkUntilCut(p, 50) })
	}
	clients.Wait()
	close(stop)
	faults.Wait()
}

// talkUntilCut exchanges messages, on a new connection whenever one is cut.
func talkUntilCut(p *Proxy, rounds int) {
	for range rounds {
		conn, err := net.Dial("tcp", p.Addr())
		if err != nil {
			continue
		}
		reply := make([]byte, 4)
		for range 10 {
			if _, err = conn.Write([]byte("ping")); err != nil {
				break
			}
			if _, err = io.ReadFull(conn, reply); err != nil {
				break
			}
		}
		conn.Close()
	}
}

package faultproxy

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience ends a test that would otherwise hang; no test passes by it.
const patience = 20 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startServer runs handle on every connection to a loopback port until the test
// ends.
func startServer(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveListener(t, listener, handle)
	return listener.Addr().String()
}

func serveListener(t *testing.T, listener net.Listener, handle func(net.Conn)) {
	t.Helper()
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			// A fake that is left alone must not outlast its test.
			_ = conn.SetDeadline(time.Now().Add(patience))
			running.Go(func() {
				defer conn.Close()
				handle(conn)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		running.Wait()
	})
}

func echo(conn net.Conn) { _, _ = io.Copy(conn, conn) }

// tape is a server that says nothing of itself and shows the test what happens
// on its connection.
type tape struct {
	addr  string
	conns chan net.Conn
}

func startTape(t *testing.T) *tape {
	t.Helper()
	done := make(chan struct{})
	s := &tape{conns: make(chan net.Conn, 10)}
	s.addr = startServer(t, func(conn net.Conn) {
		s.conns <- conn
		<-done
	})
	t.Cleanup(func() { close(done) })
	return s
}

// accepted returns the server's end of the oldest connection not yet asked for.
func (s *tape) accepted(t *testing.T) net.Conn {
	t.Helper()
	select {
	case conn := <-s.conns:
		return conn
	case <-time.After(patience):
		t.Fatal("the server has no connection")
		return nil
	}
}

// fakeServer is a server that tells what it gets.
type fakeServer struct {
	addr string
	got  chan string
}

func startFake(t *testing.T, serve func(*fakeServer, net.Conn)) *fakeServer {
	t.Helper()
	s := &fakeServer{got: make(chan string, 1000)}
	s.addr = startServer(t, func(conn net.Conn) { serve(s, conn) })
	return s
}

// expectGot checks what the server gets next.
func (s *fakeServer) expectGot(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		select {
		case got := <-s.got:
			if got != w {
				t.Fatalf("the server got %q, want %q", got, w)
			}
		case <-time.After(patience):
			t.Fatalf("the server has not got %q", w)
		}
	}
}

// session is a client that has been welcomed by a fake server.
type session struct {
	net.Conn
	proxy  *Proxy
	server *fakeServer
}

// wantOpaque checks that streams pass unchanged and are taken for opaque.
func wantOpaque(t *testing.T, streams map[string]string) {
	t.Helper()
	for name, stream := range streams {
		var requests requests
		passed := ""
		for _, m := range requests.split([]byte(stream)) {
			passed += string(m.Payload)
		}
		if passed != stream || !requests.opaque {
			t.Errorf("%s: passed %q of %q, opaque: %t", name, passed, stream, requests.opaque)
		}
	}
}

func startProxy(t *testing.T, target string) *Proxy {
	t.Helper()
	p, err := Start(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func dial(t *testing.T, p *Proxy) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

func write(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	got := make([]byte, len(text))
	if n, err := io.ReadFull(conn, got); err != nil {
		t.Fatalf("read %q and then %v, want %q", got[:n], err, text)
	}
	if string(got) != text {
		t.Fatalf("read %q, want %q", got, text)
	}
}

func exchange(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	write(t, conn, text)
	expect(t, conn, text)
}

// expectEnd checks that the stream ends, orderly, without another byte.
func expectEnd(t *testing.T, conn net.Conn) {
	t.Helper()
	rest, err := io.ReadAll(conn)
	if err != nil || len(rest) > 0 {
		t.Fatalf("read %q and %v, want the end of the stream", rest, err)
	}
}

// expectReset checks that the connection is reset without another byte.
func expectReset(t *testing.T, conn net.Conn) {
	t.Helper()
	rest, err := io.ReadAll(conn)
	if !errors.Is(err, syscall.ECONNRESET) || len(rest) > 0 {
		t.Fatalf("read %q and %v, want a reset", rest, err)
	}
}

// expectGone checks that the connection has ended, in whichever way.
func expectGone(t *testing.T, conn net.Conn) {
	t.Helper()
	rest, err := io.ReadAll(conn)
	if (err != nil && !errors.Is(err, syscall.ECONNRESET)) || len(rest) > 0 {
		t.Fatalf("read %q and %v, want the end or a reset", rest, err)
	}
}

// expectNoService checks that a new connection is reset, be it before the
// client knows that it was established or after.
func expectNoService(t *testing.T, p *Proxy) {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err == nil {
		defer conn.Close()
		expectReset(t, conn)
	} else if !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("connecting: %v, want a reset", err)
	}
}

func awaitEvent(t *testing.T, event <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-event:
	case <-time.After(patience):
		t.Fatalf("%s: not in time", what)
	}
}

func happened(event <-chan struct{}) bool {
	select {
	case <-event:
		return true
	default:
		return false
	}
}

package link

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// TestLink sends bytes through a link and back, not earlier than it allows.
func TestLink(t *testing.T) {
	t.Parallel()
	server := listen(t)
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(conn, conn); _ = conn.Close() }()
		}
	}()
	const delay = 2 * time.Millisecond
	listener, served := listen(t), make(chan error, 1)
	go func() { served <- Serve(listener, "tcp", server.Addr().String(), delay) }()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 5 {
		began := time.Now()
		if _, err := io.WriteString(conn, "question"); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, len("question"))
		if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "question" {
			t.Fatalf("%q, %v", answer, err)
		}
		if took := time.Since(began); took < 2*delay {
			t.Errorf("there and back in %v", took)
		}
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(conn); len(rest) > 0 || err != nil {
		t.Errorf("after the end: %q, %v", rest, err)
	}
	_ = listener.Close()
	if err := <-served; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v", err)
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

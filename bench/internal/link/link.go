// Package link is a TCP connection with a longer way to the server. It delays
// to within some microseconds, which internal/faultproxy, made for breaking
// things, does not: Go's timers are good for about a millisecond.
package link

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"time"
)

// Serve passes connections to listener on to the server at address, of the
// given network, and delays bytes by delay in each direction. It returns when
// the listener is closed.
//
// Each direction of each connection has a thread of its own that reads, sleeps
// and writes: the scheduler of Go has no part in the delay, and should have
// more processors than there are threads. Bytes that come while others sleep
// wait for them, which traffic of questions and answers does not meet.
func Serve(listener net.Listener, network, address string, delay time.Duration) error {
	for {
		client, err := listener.Accept()
		if err != nil {
			return err
		}
		go connect(client, network, address, delay)
	}
}

func connect(client net.Conn, network, address string, delay time.Duration) {
	server, err := net.Dial(network, address)
	if err != nil {
		_ = client.Close()
		return
	}
	c, err := blocking(client)
	if err != nil {
		_ = server.Close()
		return
	}
	s, err := blocking(server)
	if err != nil {
		_ = c.Close()
		return
	}
	done := make(chan struct{})
	go func() { relay(s, c, delay); close(done) }()
	relay(c, s, delay)
	<-done
	_, _ = c.Close(), s.Close()
}

// filer is a connection of package net, over TCP or a Unix socket.
type filer interface{ File() (*os.File, error) }

// blocking turns a connection into a file whose calls block their thread.
func blocking(conn net.Conn) (*os.File, error) {
	defer conn.Close() // the file has a descriptor of its own
	file, err := conn.(filer).File()
	if err == nil {
		file.Fd() // makes it blocking
	}
	return file, err
}

// relay passes bytes on until either side is gone, and then ends both streams.
func relay(to, from *os.File, delay time.Duration) {
	runtime.LockOSThread() // for good: the thread's timers are changed
	sharpen()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			sleepUntil(time.Now().Add(delay))
			if _, err := to.Write(buffer[:n]); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	shutdown(to)
	shutdown(from)
}

// Main serves a link on a free port, prints its address on stdout, and returns
// when stdin ends, so that it does not outlive whoever started it.
func Main(network, address string, delay time.Duration) error {
	runtime.GOMAXPROCS(256)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = listener.Close()
	}()
	if _, err := os.Stdout.WriteString(listener.Addr().String() + "\n"); err != nil {
		return err
	}
	if err := Serve(listener, network, address, delay); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

//go:build unix

package postgres

import (
	"crypto/tls"
	"net"
	"syscall"
)

// idleLook makes a function that looks, without waiting and without taking
// bytes, whether the server has closed an idle connection or said good-bye on
// it. It finds nothing on connections whose other end vanished silently. It is
// nil where there is no socket to look at.
func idleLook(conn net.Conn) func() bool {
	secret := false
	if t, ok := conn.(*tls.Conn); ok {
		conn, secret = t.NetConn(), true
	}
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil
	}
	var first [1]byte
	dead := false
	peek := func(fd uintptr) {
		n, _, err := syscall.Recvfrom(int(fd), first[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch err {
		case nil:
			// An idle server sends notices and notifications; an error is its last word.
			dead = n == 0 || !secret && first[0] == 'E'
		case syscall.EAGAIN, syscall.EINTR:
			dead = false
		default:
			dead = true
		}
	}
	return func() bool {
		// Not raw.Read: after a slow write pgx may have a reader of its own
		// blocked on the idle connection, which Read would wait for without end.
		err := raw.Control(peek)
		return dead || err != nil
	}
}

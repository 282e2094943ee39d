package faultproxy

import (
	"errors"
	"io"
	"net"
	"slices"
	"time"
)

// readSize is the most that is read at once, and so the longest message of an
// opaque connection.
const readSize = 32 << 10

// relay moves the bytes of one direction of a connection. One goroutine
// receives and another forwards, so that a delay or a stall does not keep bytes
// from being read.
type relay struct {
	conn                *connection
	dir                 Direction
	source, destination net.Conn
	queue               *queue

	// The forwarding goroutine's own. Once discarding, nothing more is
	// written; once silent, the end of the stream is kept back as well.
	discarding, silent bool
}

func newRelay(c *connection, dir Direction) *relay {
	return &relay{conn: c, dir: dir, queue: newQueue()}
}

// receive reads until the stream ends or the connection is shut.
func (r *relay) receive() {
	buffer := make([]byte, readSize)
	for {
		n, err := r.source.Read(buffer)
		due := time.Now().Add(r.conn.proxy.latency(r.dir))
		if n > 0 {
			if r.dir == Up {
				r.conn.proxy.markBurst(r.conn)
			}
			r.queue.push(parcel{bytes: slices.Clone(buffer[:n]), due: due})
		}
		if err != nil {
			r.queue.push(parcel{end: err, due: due})
			return
		}
	}
}

// forward delivers what was received until the stream ends or the connection
// is shut. A destination that has failed does not end it: the other direction
// may still hold bytes for the source, such as a server's last words.
func (r *relay) forward() {
	for {
		p, ok := r.queue.pop()
		if !ok || !r.pass(p.due) {
			return
		}
		if p.end != nil {
			r.finish(p.end)
			return
		}
		r.deliver(p.bytes)
	}
}

// pass waits out the latency and any stall. It returns false if the connection
// is shut first.
func (r *relay) pass(due time.Time) bool {
	if !r.conn.waitUntil(due) {
		return false
	}
	for stall := r.conn.proxy.stall(r.dir); stall != nil; stall = r.conn.proxy.stall(r.dir) {
		if !r.conn.wait(stall) {
			return false
		}
	}
	return true
}

func (r *relay) deliver(b []byte) {
	switch {
	case r.discarding:
	case r.dir == Up:
		r.conn.fromClient(b)
	default:
		r.conn.fromServer(b)
	}
}

// send writes to the destination what the byte cuts let through, and carries
// out the cut that falls due.
func (r *relay) send(b []byte) {
	if r.discarding || len(b) == 0 {
		return
	}
	allowed, cut := r.conn.proxy.ration(r.conn, r.dir, len(b))
	if allowed > 0 {
		if _, err := r.destination.Write(b[:allowed]); err != nil {
			r.discarding = true
		}
	}
	if cut != nil {
		r.cut(cut.mode)
		close(cut.fired)
	}
}

func (r *relay) cut(mode CutMode) {
	r.discarding = true
	switch mode {
	case Abort, Orderly:
		r.conn.shut(mode)
	case HalfClose:
		closeWrite(r.destination)
	case Blackhole:
		r.silent = true
	}
}

// finish passes on the end of the stream.
func (r *relay) finish(end error) {
	switch r.dir {
	case Up:
		r.send(r.conn.requests.rest())
	case Down:
		cutting, silenced := r.conn.replies.end()
		r.conn.cutFor(cutting)
		r.silent = r.silent || silenced
	}
	switch {
	case r.silent:
	case errors.Is(end, io.EOF):
		closeWrite(r.destination)
	default:
		r.conn.shut(Abort)
	}
}

// closeWrite ends the stream to a peer that may still be sending. Its error
// says that the peer is gone already.
func closeWrite(socket net.Conn) {
	if half, ok := socket.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

package faultproxy

import (
	"sync"
	"time"
)

// queueLimit bounds the bytes one direction of a connection may have in
// flight. It is far above what a test sends within one delay; beyond it the
// sender feels back-pressure, as on a real network.
const queueLimit = 32 << 20

// parcel is what was read at once from a sender, or the end of its stream.
type parcel struct {
	bytes []byte
	due   time.Time // not to be delivered before
	end   error     // the stream's end, io.EOF if orderly; there are no bytes then
}

// queue holds the parcels of one direction in order.
type queue struct {
	mu      sync.Mutex
	changed sync.Cond
	parcels []parcel
	size    int
	closed  bool
}

func newQueue() *queue {
	q := &queue{}
	q.changed.L = &q.mu
	return q
}

// push appends a parcel when there is room. On a closed queue it drops it.
func (q *queue) push(p parcel) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.size >= queueLimit && !q.closed {
		q.changed.Wait()
	}
	if q.closed {
		return
	}
	q.parcels = append(q.parcels, p)
	q.size += len(p.bytes)
	q.changed.Broadcast()
}

// pop waits for a parcel and removes it. It returns false once the queue is
// closed, whatever it still holds.
func (q *queue) pop() (parcel, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.parcels) == 0 && !q.closed {
		q.changed.Wait()
	}
	if q.closed {
		return parcel{}, false
	}
	first := q.parcels[0]
	q.parcels[0] = parcel{}
	q.parcels = q.parcels[1:]
	q.size -= len(first.bytes)
	q.changed.Broadcast()
	return first, true
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.changed.Broadcast()
}

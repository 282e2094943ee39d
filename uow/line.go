package uow

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// line is served first come first served. The first in it has its turn, until it
// leaves. Its zero value is empty.
type line struct {
	mu     sync.Mutex
	places list.List // of *place
}

// place is one in a line.
type place struct {
	turn chan struct{} // closed when it is the first
	next chan struct{} // closed when it is the second or the first
	told int           // how many of these have been closed
}

// looks is how often those who wait for others look whether they need not any more,
// as while there is room: the others may be held up by a connection that is being
// opened.
const looks = 5 * time.Millisecond

// enter waits in the line. turn says that the caller has its turn; without it and
// without an error it needs none, and is out of the line. The caller who has its
// turn calls leave. The error is the cause of ctx.
func (l *line) enter(ctx context.Context, needless func() bool) (leave func(), turn bool, err error) {
	e := l.join()
	p := e.Value.(*place)
	select {
	case <-p.next:
	case <-ctx.Done():
		l.leave(e)
		return nil, false, context.Cause(ctx)
	}
	// Only the first two look: all would be a cost that grows with the line.
	if turn, err = await(ctx, p.turn, needless); !turn {
		l.leave(e)
		return nil, false, err
	}
	return func() { l.leave(e) }, true, nil
}

// await waits for a channel to be closed, which it reports, or until that is
// needless. The error is the cause of ctx.
func await(ctx context.Context, closed <-chan struct{}, needless func() bool) (bool, error) {
	select {
	case <-closed:
		return true, nil
	default:
	}
	look := time.NewTicker(looks)
	defer look.Stop()
	for {
		if needless() {
			return false, nil
		}
		select {
		case <-closed:
			return true, nil
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-look.C:
		}
	}
}

func (l *line) join() *list.Element {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.places.PushBack(&place{turn: make(chan struct{}), next: make(chan struct{})})
	l.advance()
	return e
}

func (l *line) leave(e *list.Element) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.places.Remove(e)
	l.advance()
}

// advance tells the first two where they are. The caller holds the lock.
func (l *line) advance() {
	first := l.places.Front()
	if first == nil {
		return
	}
	if p := first.Value.(*place); p.told < 2 {
		if p.told == 0 {
			close(p.next)
		}
		close(p.turn)
		p.told = 2
	}
	if second := first.Next(); second != nil {
		if p := second.Value.(*place); p.told == 0 {
			close(p.next)
			p.told = 1
		}
	}
}

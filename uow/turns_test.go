package uow

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/internal/noopdb"
)

// A queue is what waits for the connections of a pool, within a bubble in which
// everything stands still before the next step.
type queue struct {
	t       *testing.T
	m       *Manager
	all     []*queued
	mu      sync.Mutex
	entered []string // in the order of their connections
}

type queued struct {
	name     string
	end      chan struct{} // closed to end it
	err      error
	returned bool
}

// fullPool runs f with a pool of so many connections.
func fullPool(t *testing.T, size int, f func(q *queue)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		db := noopdb.Open(size)
		defer db.Close()
		q := &queue{t: t, m: New(db, noopdb.Dialect())}
		f(q)
		turns := &q.m.core.turns
		if n := turns.waiting.Load(); n != 0 || turns.locked.length() != 0 || turns.plain.length() != 0 ||
			turns.served.Load() != nil {
			t.Errorf("left behind: %d who wait, %d and %d in line", n, turns.locked.length(), turns.plain.length())
		}
	})
}

func (l *line) length() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.places.Len()
}

// unit starts a unit that keeps its connection until it is ended.
func (q *queue) unit(ctx context.Context, name string, opts ...Option) *queued {
	one := &queued{name: name, end: make(chan struct{})}
	q.all = append(q.all, one)
	go func() {
		err := q.m.Do(ctx, func(ctx context.Context, u *UnitOfWork) error {
			if _, err := u.ExecContext(ctx, "select"); err != nil {
				return err
			}
			q.mu.Lock()
			q.entered = append(q.entered, name)
			q.mu.Unlock()
			<-one.end
			return nil
		}, opts...)
		q.mu.Lock()
		defer q.mu.Unlock()
		one.err, one.returned = err, true
	}()
	synctest.Wait()
	return one
}

// underLock starts a unit under a lock of its own.
func (q *queue) underLock(ctx context.Context, name string, opts ...Option) *queued {
	return q.unit(ctx, name, append(opts, Locks(exclusively(name)))...)
}

// exclusively is one lock, waited for without end.
func exclusively(name string) LockSet {
	return LockSet{Locks: []dialect.Lock{{Name: name, Mode: dialect.Exclusive, Limit: dialect.Forever}}}
}

// served are the units that have had a connection so far.
func (q *queue) served() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.entered)
}

// result is what has come of a unit so far.
func (q *queue) result(one *queued) (returned bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return one.returned, one.err
}

// finish ends a unit, and what comes of it.
func (q *queue) finish(one *queued) {
	q.t.Helper()
	close(one.end)
	synctest.Wait()
	if returned, err := q.result(one); err != nil || !returned {
		q.t.Errorf("%s: returned %v, error %v", one.name, returned, err)
	}
}

// finishAll ends units as they come.
func (q *queue) finishAll() {
	q.t.Helper()
	for i := 0; i < len(q.served()); i++ {
		q.finishNamed(q.served()[i])
	}
}

// finishLast ends the unit that has come last.
func (q *queue) finishLast() { q.finishNamed(q.served()[len(q.served())-1]) }

func (q *queue) finishNamed(name string) {
	q.t.Helper()
	for _, one := range q.all {
		if returned, _ := q.result(one); one.name == name && !returned {
			q.finish(one)
		}
	}
}

// TestKindsShareThePool has units of both kinds wait: each is served in order, and
// never two under locks in a row.
func TestKindsShareThePool(t *testing.T) {
	t.Parallel()
	fullPool(t, 1, func(q *queue) {
		const each = 20
		q.unit(q.t.Context(), "holder")
		for i := range each {
			q.underLock(q.t.Context(), fmt.Sprint("locked-", i))
		}
		for i := range each {
			q.unit(q.t.Context(), fmt.Sprint("plain-", i))
		}
		q.finishAll()
		next, before := map[string]int{}, ""
		for _, name := range q.served()[1:] {
			kind, number, _ := strings.Cut(name, "-")
			if number != fmt.Sprint(next[kind]) || kind == "locked" && before == kind && next["plain"] < each {
				t.Fatalf("served: %v", q.served())
			}
			next[kind]++
			before = kind
		}
		if next["locked"] != each || next["plain"] != each {
			t.Errorf("served: %v", q.served())
		}
	})
}

// TestUnitsUnderLocksAreServedInOrder has some come between the ends of others.
func TestUnitsUnderLocksAreServedInOrder(t *testing.T) {
	t.Parallel()
	fullPool(t, 2, func(q *queue) {
		want := []string{"holder", "another"}
		for _, name := range want {
			q.underLock(q.t.Context(), name)
		}
		for i := range 10 {
			want = append(want, fmt.Sprint("locked-", i))
			q.underLock(q.t.Context(), want[len(want)-1])
			if i > 3 {
				q.finishLast()
			}
		}
		q.finishAll()
		if !slices.Equal(q.served(), want) {
			t.Errorf("served: %v", q.served())
		}
	})
}

// TestNextStandsAside has a unit without locks in the pool's line before the unit
// under locks that is next has come there.
func TestNextStandsAside(t *testing.T) {
	t.Parallel()
	for range 10 { // the pool would draw
		fullPool(t, 1, func(q *queue) {
			q.unit(q.t.Context(), "holder")
			ctx, cancel := context.WithCancel(q.t.Context())
			gone := q.underLock(ctx, "gone")
			q.underLock(q.t.Context(), "locked")
			q.unit(q.t.Context(), "plain")
			cancel()
			synctest.Wait()
			if returned, _ := q.result(gone); !returned {
				t.Error("a unit waits although its context has ended")
			}
			q.finishAll()
			if want := []string{"holder", "plain", "locked"}; !slices.Equal(q.served(), want) {
				t.Errorf("served: %v", q.served())
			}
		})
	}
}

// TestOthersGiveConnectionsBack has connections in use of which no unit knows:
// each that comes back serves the next in line.
func TestOthersGiveConnectionsBack(t *testing.T) {
	t.Parallel()
	for long := range 3 {
		fullPool(t, 3, func(q *queue) {
			for i := range long {
				q.unit(q.t.Context(), fmt.Sprint("long-", i))
			}
			var others []*sql.Conn
			for range 3 - long {
				others = append(others, q.other(q.t.Context()))
			}
			for i := range 3 {
				q.underLock(q.t.Context(), fmt.Sprint("locked-", i))
			}
			for i, c := range others {
				if err := c.Close(); err != nil {
					t.Error(err)
				}
				synctest.Wait()
				if n := len(q.served()) - long; n != i+1 {
					t.Errorf("%d are served with %d connections", n, i+1)
				}
			}
			q.finishAll()
		})
	}
}

func (q *queue) other(ctx context.Context) *sql.Conn {
	q.t.Helper()
	c, err := q.m.DB().Conn(ctx)
	if err != nil {
		q.t.Fatal(err)
	}
	return c
}

// TestOthersLeaveSome has others use the pool without a pause.
func TestOthersLeaveSome(t *testing.T) {
	t.Parallel()
	fullPool(t, 3, func(q *queue) {
		q.unit(q.t.Context(), "long")
		ctx, cancel := context.WithCancel(q.t.Context())
		for range 4 {
			go func() {
				for ctx.Err() == nil {
					c, err := q.m.DB().Conn(ctx)
					if err != nil {
						return
					}
					time.Sleep(time.Millisecond)
					_ = c.Close()
				}
			}()
		}
		time.Sleep(time.Millisecond / 2)
		q.underLock(q.t.Context(), "locked")
		time.Sleep(time.Minute) // longer than luck can hold
		synctest.Wait()
		if slices.Contains(q.served(), "locked") {
			q.finishLast()
		}
		q.unit(q.t.Context(), "plain")
		time.Sleep(time.Minute)
		synctest.Wait()
		if !slices.Contains(q.served(), "locked") || !slices.Contains(q.served(), "plain") {
			t.Errorf("served: %v", q.served())
		}
		cancel()
		time.Sleep(time.Second) // for the others
		q.finishAll()
	})
}

// TestLineOutlivesUnitsUnderLocks has units without locks in line behind each other
// alone: who comes a moment later does not overtake them, and in the end they go to
// the pool, where one of them has been all the time.
func TestLineOutlivesUnitsUnderLocks(t *testing.T) {
	t.Parallel()
	fullPool(t, 1, func(q *queue) {
		want := []string{"holder"}
		q.unit(q.t.Context(), "holder")
		ctx, cancel := context.WithCancel(q.t.Context())
		defer cancel()
		q.underLock(ctx, "locked")
		for i := range 20 {
			want = append(want, fmt.Sprint("plain-", i))
			q.unit(q.t.Context(), want[len(want)-1])
			if i == 9 {
				cancel()
				time.Sleep(calm / 2)
			}
		}
		for range 10 {
			q.finishLast()
		}
		if !slices.Equal(q.served(), want[:11]) {
			t.Errorf("served: %v", q.served())
		}
		plain := &q.m.core.turns.plain
		if n := plain.length(); n != 10 {
			t.Errorf("%d are in line a moment later", n)
		}
		time.Sleep(calm + 2*looks)
		synctest.Wait()
		q.unit(q.t.Context(), "late")
		if n := plain.length(); n != 1 {
			t.Errorf("%d are in line for ever", n)
		}
		q.finishAll()
		if n := len(q.served()); n != 22 {
			t.Errorf("%d served", n)
		}
	})
}

// TestNobodyWaitsBehindOneWhoConnects has the first in line open a connection,
// which takes its time, while another is given back.
func TestNobodyWaitsBehindOneWhoConnects(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &line{}
		var roomy atomic.Bool
		leave, turn, err := l.enter(t.Context(), roomy.Load)
		if !turn || err != nil {
			t.Fatal(turn, err)
		}
		var came atomic.Int64
		for range 3 {
			go func() {
				if _, turn, err := l.enter(t.Context(), roomy.Load); turn || err != nil {
					t.Error(turn, err)
				}
				came.Add(1)
			}()
		}
		time.Sleep(time.Hour)
		if came.Load() > 0 {
			t.Error("a turn was given twice")
		}
		roomy.Store(true)
		time.Sleep(2 * looks)
		if n := came.Load(); n != 3 {
			t.Errorf("%d of 3 have seen that there is room", n)
		}
		leave()
	})
}

// TestRoomBesideOneWhoConnects is the same with units of both kinds.
func TestRoomBesideOneWhoConnects(t *testing.T) {
	t.Parallel()
	fullPool(t, 2, func(q *queue) {
		q.unit(q.t.Context(), "holder")
		q.unit(q.t.Context(), "another")
		turns := &q.m.core.turns
		turns.waiting.Add(1)
		for _, l := range []*line{&turns.locked, &turns.plain} {
			leave, turn, err := l.enter(q.t.Context(), func() bool { return false })
			if !turn || err != nil {
				t.Fatal(turn, err)
			}
			defer leave()
		}
		q.underLock(q.t.Context(), "locked")
		q.unit(q.t.Context(), "plain")
		if n := len(q.served()); n != 2 {
			t.Errorf("%d are served before their turn", n-2)
		}
		q.finishNamed("holder")
		q.finishNamed("another")
		time.Sleep(2 * looks)
		synctest.Wait()
		if n := len(q.served()); n != 4 {
			t.Errorf("served: %v", q.served())
		}
		q.finishAll()
		turns.waiting.Add(-1)
	})
}

// TestNobodyWaitsForOneWhoConnects has the unit without locks that goes first be
// held up.
func TestNobodyWaitsForOneWhoConnects(t *testing.T) {
	t.Parallel()
	fullPool(t, 1, func(q *queue) {
		q.unit(q.t.Context(), "holder")
		held := make(chan struct{})
		q.m.core.turns.served.Store(&held)
		q.underLock(q.t.Context(), "locked")
		q.finishAll()
		time.Sleep(2 * looks)
		synctest.Wait()
		q.m.core.turns.served.Store(nil)
		q.finishAll()
		if !slices.Contains(q.served(), "locked") {
			t.Errorf("served: %v", q.served())
		}
	})
}

func TestTurnsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	fullPool(t, 1, func(q *queue) {
		q.unit(q.t.Context(), "holder")
		enough := errors.New("enough")
		ctx, cancel := context.WithCancelCause(q.t.Context())
		waiting := []*queued{
			q.underLock(ctx, "next"), q.underLock(ctx, "second"), q.underLock(ctx, "third"), q.underLock(ctx, "fourth"),
			q.unit(ctx, "plain"), q.unit(ctx, "plain, second"), q.unit(ctx, "plain, third"),
		}
		cancel(enough)
		synctest.Wait()
		for _, one := range waiting {
			if returned, err := q.result(one); !returned || !errors.Is(err, enough) || !errors.Is(err, context.Canceled) {
				t.Errorf("%s: returned %v, error %v", one.name, returned, err)
			}
		}
		last := q.underLock(q.t.Context(), "last")
		q.finishAll()
		if returned, _ := q.result(last); !returned {
			t.Error("a turn is still taken by one who has gone")
		}
	})
}

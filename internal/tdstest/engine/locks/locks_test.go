package locks_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/locks"
)

var all = []locks.Mode{locks.IS, locks.S, locks.U, locks.IX, locks.SIX, locks.UIX, locks.X}

// TestMatrix holds the captured table: request beside a held mode.
func TestMatrix(t *testing.T) {
	granted := map[locks.Mode]string{
		locks.IS: "IS S U IX SIX UIX", locks.S: "IS S U", locks.U: "IS S", locks.IX: "IS IX", locks.SIX: "IS", locks.UIX: "IS", locks.X: "",
	}
	for held, want := range granted {
		got := ""
		for _, m := range all {
			if locks.Compatible(held, m) {
				if got != "" {
					got += " "
				}
				got += m.String()
			}
			if locks.Compatible(held, m) != locks.Compatible(m, held) {
				t.Errorf("%v beside %v is not symmetric", m, held)
			}
		}
		if got != want {
			t.Errorf("beside %v: %s, want %s", held, got, want)
		}
	}
}

func TestUnion(t *testing.T) {
	for _, c := range []struct{ a, b, want locks.Mode }{
		{locks.S, locks.IX, locks.SIX}, {locks.U, locks.IX, locks.UIX}, {locks.S, locks.U, locks.U}, {locks.IS, locks.S, locks.S}, {locks.IS, locks.IX, locks.IX}, {locks.SIX, locks.U, locks.UIX}, {locks.UIX, locks.S, locks.UIX}, {locks.SIX, locks.IX, locks.SIX},
		{locks.S, locks.X, locks.X}, {locks.UIX, locks.X, locks.X}, {locks.None, locks.S, locks.S}, {locks.UIX, locks.SIX, locks.UIX},
	} {
		if got := locks.Union(c.a, c.b); got != c.want {
			t.Errorf("%v+%v = %v, want %v", c.a, c.b, got, c.want)
		}
		if locks.Union(c.a, c.b) != locks.Union(c.b, c.a) {
			t.Errorf("%v+%v depends on the order", c.a, c.b)
		}
	}
	for _, a := range all { // a union conflicts with whatever its parts conflict with
		for _, b := range all {
			for _, m := range all {
				if locks.Compatible(locks.Union(a, b), m) && !(locks.Compatible(a, m) && locks.Compatible(b, m)) {
					t.Errorf("%v+%v is weaker than its parts beside %v", a, b, m)
				}
			}
		}
	}
}

// bench is a manager with owners 1, 2, 3...
type bench struct {
	t *testing.T
	m *locks.Manager
	o map[int]*locks.Owner
}

func newBench(t *testing.T) *bench { return &bench{t, locks.NewManager(), map[int]*locks.Owner{}} }

func (b *bench) owner(n int) *locks.Owner {
	if b.o[n] == nil {
		b.o[n] = locks.NewOwner(uint64(n), n, false)
	}
	return b.o[n]
}

func named(name string) locks.Resource { return locks.Resource{Kind: locks.Application, Key: name} }

func (b *bench) take(n int, name string, mode locks.Mode) {
	b.t.Helper()
	if waited, err := b.m.Acquire(context.Background(), b.owner(n), named(name), mode, 0); waited || err != nil {
		b.t.Fatalf("%d: %v of %s: %v", n, mode, name, err)
	}
}

func (b *bench) refuse(n int, name string, mode locks.Mode) {
	b.t.Helper()
	if _, err := b.m.Acquire(context.Background(), b.owner(n), named(name), mode, 0); !errors.Is(err, locks.ErrTimeout) {
		b.t.Errorf("%d: %v of %s: %v, want a timeout", n, mode, name, err)
	}
}

// waits starts a request and returns once it waits.
func (b *bench) waits(n int, name string, mode locks.Mode) <-chan error {
	b.t.Helper()
	done, o := make(chan error, 1), b.owner(n)
	go func() {
		_, err := b.m.Acquire(context.Background(), o, named(name), mode, locks.Forever)
		done <- err
	}()
	synctest.Wait()
	select {
	case err := <-done:
		b.t.Errorf("%d did not wait for %v of %s: %v", n, mode, name, err)
	default:
	}
	return done
}

func granted(t *testing.T, what string, done <-chan error) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	default:
		t.Fatalf("%s still waits", what)
	}
}

func waiting(t *testing.T, what string, done <-chan error) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-done:
		t.Errorf("%s does not wait any more: %v", what, err)
	default:
	}
}

func TestNewcomerWaitsBehindIncompatibleWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.take(1, "r", locks.S)
		x := b.waits(2, "r", locks.X)
		s := b.waits(3, "r", locks.S)
		b.refuse(4, "r", locks.S)
		b.m.ReleaseAll(b.owner(1))
		granted(t, "X", x)
		waiting(t, "S", s)
		b.m.ReleaseAll(b.owner(2))
		granted(t, "S", s)
	})
}

func TestConversionGoesAheadOfNewcomers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.take(1, "r", locks.S)
		b.take(2, "r", locks.S)
		x := b.waits(3, "r", locks.X)
		conversion := b.waits(1, "r", locks.X)
		b.m.ReleaseAll(b.owner(2))
		granted(t, "conversion", conversion)
		waiting(t, "newcomer", x)
		b.m.ReleaseAll(b.owner(1))
		granted(t, "newcomer", x)
	})
}

func TestCompatibleConversionPassesWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.take(1, "r", locks.S)
		b.take(2, "r", locks.S)
		x := b.waits(3, "r", locks.X)
		b.take(1, "r", locks.U)
		b.m.ReleaseAll(b.owner(1))
		b.m.ReleaseAll(b.owner(2))
		granted(t, "X", x)
	})
}

func TestCounts(t *testing.T) {
	b := newBench(t)
	b.take(1, "r", locks.S)
	b.take(1, "r", locks.IX)
	if got := b.m.Held(b.owner(1), named("r")); got != locks.SIX {
		t.Errorf("S and IX are held as %v", got)
	}
	b.m.Release(b.owner(1), named("r"))
	if got := b.m.Held(b.owner(1), named("r")); got != locks.SIX {
		t.Errorf("weakened to %v before the last release", got)
	}
	b.m.Release(b.owner(1), named("r"))
	if b.m.Release(b.owner(1), named("r")) {
		t.Error("released once too often")
	}
	b.take(2, "r", locks.X)
}

func TestReleaseSinceKeepsConversions(t *testing.T) {
	b := newBench(t)
	b.take(1, "gone", locks.X)
	b.take(1, "old", locks.S)
	b.m.Release(b.owner(1), named("gone"))
	mark := b.m.Mark(b.owner(1))
	b.take(1, "new", locks.X)
	b.take(1, "old", locks.X)
	b.m.ReleaseSince(b.owner(1), mark)
	b.take(2, "new", locks.X)
	b.refuse(2, "old", locks.S)
}

func TestEndOfWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.take(1, "r", locks.S)
		began := time.Now()
		waited, err := b.m.Acquire(t.Context(), b.owner(2), named("r"), locks.X, 300*time.Millisecond)
		if !waited || !errors.Is(err, locks.ErrTimeout) || time.Since(began) != 300*time.Millisecond {
			t.Errorf("waited %v, %v, for %v", waited, err, time.Since(began))
		}
		b.take(3, "r", locks.S) // the request that gave up is out of the way

		cause := errors.New("cause")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(cause) })
		if _, err = b.m.Acquire(ctx, b.owner(2), named("r"), locks.X, locks.Forever); !errors.Is(err, cause) {
			t.Errorf("cancelled: %v", err)
		}
		if _, err = b.m.Acquire(ctx, b.owner(2), named("free"), locks.X, locks.Forever); !errors.Is(err, cause) {
			t.Errorf("cancelled before: %v", err)
		}
		if left := b.m.View(); len(left) != 2 {
			t.Errorf("left behind: %v", left)
		}
	})
}

func TestDeadlock(t *testing.T) {
	for _, c := range []struct {
		name   string
		costs  [3]int64
		victim int
	}{{"the last to wait", [3]int64{}, 3}, {"the cheapest", [3]int64{5, 1, 9}, 2}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				done := make(chan [2]any, 3)
				for n := 1; n <= 3; n++ {
					b.take(n, fmt.Sprint(n), locks.X)
					b.owner(n).Cost.Store(c.costs[n-1])
				}
				for n := 1; n <= 3; n++ {
					o := b.owner(n)
					go func() {
						_, err := b.m.Acquire(t.Context(), o, named(fmt.Sprint(n%3+1)), locks.S, locks.Forever)
						done <- [2]any{n, err}
					}()
					synctest.Wait()
				}
				got := <-done
				if got[0] != c.victim || !errors.Is(got[1].(error), locks.ErrDeadlock) {
					t.Errorf("victim %v: %v", got[0], got[1])
				}
				b.m.ReleaseAll(b.owner(c.victim))
				for range 2 {
					synctest.Wait()
					got := <-done
					if got[1] != nil {
						t.Errorf("%v failed too: %v", got[0], got[1])
					}
					b.m.ReleaseAll(b.owner(got[0].(int)))
				}
			})
		})
	}
}

func TestConversionDeadlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.take(1, "r", locks.S)
		b.take(2, "r", locks.S)
		first := b.waits(1, "r", locks.X)
		if _, err := b.m.Acquire(t.Context(), b.owner(2), named("r"), locks.X, locks.Forever); !errors.Is(err, locks.ErrDeadlock) {
			t.Errorf("second conversion: %v", err)
		}
		waiting(t, "the survivor", first) // until the victim lets go
		b.m.ReleaseAll(b.owner(2))
		granted(t, "the survivor", first)
	})
}

// TestDeadlockThroughQueue has a cycle in which one only waits behind a waiter.
func TestDeadlockThroughQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.take(1, "a", locks.S)
		b.take(2, "b", locks.X)
		x := b.waits(3, "a", locks.X)
		s := b.waits(2, "a", locks.S) // behind 3
		if _, err := b.m.Acquire(t.Context(), b.owner(1), named("b"), locks.S, locks.Forever); !errors.Is(err, locks.ErrDeadlock) {
			t.Errorf("closing the cycle: %v", err)
		}
		b.m.ReleaseAll(b.owner(1))
		granted(t, "X", x)
		b.m.ReleaseAll(b.owner(3))
		granted(t, "S", s)
	})
}

func TestOwnersOfOneSessionDoNotConflict(t *testing.T) {
	b := newBench(t)
	b.take(1, "r", locks.X)
	own := locks.NewOwner(9, 1, true)
	if _, err := b.m.Acquire(t.Context(), own, named("r"), locks.X, 0); err != nil {
		t.Error(err)
	}
	b.m.ReleaseAll(b.owner(1))
	b.refuse(2, "r", locks.S)
}

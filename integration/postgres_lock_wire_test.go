package integration

import (
	"context"
	"slices"
	"testing"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/internal/faultproxy"
	"github.com/lockstep-go/lockstep/uow"
)

var fiveLocks = []applock.Lock{
	applock.Exclusive("e"), applock.Shared("c"), applock.Update("a"), applock.Exclusive("b"), applock.Shared("d"),
}

// TestLocksInOneFlush counts round trips on a connection that has run the unit
// before.
func TestLocksInOneFlush(t *testing.T) {
	l := newLab(t)
	proxy, m := l.proxied(1)
	for _, level := range anyLevel {
		at := m.With(uow.Isolation(level))
		for _, locks := range [][]applock.Lock{{exclusive}, fiveLocks, {exclusive.NoWait()}, {applock.Update("a").Wait(shortWait)}} {
			working := func() { l.check(at.Do(l.ctx, increment, applock.With(locks...))) }
			working()
			l.costs(proxy, 4, working)
			l.costs(proxy, 2, func() { l.check(at.Do(l.ctx, nothing, applock.With(locks...))) })
		}
	}
}

// costs reports another number of round trips than want. The driver asks now and
// then whether a pooled connection is alive: f is then run again.
func (l *lab) costs(proxy *faultproxy.Proxy, want int, f func()) {
	l.Helper()
	for {
		proxy.Reset()
		f()
		sent := proxy.Statements()
		if slices.Contains(sent, "-- ping") {
			continue
		}
		if got := proxy.RoundTrips(); got != want {
			l.Errorf("%d round trips, want %d: %q", got, want, sent)
		}
		return
	}
}

func TestAcquireInOneRoundTrip(t *testing.T) {
	l := newLab(t)
	proxy, m := l.proxied(1)
	for _, locks := range [][]applock.Lock{fiveLocks, {exclusive}, {exclusive.NoWait()}, {exclusive.Wait(shortWait)}} {
		unit := l.hold(m)
		l.check(increment(l.ctx, unit.UnitOfWork))
		l.costs(proxy, 1, func() { l.check(applock.Acquire(l.ctx, unit.UnitOfWork, locks...)) })
		// What is held already is granted without asking.
		l.costs(proxy, 0, func() { l.check(applock.Acquire(l.ctx, unit.UnitOfWork, locks...)) })
		l.commit(unit)
	}
}

// TestRefusalTellsHolderAtOnce allows one round trip beside the request, for
// cleaning up and asking who stands in the way.
func TestRefusalTellsHolderAtOnce(t *testing.T) {
	l := newLab(t)
	l.hold(l.pool(1, ""), lockA, uow.Label("holder"))
	proxy, m := l.proxied(1)
	for _, lock := range []applock.Lock{exclusive.NoWait(), exclusive.Wait(shortWait), applock.Update("a").NoWait()} {
		refused := func() { l.wantIs(m.Do(l.ctx, nothing, applock.With(lock)), applock.ErrTimeout) }
		refused()
		l.costs(proxy, 2, refused)
	}
}

// TestCancelledWaitKeepsItsUnit has a cancelled wait leave its unit as usable as
// it was, and its connection in the pool.
func TestCancelledWaitKeepsItsUnit(t *testing.T) {
	l := newLab(t)
	m := l.pool(1, "")
	holder := l.hold(l.pool(1, ""), lockA)
	unit := l.hold(m, applock.With(applock.Exclusive("mine")))
	pid := l.backend(unit.UnitOfWork)
	l.cancelAcquire(unit, exclusive)
	l.check(increment(l.ctx, unit.UnitOfWork))
	l.watch.wants(held, "2")
	l.commit(unit)
	l.cancelDeclared(m)
	l.commit(holder)
	l.check(m.Do(l.ctx, func(_ context.Context, u *uow.UnitOfWork) error {
		if got := l.backend(u); got != pid {
			l.Errorf("server process %s after a cancelled wait, before it was %s", got, pid)
		}
		return nil
	}))
	l.watch.wants("select n from item", "1")
}

func (l *lab) cancelDeclared(m *uow.Manager) {
	l.Helper()
	ctx, cancel := context.WithCancelCause(l.ctx)
	waiting := l.start(func() error { return m.Do(ctx, increment, lockA) })
	l.watch.until(waiters, "1")
	cancel(errEnough)
	l.wantIs(l.ended(waiting), errEnough)
}

func (l *lab) backend(u *uow.UnitOfWork) string {
	l.Helper()
	var pid string
	l.check(u.GetContext(l.ctx, &pid, "select pg_backend_pid()::text"))
	return pid
}

// TestCancelTooLate has the server grant the lock, and its answer stalled, when
// ctx ends. The cancel may yet hit a later statement and the unit does not know
// that it holds the lock: it must not go on.
func TestCancelTooLate(t *testing.T) {
	l := newLab(t)
	for _, lock := range []applock.Lock{exclusive, exclusive.NoWait()} {
		proxy, m := l.proxied(1)
		unit := l.hold(m, applock.With(applock.Exclusive("mine")))
		err := l.cancelGranted(proxy, "2", func(ctx context.Context) error {
			return applock.Acquire(ctx, unit.UnitOfWork, lock)
		})
		l.wantIs(err, errEnough)
		if _, ok := applock.Held(unit.UnitOfWork, "a"); ok {
			t.Error("held after an error")
		}
		l.wantIs(increment(l.ctx, unit.UnitOfWork), uow.ErrRollbackOnly)
		l.check(unit.Close())
		l.watch.until(held, "0")
		l.check(m.Do(l.ctx, increment, lockA))
	}
	l.watch.wants("select n from item", "2")
}

// TestCancelTooLateDeclared is the same for locks of a unit's begin.
func TestCancelTooLateDeclared(t *testing.T) {
	l := newLab(t)
	for _, level := range anyLevel {
		proxy, m := l.proxied(1)
		err := l.cancelGranted(proxy, "1", func(ctx context.Context) error {
			return m.Do(ctx, increment, lockA, uow.Isolation(level))
		})
		l.wantIs(err, errEnough)
		l.watch.until(held, "0")
		l.check(m.Do(l.ctx, nothing, lockA, uow.Isolation(level)))
	}
	l.watch.wants("select n from item", "0")
}

// cancelGranted stalls the server's answer to a request for locks and cancels it
// once the server shows as many granted as it leads to.
func (l *lab) cancelGranted(proxy *faultproxy.Proxy, granted string, request func(context.Context) error) error {
	l.Helper()
	ctx, cancel := context.WithCancelCause(l.ctx)
	defer cancel(nil)
	asks := proxy.Rule(faultproxy.Query("advisory"), faultproxy.Hold)
	waiting := l.start(func() error { return request(ctx) })
	select {
	case <-asks.Fired():
	case <-l.ctx.Done():
		l.Fatal("no lock was asked for")
	}
	proxy.Stall(faultproxy.Down)
	asks.Release()
	l.watch.until(held, granted)
	before := proxy.Connections()
	cancel(errEnough)
	for proxy.Connections() == before {
		if l.ctx.Err() != nil {
			l.Fatal("the client did not ask to cancel")
		}
	}
	proxy.Resume(faultproxy.Down)
	return l.ended(waiting)
}

// TestWaiterShowsItsLabel has units of every isolation wait with their label on.
func TestWaiterShowsItsLabel(t *testing.T) {
	l := newLab(t)
	for _, level := range anyLevel {
		holder := l.hold(l.pool(1, ""), lockA, uow.Isolation(level), uow.Label("holder"))
		waiting := l.startUnit(l.pool(1, ""), lockA, uow.Isolation(level), uow.Label("waiter"))
		l.watch.until(waiters, "1")
		status, err := applock.Inspect(l.ctx, l.pool(1, ""), "a")
		l.check(err)
		if h, w := status[0].Holders, status[0].Waiters; len(h) != 1 || len(w) != 1 || h[0].Label != "holder" || w[0].Label != "waiter" {
			t.Errorf("isolation %v: %+v", level, status[0])
		}
		l.commit(holder)
		l.check(l.ended(waiting))
	}
}

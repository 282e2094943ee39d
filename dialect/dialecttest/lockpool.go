package dialecttest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/uow"
)

var lockPoolCases = []testCase{
	{"a pool of 1 serves contenders one after the other", testPoolOfOne},
	{"a pool of 4 with 100 waiters stays usable", twoWriters(testPoolOfFour)},
	{"waiters leave room for an unrelated unit, however many names are hot", testRoomBesideHotNames},
	{"fifty hot names on a pool of 8", testFiftyHotNames},
	{"waiters that acquire late do not stop the holder", twoWriters(testAcquirersOnFullPool)},
	{"a unit inside a holder waits in the server's queue", testInnerUnitPassesGate},
	{"units that nest locked units fail fast when the pool is theirs", twoWriters(testNestedLocksOnFullPool)},
	{"units apart in a holder fail fast when those on deck for its lock have the rest of the pool", testDeckOnFullPool},
	{"units apart in two holders of connections, and one on deck", twoWriters(testDeckBesideStranger)},
	{"units that fail in every way leave no gate shut", testNoGateLeftShut},
	{"a unit that finds no connection leaves no gate shut", twoWriters(testNoConnectionLeavesGate)},
	{"a thousand names leave nothing behind", testThousandNames},
}

func testPoolOfOne(e *env) {
	e.counter()
	m := e.narrow(1)
	var all []<-chan error
	for i := range 20 {
		all = append(all, e.startUnit(m, func(ctx context.Context, u *uow.UnitOfWork) error {
			if i%2 == 1 {
				// The holder's own later lock must not need another connection.
				if err := applock.Acquire(ctx, u, applock.Exclusive("b")); err != nil {
					return err
				}
			}
			return increment(ctx, u)
		}, lockA))
	}
	for _, err := range collect(e, "a contender", all) {
		e.Error(err)
	}
	e.wantCount(len(all))
}

func testPoolOfFour(e *env) {
	e.counter()
	m := e.narrow(4)
	holder := e.hold(m, "a")
	var all []<-chan error
	for range 100 {
		all = append(all, e.startNoticed(m, increment, lockA))
	}
	e.waitForWaiters("a", 1)
	if n := m.DB().Stats().InUse; n > 2 {
		e.Errorf("a holder and its waiters use %d connections, want 2", n)
	}
	e.check(increment(e.ctx, holder.UnitOfWork))
	unrelated := e.startUnit(m, e.adds(2), applock.With(applock.Exclusive("b")))
	e.check(wait(e, "an unrelated unit", unrelated))
	e.wantHolders("a", 1)
	e.commit(holder)
	for _, err := range collect(e, "a waiter", all) {
		e.Error(err)
	}
	e.wantCount(101)
	e.wantFree("a")
}

// testRoomBesideHotNames has names held and waited for, up to as many as leave
// one connection of the pool.
func testRoomBesideHotNames(e *env) {
	const connections = 6
	for hot := range connections {
		m := e.narrow(connections)
		var holders []*uow.Scope
		for i := range hot {
			holders = append(holders, e.hold(m, fmt.Sprint("hot-", i)))
		}
		var all []<-chan error
		for i := range 5 * hot {
			name := fmt.Sprint("hot-", i%hot)
			all = append(all, e.startNoticed(m, idle, applock.With(applock.Exclusive(name))))
		}
		e.check(wait(e, "an unrelated unit", e.startUnit(m, e.adds(hot))))
		for i, h := range holders {
			e.check(e.insert(e.ctx, h, 100+i))
			e.check(h.Close())
		}
		for _, err := range collect(e, "a waiter", all) {
			e.Error(err)
		}
	}
}

func testFiftyHotNames(e *env) {
	const names, contenders, units = 50, 4, 5
	m := e.narrow(8)
	var all []<-chan error
	for i := range names {
		e.check(e.insert(e.ctx, e.db, i))
		for range contenders {
			all = append(all, start(func() error { return e.bumpOften(m, i, units) }))
		}
	}
	for _, err := range collect(e, "a contender", all) {
		e.Error(err)
	}
	for i := range names {
		e.wantItem(i, contenders*units)
	}
}

// bumpOften runs units that read an item and write it back under its own lock.
func (e *env) bumpOften(m *uow.Manager, id, units int) error {
	for range units {
		err := m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			var n int
			if err := u.GetContext(ctx, &n, u.Rebind("select n from item where id = ?"), id); err != nil {
				return err
			}
			_, err := u.ExecContext(ctx, u.Rebind("update item set n = ? where id = ?"), n+1, id)
			return err
		}, applock.With(applock.Exclusive(fmt.Sprint("hot-", id))))
		if err != nil {
			return err
		}
	}
	return nil
}

// wantItem reports an error unless an item has the committed n.
func (e *env) wantItem(id, want int) {
	e.Helper()
	var n int
	e.check(e.db.GetContext(e.ctx, &n, e.db.Rebind("select n from item where id = ?"), id))
	if n != want {
		e.Errorf("item %d has n = %d, want %d", id, n, want)
	}
}

// testAcquirersOnFullPool fills the pool with units that wait for the holder in
// the server's queue: the holder's statements go on over its own connection.
func testAcquirersOnFullPool(e *env) {
	m := e.narrow(3)
	holder := e.hold(m, "a")
	var all []<-chan error
	for i := range 2 {
		all = append(all, e.startUnit(m, func(ctx context.Context, u *uow.UnitOfWork) error {
			return errors.Join(e.insert(ctx, u, i), applock.Acquire(ctx, u, applock.Exclusive("a")))
		}))
		e.waitForWaiters("a", i+1)
	}
	e.check(e.insert(e.ctx, holder, 5))
	e.acquire(holder.UnitOfWork, applock.Exclusive("b"))
	e.commit(holder)
	for _, err := range collect(e, "a waiter", all) {
		e.Error(err)
	}
	e.wantItems(0, 1, 5)
}

// testInnerUnitPassesGate has a unit apart wait for a lock while the unit around
// it holds another: what it waits for must be seen by the server.
func testInnerUnitPassesGate(e *env) {
	holder := e.hold(e.m, "b")
	deck := e.startUnit(e.m, idle, applock.With(applock.Exclusive("b")))
	e.waitForWaiters("b", 1)
	gated := e.startNoticed(e.m, idle, applock.With(applock.Exclusive("b")))
	inner := start(func() error {
		return e.m.Do(e.ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
			return e.m.Do(ctx, idle, uow.RequiresNew(), applock.With(applock.Exclusive("b")))
		}, lockA)
	})
	e.waitForWaiters("b", 2)
	e.commit(holder)
	for _, err := range collect(e, "a waiter", []<-chan error{deck, gated, inner}) {
		e.Error(err)
	}
	e.wantFree("a")
}

// testNestedLocksOnFullPool has units hold all connections of a pool while each
// opens a unit apart that wants one lock: those that wait for the lock keep the
// connection that its holder needs.
func testNestedLocksOnFullPool(e *env) {
	const connections = 3
	m := e.narrow(connections)
	var all []<-chan error
	var met sync.WaitGroup
	met.Add(connections)
	for i := range connections {
		all = append(all, e.startUnit(m, func(ctx context.Context, u *uow.UnitOfWork) error {
			err := e.insert(ctx, u, i)
			met.Done()
			met.Wait()
			return errors.Join(err, m.Do(ctx, idle, uow.RequiresNew(), lockA))
		}))
	}
	failed := collect(e, "a unit around a locked one", all)
	if len(failed) == 0 || len(failed) == connections {
		e.Errorf("failures %v, want some, and some units that went on", failed)
	}
	for _, err := range failed {
		e.wantIs(err, uow.ErrPoolExhausted)
	}
	e.wantFree("a")
}

// testDeckOnFullPool leaves a unit apart, inside one inside a holder, no
// connection but that of the unit which waits for the holder's lock.
func testDeckOnFullPool(e *env) {
	m := e.narrow(3)
	var deck <-chan error
	e.check(m.Do(e.ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
		deck = e.startUnit(m, idle, lockA)
		// Asked for on the pool's last connection.
		e.waitForWaiters("a", 1)
		return m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			err := e.insert(ctx, u, 1)
			e.wantIs(m.Do(ctx, e.adds(2), uow.RequiresNew()), uow.ErrPoolExhausted)
			return err
		}, uow.RequiresNew())
	}, lockA))
	e.check(wait(e, "the unit on deck", deck))
	e.wantItems(1)
}

// testDeckBesideStranger has two units that hold connections open units apart,
// while the third connection waits for the lock of one of them.
func testDeckBesideStranger(e *env) {
	m := e.narrow(3)
	meet := e.meeting(2)
	var deck <-chan error
	apart := func(ctx context.Context) error {
		meet()
		return m.Do(ctx, e.adds(9), uow.RequiresNew())
	}
	holder := start(func() error {
		return m.Do(e.ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
			deck = e.startUnit(m, idle, lockA)
			e.eventually("a unit on deck", func() bool { return len(e.status("a").Waiters) == 1 })
			return apart(ctx)
		}, lockA)
	})
	stranger := start(func() error {
		return m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			e.waitForWaiters("a", 1)
			return errors.Join(e.insert(ctx, u, 1), apart(ctx))
		})
	})
	refused := 0
	for _, err := range []error{wait(e, "the holder", holder), wait(e, "the stranger", stranger)} {
		if err != nil {
			refused++
			e.wantIs(err, uow.ErrPoolExhausted)
		}
	}
	if refused == 0 {
		e.Error("both units got a connection that was not there")
	}
	e.check(wait(e, "the unit on deck", deck))
}

// testNoGateLeftShut asks again, without waiting, in the same process, after
// each way in which a unit can fail to get its locks or to end well.
func testNoGateLeftShut(e *env) {
	m := e.narrow(3)
	barred := e.hold(e.peer(), "barred")
	declared := applock.With(applock.Exclusive("a"), applock.Exclusive("barred").Wait(shortWait))
	cancelled, cancel := context.WithCancel(e.ctx)
	cancel()
	for what, unit := range map[string]func() error{
		"timeout":         func() error { return m.Do(e.ctx, idle, declared) },
		"timeout at once": func() error { return m.Do(e.ctx, idle, lockA, applock.With(applock.Exclusive("barred").NoWait())) },
		"cancelled":       func() error { return m.Do(cancelled, idle, lockA) },
		"error":           func() error { return m.Do(e.ctx, e.addsThenFails(errWork, 1), lockA) },
		"server's error": func() error {
			return m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
				_, err := u.ExecContext(ctx, "no such statement")
				return err
			}, lockA)
		},
		"undone savepoint": func() error {
			return m.Do(e.ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
				return m.Do(ctx, e.addsThenFails(errWork, 1), uow.Nested(), lockA)
			})
		},
	} {
		if unit() == nil {
			e.Errorf("%s: the unit succeeded", what)
		}
		if !e.grants(m, applock.Exclusive("a")) {
			e.Errorf("%s: lock a was left barred in its process", what)
		}
	}
	e.commit(barred)
	e.wantItems()
}

func testNoConnectionLeavesGate(e *env) {
	m := e.narrow(3)
	e.wantIs(e.exhaust(e.ctx, m, 3), uow.ErrPoolExhausted)
	e.wantGrant(m, applock.Exclusive("a"), true)
	e.wantItems()
}

// exhaust opens units inside each other until they have taken all connections,
// and asks for lock a in one more.
func (e *env) exhaust(ctx context.Context, m *uow.Manager, connections int) error {
	if connections == 0 {
		return m.Do(ctx, idle, uow.RequiresNew(), lockA)
	}
	return m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		if err := e.insert(ctx, u, connections); err != nil {
			return err
		}
		return e.exhaust(ctx, m, connections-1)
	}, uow.RequiresNew())
}

func testThousandNames(e *env) {
	var all []<-chan error
	for part := range 4 {
		all = append(all, start(func() error {
			for i := range 250 {
				name := fmt.Sprint("name-", part, "-", i)
				if err := e.m.Do(e.ctx, idle, applock.With(applock.Exclusive(name))); err != nil {
					return err
				}
				err := e.m.Do(e.ctx, idle, applock.With(applock.Exclusive(name).NoWait()))
				if err != nil {
					return err
				}
			}
			return nil
		}))
	}
	for _, err := range collect(e, "units of many names", all) {
		e.Error(err)
	}
	status, err := applock.Inspect(e.ctx, e.m)
	e.check(err)
	if len(status) != 0 {
		e.Errorf("left behind: %+v", status)
	}
}

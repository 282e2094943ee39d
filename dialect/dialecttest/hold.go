package dialecttest

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/uow"
)

var holdCases = []testCase{
	{"the lock is held while fn runs, and freed when it returns, fails, panics or exits", testHoldFrees},
	{"holds exclude each other and units", testHoldExcludes},
	{"wait limit of a hold names the holder", testHoldTimeout},
	{"wait of a hold ends with its ctx", testHoldCancelled},
	{"bad arguments of a hold call nothing", testHoldInvalid},
	{"units in fn are their own and outlive its failure", testHoldUnits},
	{"a unit in fn that asks for the lock again is told of the deadlock", testHoldAround},
	{"fn's units on a pool of 1 fail fast", testHoldPool},
	{"waiters hold no connection while they sleep", testHoldSleepers},
	{"a hold that waits takes no connection from units in the holder", twoWriters(testHoldBesideHold)},
	{"default locks of the Manager are not the hold's", testHoldDefaults},
	{"shared holds share", testHoldShared},
	{"killed session cancels fn's ctx with ErrLost", testHoldKilled},
	{"silent network cancels fn's ctx with ErrLost", testHoldSilent},
	{"connection lost unnoticed is found at the end", testHoldLostAtEnd},
	{"a hold in a hold", testHoldInHold},
}

func testHoldFrees(e *env) {
	inside := func(context.Context) error {
		e.wantHolders("a", 1)
		return nil
	}
	for what, hold := range map[string]func(){
		"returned": func() { e.check(applock.Hold(e.ctx, e.m, inside, applock.Exclusive("a"))) },
		"failed": func() {
			e.wantIs(applock.Hold(e.ctx, e.m, func(ctx context.Context) error {
				return errors.Join(inside(ctx), errWork)
			}, applock.Exclusive("a")), errWork)
		},
		"panicked": func() {
			wantEqual(e, "panic", panicOf(func() {
				_ = applock.Hold(e.ctx, e.m, func(context.Context) error { panic("oh") }, applock.Exclusive("a"))
			}), any("oh"))
		},
		"exited": func() {
			done := make(chan struct{})
			go func() {
				defer close(done)
				_ = applock.Hold(e.ctx, e.m, func(context.Context) error {
					runtime.Goexit()
					return nil
				}, applock.Exclusive("a"))
			}()
			wait(e, "the goroutine's end", done)
		},
	} {
		hold()
		if !e.grants(e.peer(), applock.Exclusive("a")) {
			e.Errorf("%s: the lock is still held", what)
		}
		wantEqual(e, what+": connections in use", e.db.Stats().InUse, 0)
	}
}

func testHoldExcludes(e *env) {
	peer := e.peer()
	e.check(applock.Hold(e.ctx, e.m, func(ctx context.Context) error {
		e.wantGrant(peer, applock.Exclusive("a"), false)
		e.wantGrant(peer, applock.Exclusive("b"), true)
		err := applock.Hold(e.ctx, peer, func(context.Context) error { return nil }, applock.Exclusive("a").NoWait())
		e.wantIs(err, applock.ErrTimeout)
		return ctx.Err()
	}, applock.Exclusive("a")))

	holder := e.hold(peer, "a")
	entered := start(func() error {
		return applock.Hold(e.ctx, e.m, func(context.Context) error { return nil }, applock.Exclusive("a"))
	})
	e.pending("the hold", entered)
	e.commit(holder)
	e.check(wait(e, "the hold", entered))
}

func testHoldTimeout(e *env) {
	holder := e.hold(e.peer(), "a", uow.Label("holder-7"))
	called := false
	err := applock.Hold(e.ctx, e.m, func(context.Context) error {
		called = true
		return nil
	}, applock.Exclusive("a").Wait(shortWait))
	timeout := wantAs[*applock.TimeoutError](e, err)
	if timeout.Waited < shortWait || len(timeout.Holders) != 1 || timeout.Holders[0].Label != "holder-7" {
		e.Errorf("%v: waited %v, holders %+v", err, timeout.Waited, timeout.Holders)
	}
	wantEqual(e, "lock", timeout.Lock, applock.Exclusive("a").Wait(shortWait))
	wantEqual(e, "fn called", called, false)
	e.commit(holder)
	e.wantFree("a")
}

func testHoldCancelled(e *env) {
	holder := e.hold(e.peer(), "a")
	ctx, cancel := context.WithCancelCause(e.ctx)
	waiting := start(func() error {
		return applock.Hold(ctx, e.m, func(context.Context) error { return nil }, applock.Exclusive("a"))
	})
	e.pending("the hold", waiting)
	cancel(errWork)
	e.wantIs(wait(e, "the hold", waiting), errWork)
	e.wantIs(applock.Hold(ctx, e.m, func(context.Context) error { return nil }, applock.Exclusive("b")), errWork)
	e.commit(holder)

	// A ctx that ends in fn frees nothing before fn has returned.
	ctx, cancel = context.WithCancelCause(e.ctx)
	e.check(applock.Hold(ctx, e.m, func(inner context.Context) error {
		cancel(errWork)
		<-inner.Done()
		e.wantIs(context.Cause(inner), errWork)
		e.wantGrant(e.peer(), applock.Exclusive("a"), false)
		return nil
	}, applock.Exclusive("a")))
	e.wantFree("a")
}

func testHoldInvalid(e *env) {
	fn := func(context.Context) error {
		e.Error("fn was called")
		return nil
	}
	e.wantIs(applock.Hold(e.ctx, e.m, nil, applock.Exclusive("a")), applock.ErrInvalid)
	e.wantIs(applock.Hold(e.ctx, e.m, fn), applock.ErrInvalid)
	e.wantIs(applock.Hold(e.ctx, e.m, fn, applock.Exclusive("")), applock.ErrName)
	e.wantIs(applock.Hold(e.ctx, nil, fn, applock.Exclusive("a")), uow.ErrNoManager)
	e.wantIs(applock.Hold(e.ctx, e.m.With(uow.Watch(0, time.Second)), fn, applock.Exclusive("a")), uow.ErrInvalid)
	e.wantIs(applock.Hold(e.ctx, e.m.With(uow.Watch(time.Second, -1)), fn, applock.Exclusive("a")), uow.ErrInvalid)
}

func testHoldUnits(e *env) {
	e.wantIs(applock.Hold(e.ctx, e.m, func(ctx context.Context) error {
		if u, ok := uow.FromContext(ctx); ok {
			e.Errorf("fn is in unit %v", u)
		}
		e.check(e.m.Do(ctx, e.adds(1)))
		e.check(e.m.Do(ctx, e.adds(2), applock.With(applock.Exclusive("b"))))
		return errWork
	}, applock.Exclusive("a")), errWork)
	e.wantItems(1, 2)
}

func testHoldAround(e *env) {
	e.check(applock.Hold(e.ctx, e.m, func(ctx context.Context) error {
		e.wantIs(e.m.Do(ctx, e.adds(1), lockA), applock.ErrDeadlock)
		e.wantIs(applock.Hold(ctx, e.m, func(context.Context) error { return nil }, applock.Exclusive("a")), applock.ErrDeadlock)
		e.wantIs(e.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			return errors.Join(e.insert(ctx, u, 2), applock.Acquire(ctx, u, applock.Shared("a")))
		}), applock.ErrDeadlock)
		return nil
	}, applock.Exclusive("a")))

	// The unit around the hold is told as well.
	e.wantIs(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		return applock.Hold(ctx, e.m, func(ctx context.Context) error {
			return applock.Acquire(ctx, u, applock.Exclusive("a"))
		}, applock.Exclusive("a"))
	}), applock.ErrDeadlock)
	e.wantItems()
	e.wantFree("a")
}

func testHoldPool(e *env) {
	m := e.narrow(1)
	e.check(applock.Hold(e.ctx, m, func(ctx context.Context) error {
		e.wantIs(m.Do(ctx, e.adds(1)), uow.ErrPoolExhausted)
		e.wantIs(m.Do(ctx, e.adds(1), applock.With(applock.Exclusive("b"))), uow.ErrPoolExhausted)
		return nil
	}, applock.Exclusive("a")))
	e.wantItems()
}

func testHoldSleepers(e *env) {
	m := e.narrow(4)
	holder := e.hold(e.peer(), "a")
	var all []<-chan error
	for range 20 {
		all = append(all, start(func() error {
			return applock.Hold(e.ctx, m, func(context.Context) error { return nil }, applock.Exclusive("a"))
		}))
	}
	e.check(m.Do(e.ctx, e.adds(1)))
	e.check(m.Do(e.ctx, e.adds(2), applock.With(applock.Exclusive("b"))))
	e.commit(holder)
	for _, err := range collect(e, "a hold", all) {
		e.Error(err)
	}
	e.wantItems(1, 2)
}

func testHoldBesideHold(e *env) {
	m := e.narrow(3)
	ctx := notice(e.ctx)
	var waiting <-chan error
	e.check(applock.Hold(e.ctx, m, func(inner context.Context) error {
		waiting = start(func() error {
			return applock.Hold(ctx, m, func(context.Context) error { return nil }, applock.Exclusive("a"))
		})
		wait(e, "the second hold to wait", ctx.waiting)
		return m.Do(inner, func(ctx context.Context, u *uow.UnitOfWork) error {
			return errors.Join(e.insert(ctx, u, 1), m.Do(ctx, e.adds(2), uow.RequiresNew()))
		})
	}, applock.Exclusive("a")))
	e.check(wait(e, "the second hold", waiting))
	e.wantItems(1, 2)
}

func testHoldDefaults(e *env) {
	m := e.manager(e.db, uow.Defaults(applock.With(applock.Exclusive("schema"))))
	e.check(applock.Hold(e.ctx, m, func(ctx context.Context) error {
		return m.Do(ctx, e.adds(1))
	}, applock.Exclusive("a")))
	e.wantItems(1)
}

func testHoldShared(e *env) {
	e.check(applock.Hold(e.ctx, e.m, func(context.Context) error {
		return applock.Hold(e.ctx, e.peer(), func(context.Context) error {
			e.wantHolders("a", 2)
			return nil
		}, applock.Shared("a").NoWait())
	}, applock.Shared("a")))
}

func testHoldKilled(e *env) {
	killer := ability[Killer](e)
	m := e.m.With(uow.Watch(20*time.Millisecond, patience))
	err := applock.Hold(e.ctx, m, func(ctx context.Context) error {
		killer.Kill(e.T, e.db, e.session("a"))
		<-ctx.Done()
		wantAs[*applock.LostError](e, context.Cause(ctx))
		return errWork
	}, applock.Exclusive("a"))
	e.wantIs(err, applock.ErrLost)
	e.wantIs(err, errWork)
	wantEqual(e, "retryable", uow.IsRetryable(err), false)
	lost := wantAs[*applock.LostError](e, err)
	wantSlice(e, "lost locks", lost.Locks, applock.Exclusive("a"))
	e.wantFree("a")
}

func testHoldSilent(e *env) {
	if testing.Short() {
		e.Skip("in short form: it waits for drivers to give up")
	}
	proxy, db := e.proxied()
	m := e.manager(db, uow.RollbackTimeout(time.Second), uow.CommitTimeout(time.Second)).With(uow.Watch(20*time.Millisecond, 200*time.Millisecond))
	err := applock.Hold(e.ctx, m, func(ctx context.Context) error {
		proxy.Stall()
		<-ctx.Done()
		wantAs[*applock.LostError](e, context.Cause(ctx))
		proxy.CutAll() // what else would end the wait of a driver that has no limit
		return nil
	}, applock.Exclusive("a"))
	e.wantIs(err, applock.ErrLost)
	proxy.Resume()
	e.wantFree("a")
}

func testHoldLostAtEnd(e *env) {
	proxy, db := e.proxied()
	m := e.manager(db).With(uow.Watch(time.Hour, time.Hour))
	err := applock.Hold(e.ctx, m, func(context.Context) error {
		proxy.CutAll()
		return nil
	}, applock.Exclusive("a"))
	wantAs[*applock.LostError](e, err)
	e.wantFree("a")
}

func testHoldInHold(e *env) {
	for connections, want := range map[int]error{2: uow.ErrPoolExhausted, 3: applock.ErrDeadlock} {
		m := e.narrow(connections)
		e.check(applock.Hold(e.ctx, m, func(ctx context.Context) error {
			return applock.Hold(ctx, m, func(ctx context.Context) error {
				e.wantIs(m.Do(ctx, e.adds(1), lockA), want)
				return nil
			}, applock.Exclusive("b"))
		}, applock.Exclusive("a")))
	}
	e.wantItems()
	e.wantFree("a")
	e.wantFree("b")
}

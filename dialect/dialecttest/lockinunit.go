package dialecttest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/uow"
)

var lockInUnitCases = slices.Concat(lockScopeCases, lockEndCases, lockIsolationCases)

var lockScopeCases = []testCase{
	{"held locks are granted without a round trip", testReentrant},
	{"an undone savepoint gives back its locks alone", testSavepointUndone},
	{"an undone savepoint gives back a stronger mode", testStrengthUndone},
	{"an undone savepoint keeps what it acquired again", testReacquiredInside},
	{"a kept savepoint keeps its locks", testSavepointKept},
	{"a failed wait leaves the unit usable", testFailedWaitLeavesUnit},
	{"a failed wait in a nested scope leaves both usable", testFailedWaitNested},
	{"declared on a joined scope, acquired there", func(e *env) { testDeclaredInside(e) }},
	{"declared on a nested scope, acquired there", func(e *env) { testDeclaredInside(e, uow.Nested()) }},
	{"try acquires all or none", testTryAcquire},
	{"try tells errors from refusals", testTryErrors},
	{"held tells what the unit holds", testHeld},
	{"a new unit inside never waits for the one around it", testRequiresNewHeld},
	{"an open new unit inside never waits for the one around it", twoWriters(testRequiresNewAcquires)},
	{"a new unit inside shares what can be shared", testRequiresNewShares},
}

func testReentrant(e *env) {
	asked, db := e.traced()
	m := e.manager(db)
	e.check(m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		held := []applock.Lock{
			applock.Exclusive("a"), applock.Update("a").NoWait(), applock.Shared("a").Wait(shortWait), applock.Shared("b"),
		}
		e.wantSilence(asked, func() {
			e.acquire(u, held...)
			ok, err := applock.TryAcquire(ctx, u, held...)
			if !ok || err != nil {
				e.Errorf("TryAcquire of what is held: %v, %v", ok, err)
			}
			for _, inner := range []uow.Option{uow.Required(), uow.Nested(), uow.Mandatory()} {
				e.check(m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
					e.wantHeld(u, "a", applock.ModeExclusive)
					return applock.Acquire(ctx, u, held...)
				}, inner, applock.With(held...)))
			}
		})
		return nil
	}, applock.With(applock.Exclusive("a"), applock.Shared("b"))))
	e.wantFree("a")
}

func testSavepointUndone(e *env) {
	peer := e.peer()
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		for range 2 {
			e.wantIs(e.m.Do(ctx, func(ctx context.Context, inner *uow.UnitOfWork) error {
				e.acquire(inner, applock.Exclusive("inner"), applock.Shared("other"))
				e.wantHolders("inner", 1)
				e.wantGrant(peer, applock.Exclusive("inner"), false)
				return errors.Join(e.insert(ctx, inner, 2), errWork)
			}, uow.Nested()), errWork)
			e.wantHeld(u, "inner", 0)
			e.wantHeld(u, "outer", applock.ModeExclusive)
			e.wantFree("inner")
			e.wantGrant(peer, applock.Exclusive("inner"), true)
			e.wantGrant(e.m.With(uow.RequiresNew()), applock.Exclusive("other"), true)
			e.wantGrant(peer, applock.Exclusive("outer"), false)
		}
		e.acquire(u, applock.Exclusive("inner"))
		e.wantHolders("inner", 1)
		return e.insert(ctx, u, 1)
	}, applock.With(applock.Exclusive("outer"))))
	e.wantItems(1)
	e.wantFree("inner")
	e.wantFree("outer")
}

// StrengthKeeper is a Harness whose server does not weaken a lock that was held
// before a savepoint when that is undone.
type StrengthKeeper interface {
	// KeepsStrength does nothing.
	KeepsStrength()
}

func testStrengthUndone(e *env) {
	peer := e.peer()
	_, kept := e.h.(StrengthKeeper)
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.wantIs(e.m.Do(ctx, func(_ context.Context, inner *uow.UnitOfWork) error {
			e.acquire(inner, applock.Update("a"))
			e.acquire(inner, applock.Exclusive("a"))
			e.wantGrant(peer, applock.Shared("a"), false)
			return errWork
		}, uow.Nested()), errWork)
		e.wantHeld(u, "a", applock.ModeShared)
		e.wantGrant(peer, applock.Update("a"), !kept)
		e.wantGrant(peer, applock.Exclusive("a"), false)
		e.wantGrant(e.m, applock.Exclusive("a"), false)
		e.wantGrant(e.m, applock.Update("a"), !kept)
		return nil
	}, applock.With(applock.Shared("a"))))
	e.wantFree("a")
}

// testReacquiredInside asks again inside for what is held outside.
func testReacquiredInside(e *env) {
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		for _, again := range modes {
			e.wantIs(e.m.Do(ctx, func(context.Context, *uow.UnitOfWork) error {
				return errors.Join(e.insert(ctx, u, 1), errWork)
			}, uow.Nested(), applock.With(again("a"))), errWork)
			e.wantHeld(u, "a", applock.ModeExclusive)
			e.wantHolders("a", 1)
		}
		return nil
	}, applock.With(applock.Exclusive("a"))))
	e.wantItems()
}

func testSavepointKept(e *env) {
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.check(e.m.Do(ctx, e.adds(1), uow.Nested(), applock.With(applock.Exclusive("inner"))))
		e.wantHeld(u, "inner", applock.ModeExclusive)
		e.wantHolders("inner", 1)
		// Undoing a scope around the kept one gives the lock back after all.
		e.wantIs(e.m.Do(ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
			e.check(e.m.Do(ctx, e.adds(2), uow.Nested(), applock.With(applock.Exclusive("innermost"))))
			e.wantHolders("innermost", 1)
			return errWork
		}, uow.Nested()), errWork)
		e.wantFree("innermost")
		e.wantHolders("inner", 1)
		return nil
	}))
	e.wantItems(1)
	e.wantFree("inner")
}

func testFailedWaitLeavesUnit(e *env) {
	holder := e.hold(e.peer(), "a")
	unit := e.hold(e.m, "mine")
	for i, l := range []applock.Lock{
		applock.Exclusive("a").Wait(shortWait), applock.Exclusive("a").NoWait(),
		applock.Shared("a").NoWait(), applock.Update("a").NoWait(), applock.Update("a").Wait(shortWait),
	} {
		e.wantIs(applock.Acquire(e.ctx, unit.UnitOfWork, l), applock.ErrTimeout)
		e.check(e.insert(e.ctx, unit, i))
		e.wantHolders("mine", 1)
		e.wantHeld(unit.UnitOfWork, "a", 0)
	}
	e.commit(holder)
	e.acquire(unit.UnitOfWork, applock.Exclusive("a"))
	e.commit(unit)
	e.wantItems(0, 1, 2, 3, 4)
}

func testFailedWaitNested(e *env) {
	e.hold(e.peer(), "a")
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.check(e.m.Do(ctx, func(ctx context.Context, inner *uow.UnitOfWork) error {
			e.acquire(inner, applock.Exclusive("inner"))
			e.wantIs(applock.Acquire(ctx, inner, applock.Exclusive("a").NoWait()), applock.ErrTimeout)
			e.wantIs(applock.Acquire(ctx, inner, applock.Exclusive("a").Wait(shortWait)), applock.ErrTimeout)
			e.wantHolders("inner", 1)
			return e.insert(ctx, inner, 1)
		}, uow.Nested()))
		e.wantHolders("inner", 1)
		return e.insert(ctx, u, 2)
	}))
	e.wantItems(1, 2)
}

// testDeclaredInside has a scope of an open unit declare locks that are refused
// and then granted. A function that was not called has no vote.
func testDeclaredInside(e *env, opts ...uow.Option) {
	holder := e.hold(e.peer(), "a")
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.check(e.insert(ctx, u, 1))
		declared := append(opts, applock.With(applock.Exclusive("a").NoWait(), applock.Exclusive("b")))
		e.wantIs(e.m.Do(ctx, func(context.Context, *uow.UnitOfWork) error {
			e.Error("the function was called without its lock")
			return nil
		}, declared...), applock.ErrTimeout)
		e.wantFree("b")
		e.commit(holder)
		return e.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			e.wantHeld(u, "b", applock.ModeExclusive)
			e.wantHolders("a", 1)
			return e.insert(ctx, u, 2)
		}, declared...)
	}))
	e.wantItems(1, 2)
	e.wantFree("a")
}

func testTryAcquire(e *env) {
	holder := e.hold(e.peer(), "taken")
	unit := e.begin(e.m)
	try := func(want bool, locks ...applock.Lock) {
		e.Helper()
		got, err := applock.TryAcquire(e.ctx, unit.UnitOfWork, locks...)
		e.check(err)
		if got != want {
			e.Errorf("TryAcquire(%v) = %v, want %v", locks, got, want)
		}
	}
	try(false, applock.Exclusive("taken"))
	try(false, applock.Shared("taken").Wait(shortWait))
	try(false, applock.Exclusive("a"), applock.Update("taken"), applock.Exclusive("z"))
	e.wantFree("a")
	e.wantFree("z")
	try(true, applock.Exclusive("a"), applock.Update("z"))
	try(false, applock.Exclusive("taken"), applock.Exclusive("b"))
	e.wantFree("b")
	e.wantHolders("a", 1)
	e.check(e.insert(e.ctx, unit, 1))
	e.commit(holder)
	try(true, applock.Exclusive("taken"))
	e.commit(unit)
	e.wantItems(1)
}

func testTryErrors(e *env) {
	unit := e.begin(e.m)
	ctx, cancel := context.WithCancelCause(e.ctx)
	cancel(errEnough)
	ok, err := applock.TryAcquire(ctx, unit.UnitOfWork, applock.Exclusive("a"))
	e.wantIs(err, errEnough)
	if ok {
		e.Error("acquired with a cancelled ctx")
	}
	e.commit(unit)
	ok, err = applock.TryAcquire(e.ctx, unit.UnitOfWork, applock.Exclusive("a"))
	e.wantIs(err, uow.ErrDone)
	if ok {
		e.Error("acquired by a unit that has ended")
	}
}

func testHeld(e *env) {
	e.wantHeld(nil, "a", 0)
	var kept *uow.UnitOfWork
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		kept = u
		e.wantHeld(u, "a", applock.ModeShared)
		e.wantHeld(u, "A", 0)
		e.acquire(u, applock.Update("a"))
		e.wantHeld(u, "a", applock.ModeUpdate)
		e.acquire(u, applock.Shared("a"))
		e.wantHeld(u, "a", applock.ModeUpdate)
		e.check(e.m.Do(ctx, func(_ context.Context, inner *uow.UnitOfWork) error {
			e.wantHeld(inner, "a", applock.ModeUpdate)
			return nil
		}))
		return e.m.Do(ctx, func(_ context.Context, apart *uow.UnitOfWork) error {
			e.wantHeld(apart, "a", 0)
			return nil
		}, uow.RequiresNew())
	}, applock.With(applock.Shared("a"))))
	e.wantHeld(kept, "a", 0)
}

// testRequiresNewHeld asks, in a unit apart, for what units around it hold: no
// server can see that they wait for it.
func testRequiresNewHeld(e *env) {
	apart := func(ctx context.Context, l applock.Lock) {
		err := e.m.Do(ctx, func(context.Context, *uow.UnitOfWork) error {
			e.Errorf("%v granted beside the unit around", l)
			return nil
		}, uow.RequiresNew(), applock.With(l))
		e.wantIs(err, applock.ErrDeadlock)
	}
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		apart(ctx, applock.Exclusive("a"))
		apart(ctx, applock.Shared("a"))
		apart(ctx, applock.Exclusive("a").NoWait())
		e.check(e.m.Do(ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
			return e.m.Do(ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
				apart(ctx, applock.Update("a"))
				return nil
			}, uow.RequiresNew())
		}))
		return e.insert(ctx, u, 1)
	}, applock.With(applock.Exclusive("a"))))
	e.wantItems(1)
	e.wantFree("a")
}

// testRequiresNewAcquires asks in a unit apart that has begun already.
func testRequiresNewAcquires(e *env) {
	err := e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.check(e.insert(ctx, u, 1))
		return e.m.Do(ctx, func(ctx context.Context, apart *uow.UnitOfWork) error {
			e.check(e.insert(ctx, apart, 2))
			// Without a limit this would wait as long as the case may.
			return applock.Acquire(ctx, apart, applock.Exclusive("a").Wait(time.Second))
		}, uow.RequiresNew())
	}, lockA)
	e.wantIs(err, applock.ErrDeadlock)
	e.wantFree("a")
}

func testRequiresNewShares(e *env) {
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.check(e.m.Do(ctx, e.adds(1), uow.RequiresNew(), applock.With(applock.Shared("a"), applock.Exclusive("b"))))
		e.wantHolders("a", 1)
		e.wantFree("b")
		e.wantHeld(u, "b", 0)
		return nil
	}, applock.With(applock.Update("a"))))
	e.wantItems(1)
}

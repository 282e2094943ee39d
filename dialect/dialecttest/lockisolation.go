package dialecttest

import (
	"context"
	"database/sql"
	"errors"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/uow"
)

var lockIsolationCases = []testCase{
	{"no stale read after a declared wait, at any isolation", testFreshAfterDeclared},
	{"no stale read after a declared wait in the process, at any isolation", testFreshAfterGate},
	{"no stale read after an acquired wait, at any isolation", twoWriters(testFreshAfterAcquired)},
	{"locks behave alike at any isolation", testLocksAtIsolation},
	{"a failed wait leaves nothing behind at any isolation", testFailureAtIsolation},
	{"a deadlock leaves nothing behind at any isolation", testDeadlockAtIsolation},
}

// levels are those that every database has.
var levels = []sql.IsolationLevel{
	sql.LevelDefault, sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable,
}

// testFreshAfterDeclared has each waiting unit read what the holder wrote, and
// write upon it without a serialization failure.
func testFreshAfterDeclared(e *env) {
	e.counter()
	for i, level := range levels {
		holder := e.hold(e.m, "a", uow.Isolation(level))
		waiting := e.startUnit(e.peer(), increment, applock.With(applock.Exclusive("a"), applock.Shared("b")), uow.Isolation(level))
		e.waitForWaiters("a", 1)
		e.check(increment(e.ctx, holder.UnitOfWork))
		e.commit(holder)
		if err := wait(e, "the waiting unit", waiting); err != nil {
			e.Errorf("isolation %v: %v", level, err)
		}
		e.wantCount(2 * (i + 1))
	}
}

func testFreshAfterGate(e *env) {
	e.counter()
	for i, level := range levels {
		m := e.narrow(1)
		holder := e.hold(m, "a", uow.Isolation(level))
		waiting := e.startNoticed(m, increment, lockA, uow.Isolation(level))
		e.check(increment(e.ctx, holder.UnitOfWork))
		e.commit(holder)
		if err := wait(e, "the waiting unit", waiting); err != nil {
			e.Errorf("isolation %v: %v", level, err)
		}
		e.wantCount(2 * (i + 1))
	}
}

// testFreshAfterAcquired allows a dialect to refuse a lock that comes too late
// for what the unit reads. Where readers lock what they read, the holder cannot
// write it, and one of the two is told of the deadlock.
func testFreshAfterAcquired(e *env) {
	e.counter()
	count := 0
	for _, level := range levels {
		holder := e.hold(e.m, "a")
		unit := e.begin(e.peer(), uow.Isolation(level))
		e.check(sees(count)(e.ctx, unit.UnitOfWork))
		refused := errors.Is(applock.Acquire(e.ctx, unit.UnitOfWork, applock.Exclusive("a").NoWait()), applock.ErrSnapshotTaken)
		waiting := e.startAcquire(unit.UnitOfWork, applock.Exclusive("a"))
		if refused {
			e.wantIs(wait(e, "the refusal", waiting), applock.ErrSnapshotTaken)
			e.wantHeld(unit.UnitOfWork, "a", 0)
			e.check(sees(count)(e.ctx, unit.UnitOfWork))
			e.commit(unit)
		} else {
			e.waitForWaiters("a", 1)
		}
		if err := increment(e.ctx, holder.UnitOfWork); errors.Is(err, dialect.Deadlock) {
			e.check(holder.Close())
		} else {
			e.check(err)
			e.commit(holder)
			count++
		}
		if !refused {
			e.seesAfter(unit, wait(e, "the lock", waiting), count)
		}
		e.wantCount(count)
	}
}

// seesAfter checks what a unit reads after its wait for a lock, unless the wait
// was ended as a deadlock.
func (e *env) seesAfter(unit *uow.Scope, waited error, count int) {
	e.Helper()
	if errors.Is(waited, applock.ErrDeadlock) {
		e.check(unit.Close())
		return
	}
	e.check(waited)
	e.check(sees(count)(e.ctx, unit.UnitOfWork))
	e.commit(unit)
}

func testLocksAtIsolation(e *env) {
	peer := e.peer()
	for _, level := range levels {
		for _, lock := range modes {
			for _, l := range []applock.Lock{lock("a"), lock("a").NoWait(), lock("a").Wait(patience)} {
				e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
					e.wantHeld(u, "a", l.Mode())
					e.wantHolders("a", 1)
					e.wantGrant(peer, applock.Update("a"), l.Mode() == applock.ModeShared)
					e.wantGrant(peer, applock.Shared("a"), l.Mode() != applock.ModeExclusive)
					return nil
				}, uow.Isolation(level), applock.With(l, applock.Exclusive("b"))))
				e.wantFree("a")
				e.wantFree("b")
			}
		}
	}
}

func testFailureAtIsolation(e *env) {
	holder := e.hold(e.peer(), "b", uow.Label("holder-7"))
	for _, level := range levels {
		at := e.m.With(uow.Isolation(level))
		for what, locks := range failingSets() {
			err := at.Do(e.ctx, idle, applock.With(locks...))
			e.wantBlamed(what, err, "b")
			if holders := wantAs[*applock.TimeoutError](e, err).Holders; len(holders) != 1 || holders[0].Label != "holder-7" {
				e.Errorf("isolation %v, %s: holders %+v", level, what, holders)
			}
			e.wantFree("a")
			e.wantFree("c")
			e.waitForWaiters("b", 0)
		}
		e.cancelWaiting(at)
		e.wantFree("a")
		e.wantFree("c")
		e.wantGrant(at, applock.Exclusive("a"), true)
	}
	e.commit(holder)
	e.wantFree("b")
}

// cancelWaiting has a unit that waits for b, and holds a by then, cancelled.
func (e *env) cancelWaiting(m *uow.Manager) {
	e.Helper()
	ctx, cancel := context.WithCancelCause(e.ctx)
	waiting := start(func() error { return m.Do(ctx, idle, applock.With(exclusives("a", "b", "c")...)) })
	e.waitForWaiters("b", 1)
	cancel(errEnough)
	e.wantCancelled(wait(e, "the cancelled unit", waiting))
	e.waitForWaiters("b", 0)
}

// testDeadlockAtIsolation crosses locks acquired late with declared ones, of
// which either may be the victim.
func testDeadlockAtIsolation(e *env) {
	for _, level := range []sql.IsolationLevel{sql.LevelReadCommitted, sql.LevelSerializable} {
		unit := e.hold(e.m, "b")
		declared := e.startUnit(e.peer(), idle, applock.With(exclusives("a", "b")...), uow.Isolation(level))
		e.waitForWaiters("b", 1)
		failed := applock.Acquire(e.ctx, unit.UnitOfWork, applock.Exclusive("a"))
		e.check(unit.Close())
		other := wait(e, "the declared locks", declared)
		if (failed == nil) == (other == nil) {
			e.Errorf("isolation %v: errors %v and %v, want one deadlock", level, failed, other)
		}
		if err := errors.Join(failed, other); !errors.Is(err, applock.ErrDeadlock) || !uow.IsRetryable(err) {
			e.Errorf("isolation %v: %v, want a retryable deadlock", level, err)
		}
		e.wantFree("a")
		e.wantFree("b")
	}
}

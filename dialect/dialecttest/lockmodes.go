package dialecttest

import (
	"context"
	"errors"
	"fmt"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/uow"
)

var lockModeCases = []testCase{
	{"modes are compatible as documented, between processes", func(e *env) { testCompatible(e, e.m, e.peer()) }},
	{"modes are compatible as documented, within a process", func(e *env) { testCompatible(e, e.m, e.m) }},
	{"many readers, one writer", testManyReaders},
	{"readers of other processes do not starve a writer", func(e *env) { testNoStarvation(e, e.peer(), e.peer()) }},
	{"readers of one process do not starve a writer", testNoStarvationAtGate},
	{"overlapping readers let a writer in", testOverlappingReaders},
	{"update to exclusive waits for readers", testUpdateWaitsForReaders},
	{"update to exclusive goes before those in line", testUpdateBeforeLine},
	{"two updates never deadlock", testTwoUpdates},
	{"shared to exclusive by one unit alone", testLoneUpgrade},
	{"two shared to exclusive: one typed deadlock", testTwoUpgrades},
}

// modes makes a lock of each mode.
var modes = []func(string) applock.Lock{applock.Shared, applock.Update, applock.Exclusive}

// testCompatible asks for every mode beside every other, declared and acquired.
func testCompatible(e *env, m, other *uow.Manager) {
	unit := e.begin(other)
	for i, held := range modes {
		for j, wanted := range modes {
			name := fmt.Sprint("a", i, j)
			holder := e.begin(m, applock.With(held(name)))
			want := held(name).Mode().Compatible(wanted(name).Mode())
			e.wantGrant(other, wanted(name), want)
			got, err := applock.TryAcquire(e.ctx, unit.UnitOfWork, wanted(name))
			e.check(err)
			if got != want {
				e.Errorf("%v acquired beside %v: %v, want %v", wanted(name), held(name), got, want)
			}
			e.commit(holder)
		}
	}
	e.commit(unit)
}

func testManyReaders(e *env) {
	e.counter()
	var readers []*uow.Scope
	for range 3 {
		for _, m := range []*uow.Manager{e.m, e.peer()} {
			readers = append(readers, e.begin(m, applock.With(applock.Shared("a"))))
		}
	}
	e.wantHolders("a", len(readers))
	e.wantGrant(e.m, applock.Exclusive("a"), false)
	writer := e.startUnit(e.peer(), increment, applock.With(applock.Exclusive("a")))
	e.waitForWaiters("a", 1)
	for _, r := range readers {
		e.wantCount(0)
		e.pending("the writer", writer)
		e.commit(r)
	}
	e.check(wait(e, "the writer", writer))
	e.wantCount(1)
}

// testNoStarvation has a late reader come after a writer that waits for an
// early reader: it must see what the writer wrote.
func testNoStarvation(e *env, writes, reads *uow.Manager) {
	e.counter()
	early := e.begin(e.m, applock.With(applock.Shared("a")))
	writer := e.startUnit(writes, increment, applock.With(applock.Exclusive("a")))
	e.waitForWaiters("a", 1)
	late := e.startUnit(reads, sees(1), applock.With(applock.Shared("a")))
	e.waitForWaiters("a", 2)
	e.commit(early)
	e.check(wait(e, "the writer", writer))
	e.check(wait(e, "the late reader", late))
}

// testNoStarvationAtGate has the late reader wait in the process.
func testNoStarvationAtGate(e *env) {
	e.counter()
	early := e.begin(e.m, applock.With(applock.Shared("a")))
	writer := e.startUnit(e.m, increment, applock.With(applock.Exclusive("a")))
	e.waitForWaiters("a", 1)
	late := e.startNoticed(e.m, sees(1), applock.With(applock.Shared("a")))
	e.wantGrant(e.m, applock.Shared("a"), false)
	e.commit(early)
	e.check(wait(e, "the writer", writer))
	e.check(wait(e, "the late reader", late))
}

// sees is work that fails unless item 1 has the value.
func sees(want int) uow.Func {
	return func(ctx context.Context, u *uow.UnitOfWork) error {
		var n int
		err := u.GetContext(ctx, &n, "select n from item where id = 1")
		if err == nil && n != want {
			err = fmt.Errorf("read n = %d, want %d", n, want)
		}
		return err
	}
}

// testOverlappingReaders keeps at least one reader holding, wanting or handing
// over at all times, until the writer is through.
func testOverlappingReaders(e *env) {
	e.counter()
	ctx, stop := context.WithCancel(e.ctx)
	defer stop()
	var readers []<-chan error
	for _, m := range []*uow.Manager{e.m, e.m, e.m, e.peer(), e.peer()} {
		readers = append(readers, start(func() error { return readUntil(ctx, e, m) }))
	}
	e.eventually("readers overlap", func() bool { return len(e.status("a").Holders) > 1 })
	writer := e.startUnit(e.m, increment, applock.With(applock.Exclusive("a")))
	e.check(wait(e, "the writer among readers", writer))
	stop()
	for _, err := range collect(e, "a reader", readers) {
		e.Error(err)
	}
}

// readUntil holds the lock shared again and again until ctx ends.
func readUntil(ctx context.Context, e *env, m *uow.Manager) error {
	for ctx.Err() == nil {
		err := m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			var n int
			return u.GetContext(ctx, &n, "select n from item where id = 1")
		}, applock.With(applock.Shared("a")))
		if err != nil {
			return err
		}
	}
	return nil
}

func testUpdateWaitsForReaders(e *env) {
	for _, m := range []*uow.Manager{e.m, e.peer()} {
		reader := e.begin(m, applock.With(applock.Shared("a")))
		unit := e.begin(e.m, applock.With(applock.Update("a")))
		stronger := e.startAcquire(unit.UnitOfWork, applock.Exclusive("a"))
		e.waitForWaiters("a", 1)
		e.pending("the upgrade", stronger)
		e.commit(reader)
		e.check(wait(e, "the upgrade", stronger))
		e.wantHeld(unit.UnitOfWork, "a", applock.ModeExclusive)
		e.wantHolders("a", 1)
		e.wantGrant(m, applock.Shared("a"), false)
		e.commit(unit)
	}
}

// testUpdateBeforeLine upgrades while a writer waits for the update to end: to
// wait for the writer in turn would be a deadlock.
func testUpdateBeforeLine(e *env) {
	unit := e.begin(e.m, applock.With(applock.Update("a")))
	writer := e.startUnit(e.peer(), idle, applock.With(applock.Exclusive("a")))
	e.waitForWaiters("a", 1)
	e.check(wait(e, "the upgrade", e.startAcquire(unit.UnitOfWork, applock.Exclusive("a"))))
	e.pending("the writer", writer)
	e.commit(unit)
	e.check(wait(e, "the writer", writer))
}

func testTwoUpdates(e *env) {
	e.counter()
	var all []<-chan error
	for _, m := range []*uow.Manager{e.m, e.peer()} {
		for range 10 {
			all = append(all, e.startUnit(m, func(ctx context.Context, u *uow.UnitOfWork) error {
				if err := applock.Acquire(ctx, u, applock.Exclusive("a")); err != nil {
					return err
				}
				return increment(ctx, u)
			}, applock.With(applock.Update("a"))))
		}
	}
	for _, err := range collect(e, "an updating unit", all) {
		e.Error(err)
	}
	e.wantCount(len(all))
}

func testLoneUpgrade(e *env) {
	unit := e.begin(e.m, applock.With(applock.Shared("a")))
	for _, l := range []applock.Lock{applock.Update("a"), applock.Exclusive("a")} {
		e.acquire(unit.UnitOfWork, l.NoWait())
		e.wantHeld(unit.UnitOfWork, "a", l.Mode())
		e.wantHolders("a", 1)
		if got := e.status("a").Holders[0].Mode; got != l.Mode() {
			e.Errorf("the server shows mode %v, want %v", got, l.Mode())
		}
		e.wantGrant(e.peer(), l, false)
	}
	e.commit(unit)
	e.wantFree("a")
}

func testTwoUpgrades(e *env) {
	first := e.begin(e.m, applock.With(applock.Shared("a")))
	second := e.begin(e.peer(), applock.With(applock.Shared("a")))
	results := []<-chan error{
		start(func() error { return upgradeOrClose(e, first) }),
		start(func() error { return upgradeOrClose(e, second) }),
	}
	failed := collect(e, "an upgrade", results)
	if len(failed) != 1 {
		e.Fatalf("failures %v, want one deadlock", failed)
	}
	e.wantIs(failed[0], applock.ErrDeadlock)
	if errors.Is(failed[0], applock.ErrTimeout) || !uow.IsRetryable(failed[0]) {
		e.Errorf("a deadlock is no timeout, and retryable: %v", failed[0])
	}
	e.wantFree("a")
}

// upgradeOrClose ends the unit at once, so that the other one can go on.
func upgradeOrClose(e *env, unit *uow.Scope) error {
	err := applock.Acquire(e.ctx, unit.UnitOfWork, applock.Exclusive("a"))
	if err != nil {
		return errors.Join(err, unit.Close())
	}
	return unit.Commit(e.ctx)
}

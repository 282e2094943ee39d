package dialecttest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/uow"
)

var lockSetCases = []testCase{
	{"a set is taken in one order whatever the caller's", testCanonicalOrder},
	{"a set acquired later is taken in the same order", testCanonicalAcquired},
	{"a name given twice is one lock in the stronger mode", testDuplicates},
	{"options of several declarations add up", testDeclarationsAddUp},
	{"a set is held as a whole", testSetHeld},
	{"opposite orders between processes never deadlock", func(e *env) { testOppositeOrders(e, e.m, e.peer()) }},
	{"opposite orders within a process never deadlock", func(e *env) { testOppositeOrders(e, e.m, e.m) }},
	{"a set at the gates leaves none behind after a timeout", testSetTimeoutAtGate},
	{"a declared set that fails leaves none behind", testDeclaredSetFails},
	{"an acquired set that fails leaves none behind", testAcquiredSetFails},
	{"deadlock across calls: one typed victim, the other proceeds", testDeadlockVictim},
	{"deadlock across calls: the victim's unit is retryable", testDeadlockRetried},
	{"deadlock in a nested scope dooms the whole unit", testDeadlockNested},
	{"a retried unit takes its locks again", testRetriedTakesLocksAgain},
}

// exclusives makes a set of exclusive locks.
func exclusives(names ...string) []applock.Lock {
	locks := make([]applock.Lock, len(names))
	for i, name := range names {
		locks[i] = applock.Exclusive(name)
	}
	return locks
}

// permutations returns the orders of a, b and c.
func permutations() [][]applock.Lock {
	return [][]applock.Lock{
		exclusives("a", "b", "c"), exclusives("a", "c", "b"), exclusives("b", "a", "c"),
		exclusives("b", "c", "a"), exclusives("c", "a", "b"), exclusives("c", "b", "a"),
	}
}

// testCanonicalOrder bars the middle of three locks and looks which others the
// waiting unit has taken before.
func testCanonicalOrder(e *env) {
	peer := e.peer()
	for _, locks := range permutations() {
		holder := e.hold(e.m, "b")
		waiting := e.startUnit(peer, idle, applock.With(locks...))
		e.waitForWaiters("b", 1)
		e.wantHolders("a", 1)
		e.wantHolders("c", 0)
		e.commit(holder)
		e.check(wait(e, "the set", waiting))
	}
	e.wantFree("c")
}

func testCanonicalAcquired(e *env) {
	peer := e.peer()
	for _, locks := range permutations() {
		holder, unit := e.hold(e.m, "b"), e.begin(peer)
		e.check(e.insert(e.ctx, unit, 1))
		waiting := e.startAcquire(unit.UnitOfWork, locks...)
		e.waitForWaiters("b", 1)
		e.wantHolders("a", 1)
		e.wantHolders("c", 0)
		e.commit(holder)
		e.check(wait(e, "the set", waiting))
		e.check(unit.Close())
	}
}

func testDuplicates(e *env) {
	for _, locks := range [][]applock.Lock{
		{applock.Shared("a"), applock.Exclusive("a")},
		{applock.Exclusive("a"), applock.Shared("a"), applock.Exclusive("a")},
		{applock.Update("a"), applock.Exclusive("b"), applock.Exclusive("a").NoWait()},
	} {
		declared := e.begin(e.m, applock.With(locks...))
		e.wantHeld(declared.UnitOfWork, "a", applock.ModeExclusive)
		e.wantGrant(e.m, applock.Shared("a"), false)
		e.commit(declared)
		acquired := e.begin(e.m)
		e.acquire(acquired.UnitOfWork, locks...)
		e.wantHeld(acquired.UnitOfWork, "a", applock.ModeExclusive)
		e.wantGrant(e.peer(), applock.Shared("a"), false)
		e.commit(acquired)
	}
	holder := e.hold(e.peer(), "a")
	err := e.m.Do(e.ctx, idle, applock.With(applock.Shared("a"), applock.Exclusive("a").NoWait()))
	if got := wantAs[*applock.TimeoutError](e, err).Lock.Mode(); got != applock.ModeExclusive {
		e.Errorf("timeout of mode %v, want exclusive", got)
	}
	e.commit(holder)
}

// testDeclarationsAddUp gives locks to the Manager and to the call.
func testDeclarationsAddUp(e *env) {
	m := e.m.With(applock.With(applock.Shared("tenant")))
	unit := e.begin(m, applock.With(applock.Exclusive("b")), applock.With(applock.Exclusive("a")))
	for _, name := range []string{"tenant", "a", "b"} {
		e.wantHolders(name, 1)
	}
	e.wantHeld(unit.UnitOfWork, "tenant", applock.ModeShared)
	e.commit(unit)
	plain := e.begin(e.m)
	e.check(e.insert(e.ctx, plain, 1))
	e.wantHolders("tenant", 0)
	e.commit(plain)
	again := e.begin(m)
	e.wantHolders("tenant", 1)
	e.wantHolders("a", 0)
	e.commit(again)
}

func testSetHeld(e *env) {
	var names []string
	for i := range 50 {
		names = append(names, fmt.Sprintf("lock-%d", i))
	}
	unit := e.begin(e.m, applock.With(exclusives(names...)...))
	status, err := applock.Inspect(e.ctx, e.m, names...)
	e.check(err)
	for i, s := range status {
		if s.Name != names[i] || len(s.Holders) != 1 {
			e.Errorf("%s: %+v", names[i], s)
		}
	}
	e.commit(unit)
	all, err := applock.Inspect(e.ctx, e.m)
	e.check(err)
	if len(all) != 0 {
		e.Errorf("left behind: %+v", all)
	}
}

func testOppositeOrders(e *env, m, other *uow.Manager) {
	e.counter()
	const units = 40
	var all []<-chan error
	for i, locks := range permutations() {
		from := []*uow.Manager{m, other}[i%2]
		all = append(all, start(func() error {
			for range units {
				if err := from.Do(e.ctx, increment, applock.With(locks...)); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	for _, err := range collect(e, "units of opposite orders", all) {
		e.Error(err)
	}
	e.wantCount(units * len(all))
}

// testSetTimeoutAtGate has a set wait in the process for its last lock.
func testSetTimeoutAtGate(e *env) {
	m := e.narrow(1)
	holder := e.hold(m, "c")
	for _, c := range []applock.Lock{applock.Exclusive("c").Wait(shortWait), applock.Exclusive("c").NoWait()} {
		locks := append(exclusives("a", "b"), c)
		e.wantTimeout(m.Do(e.ctx, idle, applock.With(locks...)), c, e.session("c"), "")
	}
	e.commit(holder)
	for _, name := range []string{"a", "b", "c"} {
		e.wantGrant(m, applock.Exclusive(name), true)
	}
}

// failingSets are requests for a, b and c that fail while b is held.
func failingSets() map[string][]applock.Lock {
	a, b, c := applock.Exclusive("a"), applock.Exclusive("b"), applock.Exclusive("c")
	return map[string][]applock.Lock{
		"timeout":           {a, b.Wait(shortWait), c},
		"timeout of all":    {c.Wait(shortWait), b.Wait(shortWait), a.Wait(shortWait)},
		"no wait":           {a, b.NoWait(), c},
		"no wait for any":   {a.NoWait(), b.NoWait(), c.NoWait()},
		"update, no wait":   {applock.Update("a").NoWait(), applock.Update("b").NoWait(), c},
		"shared, with time": {applock.Shared("a"), applock.Shared("b").Wait(shortWait)},
	}
}

func testDeclaredSetFails(e *env) {
	holder := e.hold(e.peer(), "b")
	for what, locks := range failingSets() {
		err := e.m.Do(e.ctx, idle, applock.With(locks...))
		e.wantBlamed(what, err, "b")
		e.wantFree("a")
		e.wantFree("c")
		e.waitForWaiters("b", 0)
	}
	e.commit(holder)
	for _, name := range []string{"a", "b", "c"} {
		e.wantGrant(e.m, applock.Exclusive(name), true)
	}
}

// wantBlamed checks that a timeout tells the lock that was not granted.
func (e *env) wantBlamed(what string, err error, name string) {
	e.Helper()
	if got := wantAs[*applock.TimeoutError](e, err).Lock.Name(); got != name {
		e.Errorf("%s: blames lock %s, want %s", what, got, name)
	}
}

func testAcquiredSetFails(e *env) {
	holder := e.hold(e.peer(), "b")
	unit := e.hold(e.m, "mine")
	for what, locks := range failingSets() {
		e.wantBlamed(what, applock.Acquire(e.ctx, unit.UnitOfWork, locks...), "b")
		e.wantFree("a")
		e.wantFree("c")
		e.wantHeld(unit.UnitOfWork, "a", 0)
		e.wantHeld(unit.UnitOfWork, "mine", applock.ModeExclusive)
		e.wantHolders("mine", 1)
		e.wantGrant(e.m, applock.Exclusive("a"), true)
	}
	e.check(e.insert(e.ctx, unit, 1))
	e.commit(holder)
	e.acquire(unit.UnitOfWork, exclusives("c", "b", "a")...)
	e.commit(unit)
	e.wantItems(1)
}

// party is one of two units that hold one lock each and want the other's.
type party struct {
	*uow.Scope
	ctx    context.Context // carries the unit
	m      *uow.Manager
	wanted applock.Lock
}

// crossed runs fn for both of two such units, each of which fn must end, and
// returns the errors.
func (e *env) crossed(fn func(p party) error) []error {
	e.Helper()
	var parties []party
	for i, m := range []*uow.Manager{e.m, e.peer()} {
		ctx, scope, err := m.Begin(e.ctx, applock.With(applock.Exclusive([]string{"a", "b"}[i])))
		e.check(err)
		e.Cleanup(func() { _ = scope.Close() })
		parties = append(parties, party{scope, ctx, m, applock.Exclusive([]string{"b", "a"}[i])})
	}
	var results []<-chan error
	for _, p := range parties {
		results = append(results, start(func() error { return fn(p) }))
	}
	return collect(e, "crossed units", results)
}

func testDeadlockVictim(e *env) {
	failed := e.crossed(func(p party) error {
		err := applock.Acquire(p.ctx, p.UnitOfWork, p.wanted)
		if err == nil {
			return errors.Join(e.insert(p.ctx, p, 1), p.Commit(p.ctx))
		}
		e.wantLost(p)
		return err
	})
	if len(failed) != 1 {
		e.Fatalf("failures %v, want one", failed)
	}
	e.wantIs(failed[0], applock.ErrDeadlock)
	if !uow.IsRetryable(failed[0]) || errors.Is(failed[0], applock.ErrTimeout) {
		e.Errorf("a deadlock is retryable, and no timeout: %v", failed[0])
	}
	e.wantItems(1)
	e.wantFree("a")
	e.wantFree("b")
}

// wantLost checks that a deadlock's victim cannot go on without its locks, nor
// commit, even if the error is swallowed.
func (e *env) wantLost(p party) {
	e.Helper()
	e.wantIs(e.insert(p.ctx, p, 9), uow.ErrRollbackOnly)
	_, err := applock.TryAcquire(p.ctx, p.UnitOfWork, p.wanted)
	e.wantIs(err, uow.ErrRollbackOnly)
	err = p.Commit(p.ctx)
	e.wantIs(err, applock.ErrDeadlock)
	var unexpected *uow.UnexpectedRollbackError
	if !errors.As(err, &unexpected) {
		e.Errorf("commit after a deadlock: %v (%T)", err, err)
	}
}

// testDeadlockRetried lets both units meet once, so that one is the victim.
func testDeadlockRetried(e *env) {
	e.counter()
	var results []<-chan error
	var runs [2]int
	meet := []chan struct{}{make(chan struct{}), make(chan struct{})}
	for i, m := range []*uow.Manager{e.m, e.peer()} {
		names := []string{"a", "b"}
		results = append(results, e.startUnit(m, func(ctx context.Context, u *uow.UnitOfWork) error {
			if err := applock.Acquire(ctx, u, applock.Exclusive(names[i])); err != nil {
				return err
			}
			if runs[i]++; runs[i] == 1 {
				close(meet[i])
				select {
				case <-meet[1-i]:
				case <-ctx.Done():
				}
			}
			if err := applock.Acquire(ctx, u, applock.Exclusive(names[1-i])); err != nil {
				return err
			}
			return increment(ctx, u)
		}, uow.Retry(uow.RetryPolicy{Attempts: 5})))
	}
	for _, err := range collect(e, "a retried unit", results) {
		e.Error(err)
	}
	e.wantCount(2)
	slices.Sort(runs[:])
	if runs[0] != 1 || runs[1] < 2 {
		e.Errorf("runs %v, want one unit run once and one run again", runs)
	}
}

// testDeadlockNested has the victim's savepoint undone: the locks around it
// still bar the other unit, which only the end of the whole unit can help.
func testDeadlockNested(e *env) {
	failed := e.crossed(func(p party) error {
		err := p.m.Do(p.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			return applock.Acquire(ctx, u, p.wanted)
		}, uow.Nested())
		if err == nil {
			return p.Commit(p.ctx)
		}
		e.wantLost(p)
		return err
	})
	if len(failed) != 1 {
		e.Fatalf("failures %v, want one", failed)
	}
	e.wantIs(failed[0], applock.ErrDeadlock)
	e.wantItems()
}

// testRetriedTakesLocksAgain has another unit hold the lock between two runs.
func testRetriedTakesLocksAgain(e *env) {
	e.counter()
	runs := 0
	peer := e.peer()
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.wantHeld(u, "a", applock.ModeExclusive)
		e.wantHolders("a", 1)
		e.wantGrant(peer, applock.Exclusive("a"), false)
		if runs++; runs == 1 {
			u.AfterCompletion(func(ctx context.Context, _ uow.Outcome) {
				e.check(peer.Do(ctx, increment, lockA))
			})
			return &dialect.Error{Kind: dialect.Serialization}
		}
		return increment(ctx, u)
	}, lockA, uow.Retry(uow.RetryPolicy{})))
	e.wantCount(2)
	e.wantFree("a")
}

package dialecttest

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/internal/faultproxy"
	"github.com/lockstep-go/lockstep/uow"
)

var lockWaitCases = []testCase{
	{"a timeout declared names the holder", testTimeoutDeclared},
	{"a timeout acquired names the holder", testTimeoutAcquired},
	{"a timeout at the gate names the holder", testTimeoutAtGate},
	{"a timeout at the gate names a holder elsewhere", testTimeoutBehindWaiter},
	{"a timeout names every holder", testTimeoutNamesAll},
	{"one limit counts from the call, for the gate and the whole set", testOneLimit},
	{"no wait is refused at once", testNoWait},
	{"cancelled while waiting in the server's queue", testCancelledDeclared},
	{"cancelled while waiting in an open unit", testCancelledAcquired},
	{"cancelled while waiting at the gate", testCancelledAtGate},
	{"a lock is held until COMMIT is acknowledged", testHeldUntilCommitted},
}

func testTimeoutDeclared(e *env) {
	holder := e.hold(e.peer(), "a", uow.Label("holder-7"))
	l := applock.Exclusive("a").Wait(shortWait)
	err := wait(e, "the timeout", e.startUnit(e.m, func(context.Context, *uow.UnitOfWork) error {
		e.Error("the function was called without its lock")
		return nil
	}, applock.With(l)))
	e.wantTimeout(err, l, e.session("a"), "holder-7")
	e.wantWaited(err)
	for _, part := range []string{`"a"`, "holder-7", e.session("a")} {
		if !strings.Contains(err.Error(), part) {
			e.Errorf("message %q does not tell %s", err, part)
		}
	}
	e.waitForWaiters("a", 0)
	e.commit(holder)
	e.wantGrant(e.m, applock.Exclusive("a"), true)
}

// wantWaited checks that a timeout came after its limit and tells the wait.
func (e *env) wantWaited(err error) {
	e.Helper()
	if waited := wantAs[*applock.TimeoutError](e, err).Waited; waited < shortWait {
		e.Errorf("gave up after %v, want %v", waited, shortWait)
	}
}

func testTimeoutAcquired(e *env) {
	holder := e.hold(e.peer(), "a", uow.Label("holder-7"))
	unit := e.hold(e.m, "mine")
	l := applock.Update("a").Wait(shortWait)
	err := wait(e, "the timeout", e.startAcquire(unit.UnitOfWork, l))
	e.wantTimeout(err, l, e.session("a"), "holder-7")
	e.wantWaited(err)
	e.waitForWaiters("a", 0)
	e.wantHeld(unit.UnitOfWork, "a", 0)
	e.commit(holder)
	e.acquire(unit.UnitOfWork, applock.Exclusive("a").NoWait())
	e.wantHolders("a", 1)
	e.commit(unit)
}

// testTimeoutAtGate has both units in one process and no second connection.
func testTimeoutAtGate(e *env) {
	m := e.narrow(1)
	holder := e.hold(m, "a", uow.Label("holder-7"))
	for _, l := range []applock.Lock{applock.Exclusive("a").Wait(shortWait), applock.Shared("a").NoWait()} {
		err := wait(e, "the timeout", e.startUnit(m, idle, applock.With(l)))
		e.wantTimeout(err, l, e.session("a"), "holder-7")
	}
	e.commit(holder)
	e.wantGrant(m, applock.Exclusive("a"), true)
}

// testTimeoutBehindWaiter has the holder in another process, and in this one
// only waiters: one let in by the gate and one on deck.
func testTimeoutBehindWaiter(e *env) {
	holder := e.hold(e.peer(), "a", uow.Label("holder-7"))
	var waiting []<-chan error
	for n := range 2 {
		waiting = append(waiting, e.startUnit(e.m, idle, applock.With(applock.Exclusive("a"))))
		e.waitForWaiters("a", n+1)
	}
	l := applock.Exclusive("a").Wait(shortWait)
	e.wantTimeout(wait(e, "the third unit", e.startUnit(e.m, idle, applock.With(l))), l, e.session("a"), "holder-7")
	e.waitForWaiters("a", 2)
	e.commit(holder)
	for _, err := range collect(e, "a waiting unit", waiting) {
		e.Error(err)
	}
}

func testTimeoutNamesAll(e *env) {
	want := map[string]applock.Mode{"reader-1": applock.ModeShared, "reader-2": applock.ModeShared, "updater": applock.ModeUpdate}
	for label, mode := range want {
		l := applock.Shared("a")
		if mode == applock.ModeUpdate {
			l = applock.Update("a")
		}
		e.begin(e.peer(), uow.Label(label), applock.With(l))
	}
	err := e.m.Do(e.ctx, idle, applock.With(applock.Exclusive("a").Wait(shortWait)))
	got := make(map[string]applock.Mode)
	for _, h := range wantAs[*applock.TimeoutError](e, err).Holders {
		got[h.Label] = h.Mode
	}
	for label, mode := range want {
		if got[label] != mode || len(got) != len(want) {
			e.Errorf("holders %v, want %v", got, want)
			break
		}
	}
}

// testNoWait has nothing that would end a wait but the case's own patience.
// testOneLimit has three quarters of a limit pass before the first lock of a set,
// so that a wait for the second which counts anew would end long after it.
func testOneLimit(e *env) {
	const limit = 4 * time.Second
	m := e.narrow(2) // too small for a waiter on deck
	holder := e.hold(m, "a")
	e.hold(e.peer(), "b", uow.Label("holder-7"))
	peer, unit := e.peer(), e.begin(e.peer())
	set := []applock.Lock{applock.Shared("a").Wait(limit), applock.Shared("b").Wait(limit)}
	began := time.Now()
	waiting := map[string]<-chan error{
		"declared":    e.startUnit(peer, idle, applock.With(set...)),
		"acquired":    e.startAcquire(unit.UnitOfWork, set...),
		"at the gate": e.startNoticed(m, idle, applock.With(set...)),
	}
	e.waitForWaiters("a", 2)
	time.Sleep(time.Until(began.Add(limit * 3 / 4)))
	e.commit(holder)
	for way, done := range waiting {
		err := wait(e, way, done)
		e.wantTimeout(err, set[1], e.session("b"), "holder-7")
		if waited := wantAs[*applock.TimeoutError](e, err).Waited; waited < limit || waited > limit*3/2 {
			e.Errorf("%s: gave up after %v, want %v", way, waited, limit)
		}
	}
}

// promptly is far more than a refusal takes that waits for nothing.
const promptly = time.Second

func testNoWait(e *env) {
	e.hold(e.m, "a", uow.Label("holder-7"))
	holder, peer := e.session("a"), e.peer()
	unit := e.begin(peer)
	ways := map[string]func(applock.Lock) <-chan error{
		"at the gate": func(l applock.Lock) <-chan error { return e.startUnit(e.m, idle, applock.With(l)) },
		"declared":    func(l applock.Lock) <-chan error { return e.startUnit(peer, idle, applock.With(l)) },
		"acquired":    func(l applock.Lock) <-chan error { return e.startAcquire(unit.UnitOfWork, l) },
	}
	for way, ask := range ways {
		soonest := patience // a busy machine may make some of them late, but not all
		for _, l := range []applock.Lock{
			applock.Shared("a").NoWait(), applock.Update("a").NoWait(), applock.Exclusive("a").NoWait(), applock.Exclusive("a").Wait(0),
		} {
			err := wait(e, "no wait "+way, ask(l))
			e.wantTimeout(err, l, holder, "holder-7")
			soonest = min(soonest, wantAs[*applock.TimeoutError](e, err).Waited)
		}
		if soonest > promptly {
			e.Errorf("no wait %s: refused after %v at the soonest", way, soonest)
		}
	}
	e.check(e.insert(e.ctx, unit, 1))
	e.commit(unit)
	e.wantItems(1)
}

var errEnough = errors.New("enough")

func testCancelledDeclared(e *env) {
	for i, m := range []*uow.Manager{e.m, e.peer()} {
		holder := e.hold(e.m, "a")
		ctx, cancel := context.WithCancelCause(e.ctx)
		waiting := start(func() error {
			return m.Do(ctx, func(context.Context, *uow.UnitOfWork) error {
				e.Error("the function was called without its lock")
				return nil
			}, applock.With(applock.Exclusive("a")))
		})
		e.waitForWaiters("a", 1)
		cancel(errEnough)
		e.wantCancelled(wait(e, "the cancelled unit", waiting))
		e.waitForWaiters("a", 0)
		e.wantHolders("a", 1)
		e.check(e.insert(e.ctx, holder, i+1))
		e.commit(holder)
		e.wantGrant(m, applock.Exclusive("a"), true)
	}
	e.wantItems(1, 2)
}

// wantCancelled checks the error of a wait that errEnough ended.
func (e *env) wantCancelled(err error) {
	e.Helper()
	e.wantIs(err, errEnough)
	if errors.Is(err, applock.ErrTimeout) || uow.IsRetryable(err) {
		e.Errorf("a cancelled wait is neither a timeout nor retryable: %v", err)
	}
}

// testCancelledAcquired allows for a driver whose cancelled statement costs the
// connection: the unit then refuses to go on.
func testCancelledAcquired(e *env) {
	holder := e.hold(e.peer(), "a")
	unit := e.hold(e.m, "mine")
	ctx, cancel := context.WithCancelCause(e.ctx)
	waiting := start(func() error { return applock.Acquire(ctx, unit.UnitOfWork, applock.Exclusive("a")) })
	e.waitForWaiters("a", 1)
	cancel(errEnough)
	e.wantCancelled(wait(e, "the cancelled wait", waiting))
	e.waitForWaiters("a", 0)
	e.wantHeld(unit.UnitOfWork, "a", 0)
	if err := e.insert(e.ctx, unit, 1); err == nil {
		e.wantHolders("mine", 1)
		e.commit(unit)
		e.wantItems(1)
	} else {
		e.wantIs(err, uow.ErrRollbackOnly)
		e.check(unit.Close())
		e.wantItems()
	}
	e.commit(holder)
	e.wantFree("a")
	e.wantFree("mine")
}

func testCancelledAtGate(e *env) {
	m := e.narrow(1)
	holder := e.hold(m, "a")
	parent, cancel := context.WithCancelCause(e.ctx)
	ctx := notice(parent)
	waiting := start(func() error { return m.Do(ctx, idle, applock.With(applock.Exclusive("a"))) })
	wait(e, "the unit to wait", ctx.waiting)
	next := e.startNoticed(m, idle, applock.With(applock.Exclusive("a")))
	cancel(errEnough)
	e.wantCancelled(wait(e, "the cancelled unit", waiting))
	e.commit(holder)
	e.check(wait(e, "the unit after the cancelled one", next))
	e.wantGrant(m, applock.Exclusive("a"), true)
}

func testHeldUntilCommitted(e *env) {
	matcher := ability[CommitMatcher](e)
	e.counter()
	proxy, db := e.proxied()
	m := e.manager(db)
	holder := e.hold(m, "a")
	e.check(increment(e.ctx, holder.UnitOfWork))
	held := proxy.Rule(matcher.MatchCommit(), faultproxy.Hold)
	committing := start(func() error { return holder.Commit(e.ctx) })
	wait(e, "COMMIT to be sent", held.Fired())
	elsewhere := e.startUnit(e.peer(), increment, applock.With(applock.Exclusive("a")))
	e.waitForWaiters("a", 1)
	e.wantGrant(m, applock.Exclusive("a"), false)
	e.pending("the next unit", elsewhere)
	held.Release()
	e.check(wait(e, "COMMIT", committing))
	e.check(wait(e, "the next unit", elsewhere))
	e.wantCount(2)
}

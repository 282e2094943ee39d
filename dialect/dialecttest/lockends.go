package dialecttest

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/internal/faultproxy"
	"github.com/lockstep-go/lockstep/uow"
)

// Every way in which a unit can end must give its locks back, to waiters of the
// same process and of another.
var lockEndCases = []testCase{
	{"commit frees", testEnd(endByDo(nil), nil)},
	{"an error frees", testEnd(endByDo(errWork), errWork)},
	{"a panic frees", testEnd(endByPanic, errWork)},
	{"Goexit frees", testEnd(endByGoexit, errUnwound)},
	{"a scope closed without commit frees", testEnd(endByClose, nil)},
	{"a veto before commit frees", testEnd(endByVeto, errWork)},
	{"a cancelled ctx frees", testEnd(endByCancel, errEnough)},
	{"a unit's timeout frees", testEnd(endByTimeout, context.DeadlineExceeded)},
	{"an acquired lock is freed alike", testEnd(endAcquired, nil)},
	{"a killed session frees", testKilledSessionFrees},
	{"a cut cable frees", testCutCableFrees},
	{"a cable cut while waiting leaves no waiter", testCutWhileWaiting},
	{"a commit in doubt frees", testDoubtFrees},
	{"a scope that nobody can close any more frees", testLeakedScopeFrees},
}

var (
	lockA      = applock.With(applock.Exclusive("a"))
	errUnwound = errors.New("goroutine ended")
)

// lastUnit is a unit whose end others wait for.
type lastUnit struct {
	*env
	inside chan struct{} // closed by the unit once it holds the lock
	lined  chan struct{} // closed once others wait for it
}

// work is what the unit does before it ends in its own way.
func (l *lastUnit) work(ctx context.Context, u *uow.UnitOfWork) error {
	l.wantHeld(u, "a", applock.ModeExclusive)
	close(l.inside)
	select {
	case <-l.lined:
	case <-ctx.Done():
	}
	return l.insert(context.WithoutCancel(ctx), u, 1)
}

// testEnd runs a unit that ends with an error that is want, while one unit of
// its process and one of another wait for its lock.
func testEnd(end func(*lastUnit) error, want error) func(*env) {
	return func(e *env) {
		l := &lastUnit{e, make(chan struct{}), make(chan struct{})}
		done := start(func() error { return end(l) })
		wait(e, "the first unit to hold its lock", l.inside)
		waiting := []<-chan error{e.startUnit(e.m, idle, lockA), e.startUnit(e.peer(), idle, lockA)}
		e.waitForWaiters("a", len(waiting))
		close(l.lined)
		if err := wait(e, "the first unit", done); !errors.Is(err, want) {
			e.Errorf("the first unit ended with %v, want %v", err, want)
		}
		for _, err := range collect(e, "a waiting unit", waiting) {
			e.Error(err)
		}
		e.wantFree("a")
		e.wantGrant(e.m, applock.Exclusive("a"), true)
	}
}

func endByDo(err error) func(*lastUnit) error {
	return func(l *lastUnit) error {
		return l.m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			return errors.Join(l.work(ctx, u), err)
		}, lockA)
	}
}

func endByPanic(l *lastUnit) (err error) {
	defer func() { err = recover().(error) }()
	return l.m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		if err := l.work(ctx, u); err != nil {
			return err
		}
		panic(errWork)
	}, lockA)
}

func endByGoexit(l *lastUnit) error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = l.m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			_ = l.work(ctx, u)
			runtime.Goexit()
			return nil
		}, lockA)
	}()
	<-ended
	return errUnwound
}

func endByClose(l *lastUnit) error {
	ctx, scope, err := l.m.Begin(l.ctx, lockA)
	if err != nil {
		return err
	}
	return errors.Join(l.work(ctx, scope.UnitOfWork), scope.Close())
}

func endByVeto(l *lastUnit) error {
	return l.m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		u.BeforeCommit(func(context.Context) error { return errWork })
		return l.work(ctx, u)
	}, lockA)
}

func endByCancel(l *lastUnit) error {
	ctx, cancel := context.WithCancelCause(l.ctx)
	defer cancel(nil)
	return l.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		defer cancel(errEnough)
		return l.work(ctx, u)
	}, lockA)
}

// endByTimeout swallows what its work returns once the unit has timed out.
func endByTimeout(l *lastUnit) error {
	return l.m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		_ = l.work(ctx, u)
		<-ctx.Done()
		return nil
	}, lockA, uow.Timeout(4*time.Second))
}

func endAcquired(l *lastUnit) error {
	return l.m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		err := errors.Join(l.insert(ctx, u, 100), applock.Acquire(ctx, u, applock.Exclusive("a")))
		if err != nil {
			return err
		}
		return l.work(ctx, u)
	})
}

func testKilledSessionFrees(e *env) {
	killer := ability[Killer](e)
	unit := e.hold(e.m, "a")
	e.check(e.insert(e.ctx, unit, 1))
	killer.Kill(e.T, e.db, e.session("a"))
	e.wantFree("a")
	e.wantGrant(e.peer(), applock.Exclusive("a"), true)
	e.wantIs(e.insert(e.ctx, unit, 2), applock.ErrLost)
	e.wantIs(applock.Acquire(e.ctx, unit.UnitOfWork, applock.Exclusive("b")), uow.ErrRollbackOnly)
	if err := unit.Commit(e.ctx); !errors.Is(err, applock.ErrLost) || !uow.IsRetryable(err) {
		e.Errorf("commit of a killed unit: %v, want a retryable one that is %v", err, applock.ErrLost)
	}
	e.wantGrant(e.m, applock.Exclusive("a"), true)
	e.wantItems()
}

func testCutCableFrees(e *env) {
	proxy, db := e.proxied()
	m := e.manager(db)
	unit := e.hold(m, "a")
	e.check(e.insert(e.ctx, unit, 1))
	waiting := e.startUnit(e.peer(), e.adds(2), lockA)
	e.waitForWaiters("a", 1)
	proxy.CutAll()
	e.check(wait(e, "the next unit", waiting))
	// The old holder must not go on writing.
	e.wantIs(e.insert(e.ctx, unit, 3), applock.ErrLost)
	if err := unit.Commit(e.ctx); err == nil {
		e.Error("a unit committed after its lock was lost")
	}
	e.wantItems(2)
	e.wantGrant(m, applock.Exclusive("a"), true)
}

func testCutWhileWaiting(e *env) {
	holder := e.hold(e.m, "a")
	proxy, db := e.proxied()
	m := e.manager(db)
	unit := e.hold(m, "mine")
	declared := e.startUnit(m, e.adds(1), lockA)
	e.waitForWaiters("a", 1)
	acquired := e.startAcquire(unit.UnitOfWork, applock.Exclusive("a"))
	e.waitForWaiters("a", 2)
	proxy.Refuse(true)
	proxy.CutAll()
	if err := wait(e, "the declared lock", declared); err == nil {
		e.Error("a lock was granted over a cut cable")
	}
	e.wantIs(wait(e, "the acquired lock", acquired), applock.ErrLost)
	e.wantIs(e.insert(e.ctx, unit, 2), uow.ErrRollbackOnly)
	e.check(unit.Close())
	proxy.Refuse(false)
	e.commit(holder)
	// A server may grant the lock to a dead waiter before it notices.
	e.wantFree("a")
	e.wantFree("mine")
	e.wantGrant(m, applock.Exclusive("a"), true)
	e.wantItems()
}

// testDoubtFrees loses the answer to COMMIT: the server has freed the lock, and
// the process must not keep it barred.
func testDoubtFrees(e *env) {
	matcher := ability[CommitMatcher](e)
	proxy, db := e.proxied()
	m := e.manager(db)
	unit := e.hold(m, "a")
	e.check(e.insert(e.ctx, unit, 1))
	proxy.Rule(matcher.MatchCommit(), faultproxy.CutAfter)
	doubt := wantAs[*uow.InDoubtError](e, unit.Commit(e.ctx))
	if uow.IsRetryable(doubt) {
		e.Error("a unit in doubt is retryable")
	}
	e.wantFree("a")
	e.wantGrant(m, applock.Exclusive("a"), true)
	e.wantItems(1)
}

func testLeakedScopeFrees(e *env) {
	_, log := journaled()
	m := e.manager(e.db, log)
	func() {
		_, scope, err := m.Begin(e.ctx, lockA)
		e.check(err)
		e.check(e.insert(e.ctx, scope, 1))
	}()
	e.eventually("lock a is free", func() bool {
		runtime.GC()
		s := e.status("a")
		return len(s.Holders) == 0
	})
	e.eventually("its process lets others in", func() bool { return e.grants(m, applock.Exclusive("a")) })
	e.wantItems()
}

package dialecttest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/uow"
)

// peer returns a Manager on a pool of its own. It shares no gate with other
// Managers and so stands for another process.
func (e *env) peer() *uow.Manager {
	e.Helper()
	return e.manager(e.open())
}

// narrow returns a Manager on a pool of its own with at most n connections.
func (e *env) narrow(n int) *uow.Manager {
	e.Helper()
	db := e.open()
	db.SetMaxOpenConns(n)
	return e.manager(db)
}

// begin opens a scope that is closed when the case ends, if not before.
func (e *env) begin(m *uow.Manager, opts ...uow.Option) *uow.Scope {
	e.Helper()
	_, scope, err := m.Begin(e.ctx, opts...)
	e.check(err)
	e.Cleanup(func() { _ = scope.Close() })
	return scope
}

// hold opens a scope that holds an exclusive lock.
func (e *env) hold(m *uow.Manager, name string, opts ...uow.Option) *uow.Scope {
	e.Helper()
	return e.begin(m, append(opts, applock.With(applock.Exclusive(name)))...)
}

// acquire takes locks in an open unit.
func (e *env) acquire(u *uow.UnitOfWork, locks ...applock.Lock) {
	e.Helper()
	e.check(applock.Acquire(e.ctx, u, locks...))
}

// commit ends a scope.
func (e *env) commit(s *uow.Scope) {
	e.Helper()
	e.check(s.Commit(e.ctx))
}

// startUnit runs a unit with declared locks on a goroutine.
func (e *env) startUnit(m *uow.Manager, fn uow.Func, opts ...uow.Option) <-chan error {
	return start(func() error { return m.Do(e.ctx, fn, opts...) })
}

// startAcquire acquires locks in an open unit on a goroutine.
func (e *env) startAcquire(u *uow.UnitOfWork, locks ...applock.Lock) <-chan error {
	return start(func() error { return applock.Acquire(e.ctx, u, locks...) })
}

// grants reports whether a unit of m gets a lock at once.
func (e *env) grants(m *uow.Manager, l applock.Lock) bool {
	e.Helper()
	err := m.Do(e.ctx, idle, applock.With(l.NoWait()))
	if err != nil && !errors.Is(err, applock.ErrTimeout) {
		e.Fatalf("asking for %v at once: %v", l, err)
	}
	return err == nil
}

// wantGrant reports an error unless a unit of m gets, or does not get, a lock
// at once.
func (e *env) wantGrant(m *uow.Manager, l applock.Lock, want bool) {
	e.Helper()
	if got := e.grants(m, l); got != want {
		e.Errorf("%v granted at once: %v, want %v", l, got, want)
	}
}

// wantHolders reports an error unless the server shows n holders of a lock.
func (e *env) wantHolders(name string, n int) {
	e.Helper()
	if holders := e.status(name).Holders; len(holders) != n {
		e.Errorf("lock %s has holders %+v, want %d", name, holders, n)
	}
}

// wantHeld reports an error unless u believes to hold a lock in a mode; 0 is
// not at all.
func (e *env) wantHeld(u *uow.UnitOfWork, name string, want applock.Mode) {
	e.Helper()
	if mode, ok := applock.Held(u, name); mode != want || ok != (want != 0) {
		e.Errorf("Held(%s) = %v, %v, want %v", name, mode, ok, want)
	}
}

// session returns the server's name of the only holder of a lock.
func (e *env) session(name string) string {
	e.Helper()
	holders := e.status(name).Holders
	if len(holders) != 1 || holders[0].ID == "" {
		e.Fatalf("lock %s has holders %+v, want one with an ID", name, holders)
	}
	return holders[0].ID
}

// pending reports an error if the work behind a channel has ended.
func (e *env) pending(what string, done <-chan error) {
	e.Helper()
	select {
	case err := <-done:
		e.Fatalf("%s did not wait: %v", what, err)
	default:
	}
}

// idle is the work of a unit that is about its locks alone.
func idle(context.Context, *uow.UnitOfWork) error { return nil }

// counter commits item 1 with n = 0, for increment.
func (e *env) counter() {
	e.Helper()
	e.check(e.insert(e.ctx, e.db, 1))
}

// wantCount reports an error unless item 1 has the committed n.
func (e *env) wantCount(want int) {
	e.Helper()
	var n int
	e.check(e.db.GetContext(e.ctx, &n, "select n from item where id = 1"))
	if n != want {
		e.Errorf("n = %d, want %d", n, want)
	}
}

// increment reads item 1 and writes it back in two statements: without a lock
// around it updates are lost, or under stricter isolation refused.
func increment(ctx context.Context, u *uow.UnitOfWork) error {
	var n int
	if err := u.GetContext(ctx, &n, "select n from item where id = 1"); err != nil {
		return err
	}
	_, err := u.ExecContext(ctx, u.Rebind("update item set n = ? where id = 1"), n+1)
	return err
}

// collect receives an error from each channel and returns those not nil.
func collect(e *env, what string, all []<-chan error) []error {
	e.Helper()
	var failed []error
	for _, done := range all {
		if err := wait(e, what, done); err != nil {
			failed = append(failed, err)
		}
	}
	return failed
}

// noticed is a ctx that tells when somebody begins to wait on it: what waits in
// the process cannot be seen on the server.
type noticed struct {
	context.Context
	once    sync.Once
	waiting chan struct{}
}

func notice(ctx context.Context) *noticed {
	return &noticed{Context: ctx, waiting: make(chan struct{})}
}

func (n *noticed) Done() <-chan struct{} {
	n.once.Do(func() { close(n.waiting) })
	return n.Context.Done()
}

// startNoticed runs a unit and returns once it waits for something.
func (e *env) startNoticed(m *uow.Manager, fn uow.Func, opts ...uow.Option) <-chan error {
	e.Helper()
	ctx := notice(e.ctx)
	done := start(func() error { return m.Do(ctx, fn, opts...) })
	wait(e, "a unit to wait", ctx.waiting)
	return done
}

// shortWait is for requests that are meant to time out.
const shortWait = 50 * time.Millisecond

// wantTimeout checks a TimeoutError for a lock that one session holds.
func (e *env) wantTimeout(err error, l applock.Lock, holder, label string) {
	e.Helper()
	e.wantIs(err, applock.ErrTimeout)
	timeout := wantAs[*applock.TimeoutError](e, err)
	if timeout.Lock != l {
		e.Errorf("timeout of %v, want %v", timeout.Lock, l)
	}
	if !slices.ContainsFunc(timeout.Holders, func(s applock.Session) bool { return s.ID == holder && s.Label == label }) ||
		len(timeout.Holders) != 1 {
		e.Errorf("timeout names holders %+v, want session %s (%s)", timeout.Holders, holder, label)
	}
}

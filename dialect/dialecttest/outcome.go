package dialecttest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/uow"
)

var outcomeCases = []testCase{
	{"nil commits once", nilCommitsOnce},
	{"error rolls back and survives errors.Is", errorRollsBack},
	{"panic rolls back and goes on with its value", panicRollsBack},
	{"panic keeps the stack that it began on", panicKeepsItsStack},
	{"Goexit never commits", func(e *env) { goexitNeverCommits(e) }},
	{"Goexit in a nested scope never commits", func(e *env) { goexitNeverCommits(e, uow.Nested()) }},
	{"Goexit in a unit apart never commits", twoWriters(func(e *env) { goexitNeverCommits(e, uow.RequiresNew()) })},
	{"Goexit between Begin and Commit never commits", goexitInScopeNeverCommits},
	{"failing rollback joins the cause", failingRollbackJoins},
	{"SetRollbackOnly rolls back with its cause", rollbackOnlyHasCause},
	{"scope commits", scopeCommits},
	{"scope closed without Commit rolls back", closedScopeRollsBack},
	{"Commit twice is ErrDone", commitTwice},
	{"Close after the end does nothing", closeAfterEnd},
	{"unit used after its end is ErrDone and never reaches the pool", usedAfterDo},
	{"scope used after its end is ErrDone and never reaches the pool", usedAfterScope},
	{"prepared statement used after the end never reaches the pool", preparedUsedAfterEnd},
	{"ctx used after the end begins nothing", ctxUsedAfterEnd},
	{"scope begun on one goroutine ends on another", endsElsewhere},
	{"Value is the value of a committed unit alone", valueOfCommitted},
}

func nilCommitsOnce(e *env) {
	spy, m := e.spied(e.db)
	runs := 0
	var outcomes []uow.Outcome
	e.check(m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		runs++
		u.AfterCompletion(func(_ context.Context, o uow.Outcome) { outcomes = append(outcomes, o) })
		return e.adds(1, 2)(ctx, u)
	}))
	wantEqual(e, "runs", runs, 1)
	wantSlice(e, "outcomes", outcomes, uow.Committed)
	wantSlice(e, "ends", spy.called("commit", "rollback"), "commit")
	e.wantItems(1, 2)
}

func errorRollsBack(e *env) {
	spy, m := e.spied(e.db)
	err := m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.check(e.insert(ctx, u, 1))
		return fmt.Errorf("saving: %w", errWork)
	})
	e.wantIs(err, errWork)
	wantSlice(e, "ends", spy.called("commit", "rollback"), "rollback")
	e.wantItems()
}

func panicRollsBack(e *env) {
	for _, value := range []any{new(int), errWork, "text"} {
		spy, m := e.spied(e.db)
		got := panicOf(func() {
			_ = m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
				e.check(e.insert(ctx, u, 1))
				panic(value)
			})
		})
		wantEqual(e, "panic value", got, value)
		wantSlice(e, "ends", spy.called("commit", "rollback"), "rollback")
		wantEqual(e, "connections in use", e.db.Stats().InUse, 0)
	}
	e.wantItems()
}

func panicKeepsItsStack(e *env) {
	stack := ""
	func() {
		defer func() {
			if recover() != nil {
				stack = string(debug.Stack())
			}
		}()
		_ = e.m.Do(e.ctx, panicsFarInside)
	}()
	if !strings.Contains(stack, "panicsFarInside") {
		e.Errorf("the stack does not show where the panic began:\n%s", stack)
	}
}

func panicsFarInside(context.Context, *uow.UnitOfWork) error { panic(errWork) }

func goexitNeverCommits(e *env, opts ...uow.Option) {
	returned := make(chan struct{})
	gone := start(func() error {
		err := e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			e.wantIs(e.insert(ctx, u, 1), nil)
			return e.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
				e.wantIs(e.insert(ctx, u, 2), nil)
				runtime.Goexit()
				return nil
			}, opts...)
		})
		close(returned)
		return err
	})
	_ = wait(e, "the goroutine to end", gone)
	select {
	case <-returned:
		e.Error("Do returned")
	default:
	}
	wantEqual(e, "connections in use", e.db.Stats().InUse, 0)
	e.wantItems()
}

func goexitInScopeNeverCommits(e *env) {
	_ = wait(e, "the goroutine to end", start(func() error {
		ctx, scope, err := e.m.Begin(e.ctx)
		if err != nil {
			e.Error(err)
			return err
		}
		defer scope.Close()
		e.wantIs(e.insert(ctx, scope, 1), nil)
		runtime.Goexit()
		return scope.Commit(ctx)
	}))
	wantEqual(e, "connections in use", e.db.Stats().InUse, 0)
	e.wantItems()
}

func failingRollbackJoins(e *env) {
	db := e.open()
	db.SetMaxOpenConns(1)
	errRollback := errors.New("the rollback failed")
	spy, m := e.spied(db)
	spy.answer = func(call string, err error) error {
		if call == "rollback" {
			return errors.Join(err, errRollback)
		}
		return err
	}
	var used any
	err := m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) (err error) {
		used, err = e.connOf(u)
		return errors.Join(err, e.insert(ctx, u, 1), errWork)
	})
	e.wantIs(err, errWork)
	e.wantIs(err, errRollback)
	if e.connOfNext(m) == used {
		e.Error("a connection whose rollback failed was used again")
	}
	e.wantItems()
}

func rollbackOnlyHasCause(e *env) {
	for cause, want := range map[error]error{errWork: errWork, nil: uow.ErrRollbackOnly} {
		err := e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			e.check(e.insert(ctx, u, 1))
			u.SetRollbackOnly(cause)
			err := e.insert(ctx, u, 2)
			e.wantIs(err, uow.ErrRollbackOnly)
			e.wantIs(err, want)
			return nil
		})
		e.wantIs(wantAs[*uow.UnexpectedRollbackError](e, err).Cause, want)
		e.wantItems()
	}
}

func scopeCommits(e *env) {
	ctx, scope, err := e.m.Begin(e.ctx)
	e.check(err)
	defer scope.Close()
	e.check(e.insert(ctx, scope, 1))
	e.check(e.m.Do(ctx, e.adds(2)))
	e.check(scope.Commit(ctx))
	e.wantItems(1, 2)
}

func closedScopeRollsBack(e *env) {
	spy, m := e.spied(e.db)
	func() {
		ctx, scope, err := m.Begin(e.ctx)
		e.check(err)
		defer func() { e.check(scope.Close()) }()
		e.check(e.insert(ctx, scope, 1))
	}()
	wantSlice(e, "ends", spy.called("commit", "rollback"), "rollback")
	e.wantItems()
}

func commitTwice(e *env) {
	ctx, scope, err := e.m.Begin(e.ctx)
	e.check(err)
	e.check(e.insert(ctx, scope, 1))
	e.check(scope.Commit(ctx))
	e.wantIs(scope.Commit(e.ctx), uow.ErrDone)
	e.wantItems(1)

	ctx, scope, err = e.m.Begin(e.ctx)
	e.check(err)
	e.check(e.insert(ctx, scope, 2))
	e.check(scope.Close())
	e.wantIs(scope.Commit(e.ctx), uow.ErrDone)
	e.wantItems(1)
}

func closeAfterEnd(e *env) {
	var none *uow.Scope
	e.check(none.Close())
	ctx, scope, err := e.m.Begin(e.ctx)
	e.check(err)
	e.check(e.insert(ctx, scope, 1))
	e.check(scope.Commit(ctx))
	for range 2 {
		e.check(scope.Close())
	}
	e.wantItems(1)
	_, scope, err = e.m.Begin(e.ctx)
	e.check(err)
	for range 2 {
		e.check(scope.Close())
	}
}

// poolUntouched returns a Manager and a check that its pool has not been asked
// since the last unit: nothing stays in the pool, so each use would open, and
// then close, a connection.
func (e *env) poolUntouched() (m *uow.Manager, check func(closed int64)) {
	db := e.open()
	db.SetMaxIdleConns(-1)
	return e.manager(db), func(closed int64) {
		e.Helper()
		stats := db.Stats()
		wantEqual(e, "open connections", stats.OpenConnections, 0)
		wantEqual(e, "connections used", stats.MaxIdleClosed, closed)
	}
}

func usedAfterDo(e *env) {
	m, untouched := e.poolUntouched()
	var ended *uow.UnitOfWork
	e.check(m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		ended = u
		return e.insert(ctx, u, 1)
	}))
	for use, err := range e.everyUse(e.ctx, ended) {
		if !errors.Is(err, uow.ErrDone) {
			e.Errorf("%s after the end: %v", use, err)
		}
	}
	if mode, held := applock.Held(ended, "late"); held {
		e.Errorf("holds a lock after the end: %v", mode)
	}
	untouched(1)
	e.wantItems(1)
}

func usedAfterScope(e *env) {
	m, untouched := e.poolUntouched()
	ctx, outer, err := m.Begin(e.ctx)
	e.check(err)
	defer outer.Close()
	innerCtx, inner, err := m.Begin(ctx, uow.Nested())
	e.check(err)
	e.check(e.insert(innerCtx, inner, 1))
	e.check(inner.Commit(innerCtx))
	for use, err := range e.everyUse(e.ctx, inner.UnitOfWork) {
		if !errors.Is(err, uow.ErrDone) {
			e.Errorf("%s on an ended inner scope: %v", use, err)
		}
	}
	e.check(outer.Commit(ctx))
	for use, err := range e.everyUse(e.ctx, outer.UnitOfWork) {
		if !errors.Is(err, uow.ErrDone) {
			e.Errorf("%s after the end: %v", use, err)
		}
	}
	untouched(1)
	e.wantItems(1)
}

func preparedUsedAfterEnd(e *env) {
	m, untouched := e.poolUntouched()
	insert := e.db.Rebind("insert into item (id, n) values (?, 0)")
	var use func() error
	e.check(m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		stmt, err := u.PreparexContext(ctx, insert)
		if err != nil {
			return err
		}
		e.Cleanup(func() { _ = stmt.Close() })
		use = func() error { return second(stmt.ExecContext(e.ctx, 2)) }
		return second(stmt.ExecContext(ctx, 1))
	}))
	if use() == nil {
		e.Error("a prepared statement worked after its unit")
	}
	untouched(1)
	e.wantItems(1)
}

func ctxUsedAfterEnd(e *env) {
	m, untouched := e.poolUntouched()
	var ended context.Context
	e.check(m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		ended = ctx
		return e.insert(ctx, u, 1)
	}))
	for _, option := range []uow.Option{uow.Required(), uow.Nested(), uow.Mandatory()} {
		e.wantIs(m.Do(ended, e.adds(2), option), uow.ErrDone)
		_, scope, err := m.Begin(ended, option)
		e.wantIs(err, uow.ErrDone)
		e.check(scope.Close())
	}
	u, ok := uow.FromContext(ended)
	wantEqual(e, "carries a unit", ok, true)
	e.wantIs(e.insert(ended, u, 2), uow.ErrDone)
	untouched(1)
	e.check(m.Do(ended, e.adds(3), uow.RequiresNew()))
	e.check(m.Do(uow.Detach(ended), e.adds(4)))
	e.wantItems(1, 3, 4)
}

func endsElsewhere(e *env) {
	scopes := make(chan *uow.Scope, 1)
	e.check(wait(e, "Begin", start(func() error {
		ctx, scope, err := e.m.Begin(e.ctx)
		if err != nil {
			return err
		}
		scopes <- scope
		return e.insert(ctx, scope, 1)
	})))
	scope := <-scopes
	e.check(wait(e, "a statement", start(func() error { return e.insert(e.ctx, scope, 2) })))
	e.check(wait(e, "Commit", start(func() error { return scope.Commit(e.ctx) })))
	e.check(scope.Close())
	e.wantItems(1, 2)
}

func valueOfCommitted(e *env) {
	got, err := uow.Value(e.ctx, e.m, func(ctx context.Context, u *uow.UnitOfWork) (int, error) {
		return 7, e.insert(ctx, u, 1)
	})
	e.check(err)
	wantEqual(e, "value", got, 7)

	got, err = uow.Value(e.ctx, e.m, func(ctx context.Context, u *uow.UnitOfWork) (int, error) {
		return 7, e.addsThenFails(errWork, 2)(ctx, u)
	})
	e.wantIs(err, errWork)
	wantEqual(e, "value of a function that failed", got, 0)

	got, err = uow.Value(e.ctx, e.m, func(ctx context.Context, u *uow.UnitOfWork) (int, error) {
		u.BeforeCommit(func(context.Context) error { return errWork })
		return 7, e.insert(ctx, u, 3)
	})
	e.wantIs(err, errWork)
	wantEqual(e, "value of a unit that was rolled back", got, 0)
	e.wantItems(1)
}

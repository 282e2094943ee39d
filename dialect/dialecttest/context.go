package dialecttest

import (
	"context"
	"errors"
	"time"

	"github.com/lockstep-go/lockstep/internal/faultproxy"
	"github.com/lockstep-go/lockstep/uow"
)

var contextCases = []testCase{
	{"cancelled before begin: no connection taken", cancelledBeforeBegin},
	{"cancelled before the first statement: no connection taken", cancelledBeforeStatement},
	{"cancelled while waiting for a connection", cancelledWaitingForPool},
	{"cancelled in a statement: rolled back", cancelledInStatement},
	{"cancelled in a statement and swallowed: still rolled back", cancelledStatementSwallowed},
	{"statement's own ctx cancelled: the unit can only be rolled back", statementCtxCancelled},
	{"cancelled in a query's rows: rolled back", cancelledInRows},
	{"cancelled between statements: nothing more is sent, the cause is returned", cancelledBetween},
	{"cancelled before fn returned nil: rolled back", cancelledBeforeCommit},
	{"cancelled, but fn's own error is returned", cancelledWithOwnError},
	{"Commit with a dead ctx rolls back", commitWithDeadCtx},
	{"cancelled during COMMIT: the true outcome", cancelledDuringCommit},
	{"commit timeout: in doubt, connection discarded", commitTimesOut},
	{"commit timeout after the server committed: in doubt, resolved to committed", commitReplyTimesOut},
	{"ROLLBACK on a dead ctx reaches the server", rollbackOnDeadCtx},
	{"ROLLBACK has a time limit of its own", rollbackTimesOut},
	{"Timeout ends the unit", timeoutEndsUnit},
	{"Timeout of an inner scope ends it", timeoutEndsInner},
	{"ctx carries the caller's values to fn, COMMIT and ROLLBACK", ctxCarriesValues},
}

// cancellable returns a ctx whose cause will be errWork.
func (e *env) cancellable() (ctx context.Context, cancel func()) {
	ctx, cause := context.WithCancelCause(e.ctx)
	e.Cleanup(func() { cause(nil) })
	return ctx, func() { cause(errWork) }
}

func cancelledBeforeBegin(e *env) {
	db := e.open()
	m := e.manager(db)
	ctx, cancel := e.cancellable()
	cancel()
	called := false
	for _, opts := range [][]uow.Option{nil, {uow.RequiresNew()}, {uow.Nested()}} {
		e.wantIs(m.Do(ctx, func(context.Context, *uow.UnitOfWork) error { called = true; return nil }, opts...), errWork)
		_, scope, err := m.Begin(ctx, opts...)
		e.wantIs(err, errWork)
		e.check(scope.Close())
	}
	wantEqual(e, "fn called", called, false)
	wantEqual(e, "connections opened", db.Stats().OpenConnections, 0)
}

func cancelledBeforeStatement(e *env) {
	db := e.open()
	m := e.manager(db)
	ctx, cancel := e.cancellable()
	err := m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		cancel()
		// Also with a live ctx of its own: the unit is over.
		e.wantIs(e.insert(e.ctx, u, 1), errWork)
		return e.insert(ctx, u, 2)
	})
	e.wantIs(err, errWork)
	wantEqual(e, "connections opened", db.Stats().OpenConnections, 0)
	e.wantItems()
}

func cancelledWaitingForPool(e *env) {
	db := e.pooled(1)
	m := e.manager(db)
	holder := e.begin(m)
	e.check(e.insert(e.ctx, holder, 1))
	ctx, cancel := e.cancellable()
	done := start(func() error { return m.Do(ctx, e.adds(2)) })
	e.eventually("a wait for the pool", func() bool { return db.Stats().WaitCount > 0 })
	cancel()
	e.wantIs(wait(e, "the waiter", done), errWork)
	e.commit(holder)
	e.check(m.Do(e.ctx, e.adds(3)))
	e.wantItems(1, 3)
}

func cancelledInStatement(e *env) {
	e.store(1)
	release := e.lockItem(1)
	ctx, cancel := e.cancellable()
	done := start(func() error {
		return e.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			return errors.Join(e.insert(ctx, u, 2), e.bump(ctx, u, 1))
		})
	})
	e.waitForStatements(1)
	cancel()
	err := wait(e, "the cancelled unit", done)
	e.wantIs(err, errWork)
	wantEqual(e, "retryable", uow.IsRetryable(err), false)
	release()
	e.wantN(1, 0)
	e.wantItems(1)
	e.check(e.m.Do(e.ctx, e.adds(2)))
	e.wantItems(1, 2)
}

func cancelledStatementSwallowed(e *env) {
	e.store(1)
	release := e.lockItem(1)
	ctx, cancel := e.cancellable()
	done := start(func() error {
		return e.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			e.wantIs(e.insert(ctx, u, 2), nil)
			e.wantIs(e.bump(ctx, u, 1), errWork)
			e.wantIs(e.insert(e.ctx, u, 3), errWork)
			return nil
		})
	})
	e.waitForStatements(1)
	cancel()
	e.wantIs(wait(e, "the cancelled unit", done), errWork)
	release()
	e.wantItems(1)
}

func statementCtxCancelled(e *env) {
	e.store(1)
	release := e.lockItem(1)
	own, cancel := e.cancellable()
	done := start(func() error {
		return e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			e.wantIs(e.insert(ctx, u, 2), nil)
			e.wantIs(e.bump(own, u, 1), errWork)
			e.wantIs(e.insert(ctx, u, 3), uow.ErrRollbackOnly)
			return nil
		})
	})
	e.waitForStatements(1)
	cancel()
	err := wait(e, "the unit", done)
	wantAs[*uow.UnexpectedRollbackError](e, err)
	e.wantIs(err, errWork)
	release()
	e.wantItems(1)
}

func cancelledInRows(e *env) {
	e.store(1, 2)
	ctx, cancel := e.cancellable()
	err := e.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.check(e.insert(ctx, u, 3))
		rows, err := u.QueryContext(ctx, "select id from item")
		e.check(err)
		defer rows.Close()
		if !rows.Next() {
			e.Error("no rows")
		}
		cancel()
		for rows.Next() {
			continue // the driver may have rows left that it has read already
		}
		return nil
	})
	e.wantIs(err, errWork)
	e.wantItems(1, 2)
	e.check(e.m.Do(e.ctx, e.adds(4)))
}

func cancelledBetween(e *env) {
	asked, db := e.traced()
	ctx, cancel := e.cancellable()
	err := e.manager(db).Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.check(e.insert(ctx, u, 1))
		cancel()
		e.wantSilence(asked, func() {
			for _, statementCtx := range []context.Context{ctx, e.ctx} {
				for use, err := range e.everyUse(statementCtx, u) {
					if !errors.Is(err, errWork) {
						e.Errorf("%s after the unit's ctx ended: %v", use, err)
					}
				}
			}
		})
		return nil
	})
	e.wantIs(err, errWork)
	e.wantItems()
}

func cancelledBeforeCommit(e *env) {
	spy, m := e.spied(e.db)
	ctx, cancel := e.cancellable()
	err := m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.check(e.insert(ctx, u, 1))
		cancel()
		return nil
	})
	e.wantIs(err, errWork)
	wantSlice(e, "ends", spy.called("commit", "rollback"), "rollback")
	e.wantItems()
}

func cancelledWithOwnError(e *env) {
	ctx, cancel := e.cancellable()
	errOwn := errors.New("noticed")
	err := e.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.check(e.insert(ctx, u, 1))
		cancel()
		return errOwn
	})
	e.wantIs(err, errOwn)
	e.wantItems()
}

func commitWithDeadCtx(e *env) {
	dead, cancel := e.cancellable()
	cancel()
	ctx, scope, err := e.m.Begin(e.ctx)
	e.check(err)
	e.check(e.insert(ctx, scope, 1))
	e.wantIs(scope.Commit(dead), errWork)
	e.check(scope.Close())

	begun, cancel := e.cancellable()
	ctx, scope, err = e.m.Begin(begun)
	e.check(err)
	e.check(e.insert(ctx, scope, 2))
	cancel()
	e.wantIs(scope.Commit(e.ctx), errWork)
	e.check(scope.Close())

	ctx, scope, err = e.m.Begin(e.ctx)
	e.check(err)
	inner := e.openScope(ctx)
	e.check(e.insert(ctx, inner, 3))
	e.wantIs(inner.Commit(dead), errWork)
	e.wantIs(wantAs[*uow.UnexpectedRollbackError](e, scope.Commit(e.ctx)).Cause, errWork)
	e.wantItems()
}

func cancelledDuringCommit(e *env) {
	commit := ability[CommitMatcher](e).MatchCommit()
	proxy, db := e.proxied()
	ctx, cancel := e.cancellable()
	hold := proxy.Rule(commit, faultproxy.Hold)
	var outcomes []uow.Outcome
	done := start(func() error {
		return e.manager(db).Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			u.AfterCompletion(func(_ context.Context, o uow.Outcome) { outcomes = append(outcomes, o) })
			return e.insert(ctx, u, 1)
		})
	})
	wait(e, "COMMIT", hold.Fired())
	cancel()
	hold.Release()
	e.check(wait(e, "the unit", done))
	wantSlice(e, "outcomes", outcomes, uow.Committed)
	wantEqual(e, "cancel requests", proxy.Cancels(), 0)
	e.wantItems(1)
}

// shortLimit is a limit that a case lets pass.
const shortLimit = 500 * time.Millisecond

// wantCommitTimeout runs a unit whose COMMIT meets a fault until its limit has
// passed, and returns what came of it.
func (e *env) wantCommitTimeout(fault faultproxy.Action) (*uow.InDoubtError, *faultproxy.Rule) {
	e.Helper()
	commit := ability[CommitMatcher](e).MatchCommit()
	proxy, db := e.proxied()
	db.SetMaxOpenConns(1)
	m := e.manager(db, uow.CommitTimeout(shortLimit))
	rule := proxy.Rule(commit, fault)
	var used any
	err := wait(e, "the limit", e.startUnit(m, func(ctx context.Context, u *uow.UnitOfWork) (err error) {
		used, err = e.connOf(u)
		return errors.Join(err, e.insert(ctx, u, 1))
	}))
	doubt := wantAs[*uow.InDoubtError](e, err)
	wantEqual(e, "retryable", uow.IsRetryable(err), false)
	wait(e, "COMMIT", rule.Fired())
	if e.connOfNext(e.manager(db)) == used {
		e.Error("a connection in doubt was used again")
	}
	return doubt, rule
}

func rollbackOnDeadCtx(e *env) {
	e.store(1)
	db := e.pooled(1)
	spy, m := e.spied(db)
	spy.before = func(ctx context.Context, call string) {
		if call != "rollback" {
			return
		}
		e.wantIs(ctx.Err(), nil)
		if _, limited := ctx.Deadline(); !limited {
			e.Error("ROLLBACK has no time limit")
		}
	}
	ctx, cancel := e.cancellable()
	var used any
	err := m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) (err error) {
		used, err = e.connOf(u)
		e.check(errors.Join(err, e.bump(ctx, u, 1)))
		cancel()
		return ctx.Err()
	})
	e.wantIs(err, context.Canceled)
	wantSlice(e, "ends", spy.called("commit", "rollback"), "rollback")
	wantEqual(e, "next connection", e.connOfNext(m), used)
	e.check(e.bump(e.ctx, e.db, 1)) // the row is free
	e.wantN(1, 1)
}

func rollbackTimesOut(e *env) {
	e.store(1)
	proxy, db := e.proxied()
	db.SetMaxOpenConns(1)
	m := e.manager(db, uow.RollbackTimeout(shortLimit))
	var used any
	err := wait(e, "the limit", e.startUnit(m, func(ctx context.Context, u *uow.UnitOfWork) (err error) {
		used, err = e.connOf(u)
		err = errors.Join(err, e.bump(ctx, u, 1))
		proxy.Stall()
		return errors.Join(err, errWork)
	}))
	e.wantIs(err, errWork)
	proxy.Resume()
	if e.connOfNext(m) == used {
		e.Error("a connection that may be in a transaction was used again")
	}
	e.check(e.bump(e.ctx, e.db, 1))
	e.wantN(1, 1)
}

func timeoutEndsUnit(e *env) {
	err := e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.check(e.insert(ctx, u, 1))
		wait(e, "the timeout", ctx.Done())
		e.wantIs(e.insert(e.ctx, u, 2), context.DeadlineExceeded)
		return nil
	}, uow.Timeout(shortLimit))
	e.wantIs(err, context.DeadlineExceeded)
	wantEqual(e, "retryable", uow.IsRetryable(err), false)
	e.wantItems()
}

func timeoutEndsInner(e *env) {
	work := func(ctx context.Context, u *uow.UnitOfWork) error {
		e.check(e.insert(ctx, u, 1))
		wait(e, "the timeout", ctx.Done())
		e.wantIs(e.insert(e.ctx, u, 2), context.DeadlineExceeded)
		return nil
	}
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.wantIs(e.m.Do(ctx, work, uow.Timeout(shortLimit), uow.Nested()), context.DeadlineExceeded)
		return e.insert(ctx, u, 3)
	}))
	e.wantItems(3)
	err := e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.wantIs(e.m.Do(ctx, work, uow.Timeout(shortLimit)), context.DeadlineExceeded)
		e.wantIs(e.insert(ctx, u, 4), uow.ErrRollbackOnly)
		return nil
	})
	e.wantIs(wantAs[*uow.UnexpectedRollbackError](e, err).Cause, context.DeadlineExceeded)
	e.wantItems(3)
}

type traceKey struct{}

func ctxCarriesValues(e *env) {
	spy, m := e.spied(e.db)
	spy.before = func(ctx context.Context, call string) {
		if ctx.Value(traceKey{}) != e {
			e.Errorf("%s has lost the values of ctx", call)
		}
	}
	ctx := context.WithValue(e.ctx, traceKey{}, e)
	for _, verdict := range []error{nil, errWork} {
		e.wantIs(m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			e.check(m.Do(ctx, e.adds(1), uow.Nested()))
			e.wantIs(m.Do(ctx, e.addsThenFails(errWork, 2), uow.Nested()), errWork)
			return verdict
		}), verdict)
		e.must(e.db.ExecContext(e.ctx, "delete from item"))
	}
	wantSlice(e, "ends", spy.called("commit", "rollback"), "commit", "rollback")
}

package dialecttest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/internal/faultproxy"
	"github.com/lockstep-go/lockstep/uow"
)

var retryCases = []testCase{
	{"a deadlock is retried", twoWriters(retriesDeadlock)},
	{"a serialization failure is retried", retriesSerialization},
	{"a lost connection is retried on another", retriesLostConnection},
	{"a killed session is retried on another, with its locks", retriesKilledSession},
	{"a lost connection that only a prepared statement has met is retried", retriesUnseenError},
	{"off by default", retryOff},
	{"retryable kinds are retried, others are not", retriesKinds},
	{"every attempt has a new transaction and fresh hooks", freshAttempts},
	{"outermost only: no 3 × 3", retryOutermostOnly},
	{"exhausted wraps the last error", exhaustedWrapsLast},
	{"honours the deadline of ctx", retryHonoursDeadline},
	{"ends with ctx in the pause", retryEndsInPause},
	{"a unit that was cancelled is not retried", cancelledNotRetried},
	{"a cancelled statement that lost its connection is not retried", cancelledAndLostNotRetried},
	{"fn's own ctx error is neither retried nor taken for a lost connection", ownCtxErrorNotRetried},
	{"a panic is not retried", panicNotRetried},
	{"of a Manager's defaults", retryOfDefaults},
}

// quick is a policy without pauses to speak of.
func quick(attempts int) uow.Option {
	return uow.Retry(uow.RetryPolicy{Attempts: attempts, Base: time.Microsecond, Max: time.Millisecond})
}

// failure is an error of a kind, as a statement would return it.
func failure(kind dialect.Kind) error {
	return fmt.Errorf("saving: %w", &dialect.Error{Kind: kind, Err: errWork})
}

// fails is work that only counts its runs and fails.
func fails(runs *int, err error) uow.Func {
	return func(context.Context, *uow.UnitOfWork) error {
		*runs++
		return err
	}
}

func retriesDeadlock(e *env) {
	e.store(1, 2)
	meet := e.meeting(2)
	var runs atomic.Int64
	crosswise := func(first, then int) <-chan error {
		return start(func() error {
			return e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
				runs.Add(1)
				err := e.bump(ctx, u, first)
				meet() // on later runs both have met
				return errors.Join(err, e.bump(ctx, u, then))
			}, quick(10))
		})
	}
	one, other := crosswise(1, 2), crosswise(2, 1)
	e.check(wait(e, "the first", one))
	e.check(wait(e, "the second", other))
	e.wantN(1, 2)
	e.wantN(2, 2)
	if runs.Load() < 3 {
		e.Error("there was no deadlock")
	}
}

func retriesSerialization(e *env) {
	e.store(1)
	runs := 0
	e.skipUnsupported(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		runs++
		var n int
		if err := u.GetContext(ctx, &n, "select n from item where id = 1"); err != nil {
			return err
		}
		if runs == 1 {
			e.check(e.bump(ctx, e.db, 1))
		}
		return second(u.ExecContext(ctx, u.Rebind("update item set n = ? where id = 1"), n+10))
	}, uow.Isolation(sql.LevelSnapshot), quick(3)))
	wantEqual(e, "runs", runs, 2)
	e.wantN(1, 11)
}

func retriesLostConnection(e *env) {
	e.store(1)
	proxy, db := e.proxied()
	rule := proxy.Rule(carries(bumpText), faultproxy.CutBefore)
	runs := 0
	e.check(e.manager(db).Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		runs++
		return errors.Join(e.insert(ctx, u, 2), second(u.ExecContext(ctx, bumpText)))
	}, quick(3)))
	wait(e, "the fault", rule.Fired())
	wantEqual(e, "runs", runs, 2)
	e.wantN(1, 1)
	e.wantItems(1, 2)
}

func retriesKilledSession(e *env) {
	runs := 0
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		runs++
		_, held := applock.Held(u, "victim")
		wantEqual(e, "lock held", held, true)
		wantEqual(e, "holders", len(e.status("victim").Holders), 1)
		if runs == 1 {
			e.killOf("victim")()
		}
		return e.insert(ctx, u, runs)
	}, quick(3), applock.With(applock.Exclusive("victim"))))
	wantEqual(e, "runs", runs, 2)
	e.wantItems(2)
}

// retriesUnseenError returns the driver's own error, which no method of the
// unit has seen.
func retriesUnseenError(e *env) {
	proxy, db := e.proxied()
	e.store(1)
	runs := 0
	e.check(e.manager(db).Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		runs++
		stmt, err := u.PrepareContext(ctx, bumpText)
		if err != nil {
			return err
		}
		defer stmt.Close()
		if runs == 1 {
			proxy.CutAll()
		}
		return second(stmt.ExecContext(ctx))
	}, quick(3)))
	wantEqual(e, "runs", runs, 2)
	e.wantN(1, 1)
}

func retryOff(e *env) {
	runs := 0
	e.wantIs(e.m.Do(e.ctx, fails(&runs, failure(dialect.Deadlock))), dialect.Deadlock)
	e.wantIs(e.m.Do(e.ctx, fails(&runs, failure(dialect.Deadlock)), quick(1)), dialect.Deadlock)
	wantEqual(e, "runs", runs, 2)
}

func retriesKinds(e *env) {
	again := map[dialect.Kind]bool{dialect.Serialization: true, dialect.Deadlock: true, dialect.ConnectionLost: true, dialect.IdleTimeout: true}
	for kind := dialect.Unknown; kind <= dialect.Unresolvable; kind++ {
		want := 1
		if again[kind] {
			want = 3
		}
		runs := 0
		err := e.m.Do(e.ctx, fails(&runs, failure(kind)), uow.Retry(uow.RetryPolicy{Base: 1, Max: 1}))
		e.wantIs(err, kind)
		wantEqual(e, "runs after "+kind.Error(), runs, want)
		wantEqual(e, "IsRetryable of "+kind.Error(), uow.IsRetryable(err), again[kind])
	}
	wantEqual(e, "IsRetryable of nil", uow.IsRetryable(nil), false)
	wantEqual(e, "IsRetryable of another error", uow.IsRetryable(errWork), false)
}

func freshAttempts(e *env) {
	db := e.pooled(1)
	spy, m := e.spied(db)
	runs := 0
	var fired []string
	e.check(m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		runs++
		run := runs
		u.BeforeCommit(func(context.Context) error { fired = append(fired, fmt.Sprint("before ", run)); return nil })
		u.AfterCommit(func(context.Context) error { fired = append(fired, fmt.Sprint("after ", run)); return nil })
		u.AfterCompletion(func(_ context.Context, o uow.Outcome) { fired = append(fired, fmt.Sprint(o, " ", run)) })
		if run < 3 {
			return e.addsThenFails(failure(dialect.Serialization), run)(ctx, u)
		}
		return e.insert(ctx, u, run)
	}, quick(5)))
	wantSlice(e, "calls", spy.called("begin", "commit", "rollback"),
		"begin", "rollback", "begin", "rollback", "begin", "commit")
	wantSlice(e, "hooks", fired, "rolled back 1", "rolled back 2", "before 3", "after 3", "committed 3")
	e.wantItems(3)
}

func retryOutermostOnly(e *env) {
	for _, option := range []uow.Option{uow.Required(), uow.Nested(), uow.RequiresNew()} {
		inner, outer := 0, 0
		err := e.m.Do(e.ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
			outer++
			return e.m.Do(ctx, fails(&inner, failure(dialect.Deadlock)), quick(3), option)
		}, quick(3))
		e.wantIs(err, dialect.Deadlock)
		wantEqual(e, "runs of the outer", outer, 3)
		wantEqual(e, "runs of the inner", inner, 3)
	}
	inner := 0
	err := e.m.Do(e.ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
		return e.m.Do(ctx, fails(&inner, failure(dialect.Deadlock)), quick(3))
	})
	e.wantIs(err, dialect.Deadlock)
	wantEqual(e, "runs of the inner", inner, 1)
}

func exhaustedWrapsLast(e *env) {
	errs := []error{errors.New("first"), errors.New("second"), errors.New("last")}
	runs := 0
	err := e.m.Do(e.ctx, func(context.Context, *uow.UnitOfWork) error {
		runs++
		return &dialect.Error{Kind: dialect.Deadlock, Err: errs[runs-1]}
	}, quick(len(errs)))
	e.wantIs(err, errs[2])
	e.wantIs(err, dialect.Deadlock)
	if errors.Is(err, errs[0]) || errors.Is(err, errs[1]) {
		e.Errorf("wraps an earlier error: %v", err)
	}
}

// endless is a policy whose first pause outlasts any ctx, save for a chance of
// one in a million.
func endless() uow.Option {
	const year = 365 * 24 * time.Hour
	return uow.Retry(uow.RetryPolicy{Attempts: 3, Base: 100 * year, Max: 100 * year})
}

func retryHonoursDeadline(e *env) {
	runs := 0
	err := wait(e, "Do to give up", start(func() error {
		return e.m.Do(e.ctx, fails(&runs, failure(dialect.Deadlock)), endless())
	}))
	e.wantIs(err, dialect.Deadlock)
	e.wantIs(err, context.DeadlineExceeded)
	e.wantIs(e.ctx.Err(), nil)
	wantEqual(e, "runs", runs, 1)
}

func retryEndsInPause(e *env) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(e.ctx))
	defer cancel(nil)
	errStop := errors.New("stop")
	err := wait(e, "Do to give up", start(func() error {
		return e.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			u.AfterCompletion(func(context.Context, uow.Outcome) { cancel(errStop) })
			return failure(dialect.Deadlock)
		}, endless())
	}))
	e.wantIs(err, dialect.Deadlock)
	e.wantIs(err, errStop)
}

func cancelledNotRetried(e *env) {
	e.store(1)
	e.lockItem(1)
	for name, limit := range map[string]func() (context.Context, context.CancelFunc){
		"cause":   func() (context.Context, context.CancelFunc) { ctx, cancel := e.cancellable(); return ctx, cancel },
		"cancel":  func() (context.Context, context.CancelFunc) { return context.WithCancel(e.ctx) },
		"timeout": func() (context.Context, context.CancelFunc) { return context.WithTimeout(e.ctx, shortLimit) },
	} {
		own, cancel := limit()
		defer cancel()
		runs := 0
		done := start(func() error {
			return e.m.Do(e.ctx, func(_ context.Context, u *uow.UnitOfWork) error {
				runs++
				return e.bump(own, u, 1)
			}, quick(5))
		})
		if name != "timeout" {
			e.waitForStatements(1)
			cancel()
		}
		err := wait(e, "the unit", done)
		e.wantIs(err, context.Cause(own))
		wantEqual(e, "runs after "+name, runs, 1)
		wantEqual(e, "retryable after "+name, uow.IsRetryable(err), false)
	}
}

func cancelledAndLostNotRetried(e *env) {
	spy, m := e.spied(e.db)
	own, cancel := e.cancellable()
	spy.answer = func(call string, err error) error {
		if call == "exec" {
			cancel()
			return failure(dialect.ConnectionLost)
		}
		return err
	}
	runs := 0
	err := m.Do(e.ctx, func(_ context.Context, u *uow.UnitOfWork) error {
		runs++
		return e.insert(own, u, 1)
	}, quick(5))
	e.wantIs(err, errWork)
	e.wantIs(err, dialect.ConnectionLost)
	wantEqual(e, "runs", runs, 1)
	wantEqual(e, "retryable", uow.IsRetryable(err), false)
	e.wantItems()
}

// ownCtxErrorNotRetried has a function whose call to another system timed out.
func ownCtxErrorNotRetried(e *env) {
	for _, own := range []error{context.DeadlineExceeded, context.Canceled} {
		runs := 0
		err := e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			runs++
			e.check(e.insert(ctx, u, 1))
			return own
		}, quick(3))
		wantEqual(e, "error", err, own)
		wantEqual(e, "runs", runs, 1)
		wantEqual(e, "retryable", uow.IsRetryable(err), false)
	}
}

func panicNotRetried(e *env) {
	runs := 0
	value := panicOf(func() {
		_ = e.m.Do(e.ctx, func(context.Context, *uow.UnitOfWork) error {
			runs++
			panic(failure(dialect.Deadlock))
		}, quick(3))
	})
	if value == nil {
		e.Error("the panic was lost")
	}
	wantEqual(e, "runs", runs, 1)
}

func retryOfDefaults(e *env) {
	m := e.manager(e.db, uow.Defaults(quick(4)))
	for _, m := range []*uow.Manager{m, e.m.With(quick(4))} {
		runs := 0
		e.wantIs(m.Do(e.ctx, fails(&runs, failure(dialect.Deadlock))), dialect.Deadlock)
		wantEqual(e, "runs", runs, 4)
		ctx, scope, err := m.Begin(e.ctx)
		e.check(err)
		e.check(scope.Commit(ctx))
	}
	runs := 0
	got, err := uow.Value(e.ctx, m, func(context.Context, *uow.UnitOfWork) (int, error) {
		runs++
		if runs < 3 {
			return runs, failure(dialect.Deadlock)
		}
		return runs, nil
	})
	e.check(err)
	wantEqual(e, "value", got, 3)
}

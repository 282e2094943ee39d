package dialecttest

import (
	"context"
	"errors"
	"runtime"
	"slices"

	"github.com/lockstep-go/lockstep/uow"
)

var nestingCases = slices.Concat(joinedCases, savepointCases, siblingCases, ownUnitCases, conflictCases)

var joinedCases = []testCase{
	{"joined scopes share one transaction", joinedShareTransaction},
	{"joined work is undone with the outer", joinedUndoneWithOuter},
	{"inner error swallowed is an UnexpectedRollbackError", swallowedError},
	{"inner scope closed and ignored is an UnexpectedRollbackError", swallowedClose},
	{"inner panic recovered still dooms", recoveredPanicDooms},
	{"inner Goexit on another goroutine still dooms", innerGoexitDooms},
	{"the first inner failure is the cause", firstFailureIsCause},
	{"doomed unit refuses statements without sending them", doomedSendsNothing},
	{"doomed unit takes no further scope's work", doomedScopesRefused},
	{"Mandatory joins or fails", mandatoryJoins},
	{"Never begins or fails", neverBegins},
	{"package-level Do takes the Manager from ctx", packageLevelDo},
	{"two Managers in one ctx never mix", twoManagers},
	{"two Managers of one database never join", twoManagersOneDatabase},
	{"Detach does not join", detachDoesNotJoin},
}

func joinedShareTransaction(e *env) {
	spy, m := e.spied(e.db)
	e.check(m.Do(e.ctx, func(ctx context.Context, outer *uow.UnitOfWork) error {
		e.check(e.insert(ctx, outer, 1))
		conn, err := e.connOf(outer)
		e.check(err)
		e.check(m.Do(ctx, func(ctx context.Context, inner *uow.UnitOfWork) error {
			same, err := e.connOf(inner)
			wantEqual(e, "connection", same, conn)
			return errors.Join(err, m.Do(ctx, e.adds(2), uow.Mandatory()))
		}))
		wantSlice(e, "ends before the outermost", spy.called("commit", "rollback"))
		return e.insert(ctx, outer, 3)
	}))
	wantSlice(e, "calls", spy.called("begin", "savepoint", "commit", "rollback"), "begin", "commit")
	e.wantItems(1, 2, 3)
}

func joinedUndoneWithOuter(e *env) {
	err := e.m.Do(e.ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
		e.check(e.m.Do(ctx, e.adds(1)))
		return errWork
	})
	e.wantIs(err, errWork)
	e.wantItems()
}

// wantSwallowed runs inner, whose failure with errWork the outer ignores.
func (e *env) wantSwallowed(inner func(ctx context.Context)) {
	e.Helper()
	spy, m := e.spied(e.db)
	err := m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.check(e.insert(ctx, u, 1))
		inner(uow.NewContext(ctx, m))
		return nil
	})
	e.wantIs(err, errWork)
	e.wantIs(wantAs[*uow.UnexpectedRollbackError](e, err).Cause, errWork)
	wantSlice(e, "ends", spy.called("commit", "rollback"), "rollback")
	e.wantItems()
}

func swallowedError(e *env) {
	e.wantSwallowed(func(ctx context.Context) {
		e.wantIs(uow.Do(ctx, e.addsThenFails(errWork, 2)), errWork)
	})
	e.wantSwallowed(func(ctx context.Context) {
		err := uow.Do(ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
			e.wantIs(uow.Do(ctx, e.addsThenFails(errWork, 2)), errWork)
			return nil
		})
		wantAs[*uow.UnexpectedRollbackError](e, err)
	})
}

func swallowedClose(e *env) {
	ctx, outer, err := e.m.Begin(e.ctx)
	e.check(err)
	defer outer.Close()
	innerCtx, inner, err := e.m.Begin(ctx)
	e.check(err)
	e.check(e.insert(innerCtx, inner, 1))
	e.check(inner.Close())
	e.wantIs(e.insert(ctx, outer, 2), uow.ErrRollbackOnly)
	wantAs[*uow.UnexpectedRollbackError](e, outer.Commit(ctx))
	e.wantItems()
}

func recoveredPanicDooms(e *env) {
	spy, m := e.spied(e.db)
	err := m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		value := panicOf(func() {
			_ = m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
				e.check(e.insert(ctx, u, 1))
				panic("inner")
			})
		})
		wantEqual(e, "panic value", value, "inner")
		e.wantIs(e.insert(ctx, u, 2), uow.ErrRollbackOnly)
		return nil
	})
	wantAs[*uow.UnexpectedRollbackError](e, err)
	wantSlice(e, "ends", spy.called("commit", "rollback"), "rollback")
	e.wantItems()
}

func innerGoexitDooms(e *env) {
	err := e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		_ = wait(e, "the inner goroutine", start(func() error {
			return e.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
				e.wantIs(e.insert(ctx, u, 1), nil)
				runtime.Goexit()
				return nil
			})
		}))
		return nil
	})
	wantAs[*uow.UnexpectedRollbackError](e, err)
	e.wantItems()
}

func firstFailureIsCause(e *env) {
	errLater := errors.New("a later failure")
	err := e.m.Do(e.ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
		for _, err := range []error{errWork, errLater} {
			e.wantIs(e.m.Do(ctx, func(context.Context, *uow.UnitOfWork) error { return err }), err)
		}
		return nil
	})
	wantEqual(e, "cause", wantAs[*uow.UnexpectedRollbackError](e, err).Cause, errWork)
}

func doomedSendsNothing(e *env) {
	asked, db := e.traced()
	m := e.manager(db)
	err := m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.check(e.insert(ctx, u, 1))
		e.wantIs(m.Do(ctx, e.addsThenFails(errWork, 2)), errWork)
		e.wantSilence(asked, func() {
			for use, err := range e.everyUse(ctx, u) {
				if !errors.Is(err, uow.ErrRollbackOnly) || !errors.Is(err, errWork) {
					e.Errorf("%s in a doomed unit: %v", use, err)
				}
			}
		})
		return nil
	})
	wantAs[*uow.UnexpectedRollbackError](e, err)
	e.wantItems()
}

func doomedScopesRefused(e *env) {
	err := e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		u.SetRollbackOnly(errWork)
		for _, option := range []uow.Option{uow.Required(), uow.Nested()} {
			e.wantIs(e.m.Do(ctx, e.adds(1), option), uow.ErrRollbackOnly)
		}
		return nil
	})
	wantAs[*uow.UnexpectedRollbackError](e, err)
	e.wantItems()
}

func mandatoryJoins(e *env) {
	e.wantIs(e.m.Do(e.ctx, e.adds(1), uow.Mandatory()), uow.ErrNoUnit)
	_, scope, err := e.m.Begin(e.ctx, uow.Mandatory())
	e.wantIs(err, uow.ErrNoUnit)
	wantEqual(e, "scope", scope, nil)
	e.check(e.m.Do(e.ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
		return e.m.Do(ctx, e.adds(2), uow.Mandatory())
	}))
	e.wantItems(2)
}

func neverBegins(e *env) {
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.wantIs(e.m.Do(ctx, e.adds(1), uow.Never()), uow.ErrUnitActive)
		return e.insert(ctx, u, 2)
	}, uow.Never()))
	e.wantItems(2)
}

func packageLevelDo(e *env) {
	e.wantIs(uow.Do(e.ctx, nothing), uow.ErrNoManager)
	ctx := uow.NewContext(e.ctx, e.m)
	e.check(uow.Do(ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
		return uow.Do(ctx, e.adds(1), uow.Mandatory())
	}, uow.Never()))
	e.wantIs(uow.Do(uow.NewContext(ctx, nil), nothing), uow.ErrNoManager)
	e.wantItems(1)
}

// another returns an env on a database of its own.
func (e *env) another() *env {
	e.Helper()
	return newEnv(e.T, e.h)
}

func twoManagers(e *env) {
	other := e.another()
	err := e.m.Do(e.ctx, func(ctx context.Context, mine *uow.UnitOfWork) error {
		e.wantIs(other.m.Do(ctx, nothing, uow.Mandatory()), uow.ErrNoUnit)
		e.check(other.m.Do(ctx, func(ctx context.Context, theirs *uow.UnitOfWork) error {
			e.check(other.insert(ctx, theirs, 10))
			e.check(e.m.Do(ctx, e.adds(1), uow.Mandatory()))
			innermost, _ := uow.FromContext(ctx)
			wantEqual(e, "innermost unit", innermost, theirs)
			return other.m.Do(ctx, other.adds(11), uow.Mandatory())
		}))
		innermost, _ := uow.FromContext(ctx)
		wantEqual(e, "innermost unit", innermost, mine)
		return errWork
	})
	e.wantIs(err, errWork)
	e.wantItems()
	other.wantItems(10, 11)

	e.check(e.m.Do(e.ctx, func(ctx context.Context, mine *uow.UnitOfWork) error {
		e.wantIs(other.m.Do(ctx, other.addsThenFails(errWork, 12)), errWork)
		return e.insert(ctx, mine, 2)
	}))
	e.wantItems(2)
	other.wantItems(10, 11)
}

func twoManagersOneDatabase(e *env) {
	other := e.manager(e.db)
	err := e.m.Do(e.ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
		e.wantIs(other.Do(ctx, nothing, uow.Mandatory()), uow.ErrNoUnit)
		e.check(other.Do(ctx, e.adds(1)))
		e.check(e.m.With(uow.Label("derived")).Do(ctx, e.adds(2), uow.Mandatory()))
		return errWork
	})
	e.wantIs(err, errWork)
	e.wantItems(1)
}

func detachDoesNotJoin(e *env) {
	parent, cancel := context.WithCancelCause(e.ctx)
	defer cancel(nil)
	err := e.m.Do(parent, func(ctx context.Context, _ *uow.UnitOfWork) error {
		detached := uow.Detach(ctx)
		_, carried := uow.FromContext(detached)
		wantEqual(e, "carries a unit", carried, false)
		e.check(e.m.Do(detached, e.adds(1), uow.Never()))
		e.check(e.m.Do(ctx, e.adds(2), uow.Mandatory()))
		cancel(errWork)
		e.wantIs(context.Cause(detached), errWork)
		return errWork
	})
	e.wantIs(err, errWork)
	e.wantItems(1)
}

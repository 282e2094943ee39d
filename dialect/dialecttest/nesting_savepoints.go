package dialecttest

import (
	"context"
	"errors"
	"regexp"
	"runtime"
	"strings"

	"github.com/lockstep-go/lockstep/uow"
)

var savepointCases = []testCase{
	{"Nested undo loses only inner work", nestedUndo},
	{"Nested recovers from a statement error", nestedRecovers},
	{"Nested that swallows a statement error is undone", nestedSwallows},
	{"a statement belongs to the innermost scope, whichever scope sends it", innermostTakesStatements},
	{"Nested is undone when joined inside it fails", joinedInNestedFails},
	{"Nested recovers from a panic", nestedPanics},
	{"Nested inside Nested", nestedInNested},
	{"Nested without a unit begins one", nestedAlone},
	{"Nested work is undone with the outer", nestedUndoneWithOuter},
	{"Nested after a swallowed error of the outer stays doomed", nestedInDoomed},
	{"savepoints are removed after success and after rollback", savepointsRemoved},
	{"savepoint names are unique and short", savepointNames},
	{"Nested without statements sets no savepoint", emptyNested},
	{"failing undo dooms the unit", failingUndoDooms},
}

func nestedUndo(e *env) {
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.check(e.insert(ctx, u, 1))
		e.wantIs(e.m.Do(ctx, e.addsThenFails(errWork, 2), uow.Nested()), errWork)
		return errors.Join(e.insert(ctx, u, 3), e.m.Do(ctx, e.adds(2, 4), uow.Nested()))
	}))
	e.wantItems(1, 2, 3, 4)
}

func nestedRecovers(e *env) {
	e.store(1)
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.check(e.insert(ctx, u, 2))
		if e.m.Do(ctx, e.adds(3, 1), uow.Nested()) == nil {
			e.Error("a duplicate key was taken")
		}
		return e.insert(ctx, u, 4)
	}))
	e.wantItems(1, 2, 4)
}

func nestedSwallows(e *env) {
	e.store(1)
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		err := e.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			failed := e.adds(2, 1)(ctx, u)
			after := e.insert(ctx, u, 3)
			e.wantIs(after, uow.ErrRollbackOnly)
			e.wantIs(after, failed)
			return nil
		}, uow.Nested())
		wantAs[*uow.UnexpectedRollbackError](e, err)
		return e.insert(ctx, u, 4)
	}))
	e.wantItems(1, 4)
}

func innermostTakesStatements(e *env) {
	e.check(e.m.Do(e.ctx, func(ctx context.Context, outer *uow.UnitOfWork) error {
		for id, verdict := range []error{errWork, nil} {
			e.wantIs(e.m.Do(ctx, func(context.Context, *uow.UnitOfWork) error {
				e.check(e.insert(ctx, outer, id))
				return verdict
			}, uow.Nested()), verdict)
		}
		return nil
	}))
	e.wantItems(1)
}

func joinedInNestedFails(e *env) {
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		err := e.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			e.check(e.insert(ctx, u, 1))
			e.wantIs(e.m.Do(ctx, e.addsThenFails(errWork, 2)), errWork)
			return nil
		}, uow.Nested())
		e.wantIs(wantAs[*uow.UnexpectedRollbackError](e, err).Cause, errWork)
		return e.insert(ctx, u, 3)
	}))
	e.wantItems(3)
}

func nestedPanics(e *env) {
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		value := panicOf(func() {
			_ = e.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
				e.check(e.insert(ctx, u, 1))
				panic("inner")
			}, uow.Nested())
		})
		wantEqual(e, "panic value", value, "inner")
		_ = wait(e, "the inner goroutine", start(func() error {
			return e.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
				e.wantIs(e.insert(ctx, u, 2), nil)
				runtime.Goexit()
				return nil
			}, uow.Nested())
		}))
		return e.insert(ctx, u, 3)
	}))
	e.wantItems(3)
}

func nestedInNested(e *env) {
	e.check(e.m.Do(e.ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
		err := e.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			e.wantIs(e.m.Do(ctx, e.addsThenFails(errWork, 1), uow.Nested()), errWork)
			e.check(e.m.Do(ctx, e.adds(2), uow.Nested()))
			return errors.Join(e.insert(ctx, u, 3), errWork)
		}, uow.Nested())
		e.wantIs(err, errWork)
		return e.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			e.wantIs(e.m.Do(ctx, e.addsThenFails(errWork, 4), uow.Nested()), errWork)
			return errors.Join(e.insert(ctx, u, 5), e.m.Do(ctx, e.adds(6), uow.Nested()))
		}, uow.Nested())
	}))
	e.wantItems(5, 6)
}

func nestedAlone(e *env) {
	e.check(e.m.Do(e.ctx, e.adds(1), uow.Nested()))
	e.wantIs(e.m.Do(e.ctx, e.addsThenFails(errWork, 2), uow.Nested()), errWork)
	e.wantItems(1)
}

func nestedUndoneWithOuter(e *env) {
	err := e.m.Do(e.ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
		e.check(e.m.Do(ctx, e.adds(1), uow.Nested()))
		return errWork
	})
	e.wantIs(err, errWork)
	e.wantItems()
}

// A statement error outside any savepoint cannot be undone by opening one.
func nestedInDoomed(e *env) {
	e.store(1)
	err := e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		if e.insert(ctx, u, 1) == nil {
			e.Error("a duplicate key was taken")
		}
		e.wantIs(e.m.Do(ctx, e.adds(2), uow.Nested()), uow.ErrRollbackOnly)
		e.wantIs(e.insert(ctx, u, 3), uow.ErrRollbackOnly)
		return nil
	})
	wantAs[*uow.UnexpectedRollbackError](e, err)
	e.wantItems(1)
}

// savepointWork nests in depth and side by side, with successes and failures.
func (e *env) savepointWork(m *uow.Manager) uow.Func {
	return func(ctx context.Context, _ *uow.UnitOfWork) error {
		for i := range 12 {
			var verdict error
			if i%3 == 0 {
				verdict = errWork
			}
			err := m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
				e.check(m.Do(ctx, e.adds(2*i), uow.Nested()))
				e.wantIs(m.Do(ctx, e.addsThenFails(errWork, 2*i+1), uow.Nested()), errWork)
				return verdict
			}, uow.Nested())
			e.wantIs(err, verdict)
		}
		return nil
	}
}

func savepointsRemoved(e *env) {
	spy, m := e.spied(e.db)
	e.check(m.Do(e.ctx, e.savepointWork(m)))
	open := map[string]bool{}
	for _, call := range spy.called("savepoint", "release", "undo") {
		verb, name, _ := strings.Cut(call, " ")
		if verb == "savepoint" {
			open[name] = true
			continue
		}
		if !open[name] {
			e.Errorf("%s of a savepoint that is not open", call)
		}
		delete(open, name)
	}
	wantEqual(e, "savepoints left", len(open), 0)
	e.wantItems(2, 4, 8, 10, 14, 16, 20, 22)
}

func savepointNames(e *env) {
	spy, m := e.spied(e.db)
	e.check(m.Do(e.ctx, e.savepointWork(m)))
	allowed := regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,31}$`)
	seen := map[string]bool{}
	for _, call := range spy.called("savepoint") {
		_, name, _ := strings.Cut(call, " ")
		if seen[name] || !allowed.MatchString(name) {
			e.Errorf("savepoint name %q", name)
		}
		seen[name] = true
	}
	wantEqual(e, "savepoints", len(seen), 36)
}

func emptyNested(e *env) {
	spy, m := e.spied(e.db)
	e.check(m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.check(m.Do(ctx, nothing, uow.Nested()))
		e.wantIs(m.Do(ctx, func(context.Context, *uow.UnitOfWork) error { return errWork }, uow.Nested()), errWork)
		wantSlice(e, "calls", spy.called("begin", "savepoint"))
		return e.insert(ctx, u, 1)
	}))
	wantSlice(e, "calls", spy.called("begin", "savepoint", "release", "undo"), "begin")
	e.wantItems(1)
}

func failingUndoDooms(e *env) {
	spy, m := e.spied(e.db)
	errUndo := errors.New("the undo failed")
	spy.answer = func(call string, err error) error {
		if strings.HasPrefix(call, "undo") {
			return errors.Join(err, errUndo)
		}
		return err
	}
	err := m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		err := m.Do(ctx, e.addsThenFails(errWork, 1), uow.Nested())
		e.wantIs(err, errWork)
		e.wantIs(err, errUndo)
		e.wantIs(e.insert(ctx, u, 2), uow.ErrRollbackOnly)
		return nil
	})
	e.wantIs(wantAs[*uow.UnexpectedRollbackError](e, err).Cause, errUndo)
	e.wantItems()
}

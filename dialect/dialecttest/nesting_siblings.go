package dialecttest

import (
	"context"
	"errors"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/uow"
)

var siblingCases = []testCase{
	{"scope ended before one opened later is refused", endedOutOfOrder},
	{"siblings committed in order keep all work", siblingsCommitted},
	{"sibling's work undone with another's savepoint dooms the unit", siblingUndoneDooms},
	{"sibling undone alone loses only its own work", siblingUndoneAlone},
	{"sibling opened further out than the scope that is undone dooms the unit", siblingOfOuterInMiddle},
	{"siblings undone together with the scope that they belong to harm nothing", siblingOfMiddle},
	{"a statement sent through one sibling is not lost with another unnoticed", siblingStatement},
	{"a sibling whose lock is refused has no part in the scope beside it", siblingRefused},
	{"work sent from inside a sibling is not lost with the scope beside it", siblingInside},
	{"a nested scope that sent nothing leaves rows open around it alone", rowsAroundNested},
	{"joined siblings may only all commit", joinedSiblings},
	{"scope left open in Do is an error", leftOpenInDo},
	{"Close of the outermost ends what is open inside", closeEndsAll},
}

// openScope begins a scope that ctx's unit takes in.
func (e *env) openScope(ctx context.Context, opts ...uow.Option) *uow.Scope {
	e.Helper()
	_, scope, err := e.m.Begin(ctx, opts...)
	e.check(err)
	e.Cleanup(func() { _ = scope.Close() })
	return scope
}

// siblings opens an outermost scope and two in it, side by side, that have
// added items 1 and 2.
func (e *env) siblings(opts ...uow.Option) (outer, first, later *uow.Scope) {
	e.Helper()
	ctx, outer, err := e.m.Begin(e.ctx)
	e.check(err)
	e.Cleanup(func() { _ = outer.Close() })
	first = e.openScope(ctx, opts...)
	e.check(e.insert(ctx, first, 1))
	later = e.openScope(ctx, opts...)
	e.check(e.insert(ctx, later, 2))
	return outer, first, later
}

func endedOutOfOrder(e *env) {
	for id, opts := range [][]uow.Option{nil, {uow.Nested()}} {
		outer, first, later := e.siblings(opts...)
		e.wantIs(first.Commit(e.ctx), uow.ErrScopeOrder)
		e.wantIs(first.Close(), uow.ErrScopeOrder)
		e.wantIs(outer.Commit(e.ctx), uow.ErrScopeOrder)
		// All three are still open, as if nothing had been asked.
		e.check(e.insert(e.ctx, later, 3))
		e.check(later.Commit(e.ctx))
		e.check(e.insert(e.ctx, first, 4))
		e.check(first.Commit(e.ctx))
		if id == 0 {
			e.check(outer.Close())
			e.wantItems()
			continue
		}
		e.check(outer.Commit(e.ctx))
	}
	e.wantItems(1, 2, 3, 4)
}

func siblingsCommitted(e *env) {
	outer, first, later := e.siblings(uow.Nested())
	e.check(later.Commit(e.ctx))
	e.check(first.Commit(e.ctx))
	e.check(outer.Commit(e.ctx))
	e.wantItems(1, 2)
}

// The later sibling's work lies inside the first one's savepoint: undoing that
// must not commit the rest as if nothing were missing.
func siblingUndoneDooms(e *env) {
	outer, first, later := e.siblings(uow.Nested())
	e.check(later.Commit(e.ctx))
	e.check(first.Close())
	err := outer.Commit(e.ctx)
	wantAs[*uow.UnexpectedRollbackError](e, err)
	e.wantIs(err, uow.ErrScopeOrder)
	e.wantItems()
}

func siblingUndoneAlone(e *env) {
	outer, first, later := e.siblings(uow.Nested())
	e.check(later.Close())
	e.check(first.Commit(e.ctx))
	e.check(outer.Commit(e.ctx))
	e.wantItems(1)
}

// inMiddle opens an outermost scope with item 1, in it a nested one, in that
// another with item 2, and beside the innermost a sibling with item 3, opened
// from one of the other two. It ends the innermost pair for the commit.
func (e *env) inMiddle(fromOuter bool) (outer, middle *uow.Scope) {
	e.Helper()
	ctx, outer, err := e.m.Begin(e.ctx)
	e.check(err)
	e.Cleanup(func() { _ = outer.Close() })
	e.check(e.insert(e.ctx, outer, 1))
	middleCtx, middle, err := e.m.Begin(ctx, uow.Nested())
	e.check(err)
	inner := e.openScope(middleCtx, uow.Nested())
	e.check(e.insert(e.ctx, inner, 2))
	from := middleCtx
	if fromOuter {
		from = ctx
	}
	sibling := e.openScope(from, uow.Nested())
	e.check(e.insert(e.ctx, sibling, 3))
	e.check(sibling.Commit(e.ctx))
	e.check(inner.Commit(e.ctx))
	return outer, middle
}

func siblingOfOuterInMiddle(e *env) {
	outer, middle := e.inMiddle(true)
	e.check(middle.Close())
	wantAs[*uow.UnexpectedRollbackError](e, outer.Commit(e.ctx))
	e.wantItems()
	outer, middle = e.inMiddle(true)
	e.check(middle.Commit(e.ctx))
	e.check(outer.Commit(e.ctx))
	e.wantItems(1, 2, 3)
}

// The sibling belonged to the scope that is undone: nobody outside loses work.
func siblingOfMiddle(e *env) {
	outer, middle := e.inMiddle(false)
	e.check(middle.Close())
	e.check(outer.Commit(e.ctx))
	e.wantItems(1)
}

// siblingStatement sends a statement through the first sibling while the later
// one, which is then undone, is innermost: it may be refused, or kept, or keep
// the unit from being committed.
func siblingStatement(e *env) {
	outer, first, later := e.siblings(uow.Nested())
	refused := e.insert(e.ctx, first, 3)
	e.check(later.Close())
	undone := errors.Join(first.Commit(e.ctx), outer.Commit(e.ctx))
	switch {
	case undone != nil:
		e.wantItems()
	case refused != nil:
		e.wantItems(1)
	default:
		e.wantItems(1, 3)
	}
}

func siblingInside(e *env) {
	for _, how := range []uow.Option{uow.Required(), uow.Nested()} {
		ctx, outer, err := e.m.Begin(e.ctx)
		e.check(err)
		beside := e.openScope(ctx, uow.Nested())
		e.check(e.m.Do(ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
			return e.m.Do(ctx, e.adds(1))
		}, how))
		e.check(beside.Close())
		e.wantIs(outer.Commit(e.ctx), uow.ErrScopeOrder)
		e.wantItems()
	}
}

func rowsAroundNested(e *env) {
	e.store(1, 2, 3)
	var ids []int
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		rows, err := u.QueryContext(ctx, "select id from item order by id")
		if err != nil {
			return err
		}
		defer rows.Close()
		for id := 0; rows.Next(); ids = append(ids, id) {
			e.check(rows.Scan(&id))
			e.check(e.m.Do(ctx, nothing, uow.Nested()))
			e.wantIs(e.m.Do(ctx, addsNothing, uow.Nested()), errWork)
		}
		return rows.Err()
	}))
	wantSlice(e, "rows", ids, 1, 2, 3)
}

// addsNothing fails before it has sent anything.
func addsNothing(context.Context, *uow.UnitOfWork) error { return errWork }

func siblingRefused(e *env) {
	holder := e.hold(e.peer(), "a")
	defer holder.Close()
	e.check(e.m.Do(e.ctx, func(outer context.Context, u *uow.UnitOfWork) error {
		e.check(e.insert(outer, u, 1))
		e.wantIs(e.m.Do(outer, func(ctx context.Context, inner *uow.UnitOfWork) error {
			e.check(e.insert(ctx, inner, 2))
			e.wantIs(e.m.Do(outer, nothing, applock.With(applock.Exclusive("a").NoWait())), applock.ErrTimeout)
			return errWork
		}, uow.Nested()), errWork)
		return nil
	}))
	e.wantItems(1)
}

func joinedSiblings(e *env) {
	outer, first, later := e.siblings()
	e.check(later.Commit(e.ctx))
	e.check(first.Close())
	wantAs[*uow.UnexpectedRollbackError](e, outer.Commit(e.ctx))
	e.wantItems()

	outer, first, later = e.siblings()
	e.check(later.Commit(e.ctx))
	e.check(first.Commit(e.ctx))
	e.check(outer.Commit(e.ctx))
	e.wantItems(1, 2)
}

func leftOpenInDo(e *env) {
	for _, option := range []uow.Option{uow.Required(), uow.Nested()} {
		var left *uow.Scope
		err := e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			e.check(e.insert(ctx, u, 1))
			left = e.openScope(ctx, option)
			return e.insert(ctx, left, 2)
		})
		e.wantIs(err, uow.ErrScopeOpen)
		e.wantIs(e.insert(e.ctx, left, 3), uow.ErrDone)
		e.wantIs(left.Commit(e.ctx), uow.ErrDone)
		e.check(left.Close())
		e.wantItems()
	}
}

func closeEndsAll(e *env) {
	outer, first, later := e.siblings(uow.Nested())
	e.wantIs(outer.Close(), uow.ErrScopeOpen)
	for _, scope := range []*uow.Scope{outer, first, later} {
		e.wantIs(e.insert(e.ctx, scope, 3), uow.ErrDone)
		e.check(scope.Close())
	}
	e.wantItems()
}

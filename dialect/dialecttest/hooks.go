package dialecttest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/lockstep-go/lockstep/uow"
)

var hookCases = []testCase{
	{"run in the order registered, around the commit", hookOrder},
	{"AfterCommit has the connection released and no unit in ctx", hookHasConnection},
	{"AfterCommit of RequiresNew may work in the unit around it", hookInUnitAround},
	{"of a savepoint that is undone are dropped", hooksDropped},
	{"of a savepoint that is kept run with the outermost", hooksKept},
	{"of a joined scope run with the outermost", hooksJoined},
	{"AfterCommit does not run after a rollback", hooksAfterRollback},
	{"a failing hook undoes nothing and the others run", hookFails},
	{"a panicking hook undoes nothing and the others run", hookPanics},
	{"BeforeCommit works inside the transaction", beforeCommitWorks},
	{"BeforeCommit vetoes", beforeCommitVetoes},
	{"BeforeCommit of a nested scope vetoes all", beforeCommitOfNested},
	{"BeforeCommit that swallows a statement error vetoes", beforeCommitSwallows},
	{"ctx that ends in BeforeCommit rolls back", beforeCommitCancelled},
	{"BeforeCommit that panics rolls back", beforeCommitPanics},
	{"BeforeCommit that calls Goexit rolls back", beforeCommitGoexit},
	{"BeforeCommit does not run for a unit that failed", beforeCommitSkipped},
	{"BeforeCommit does not run for a unit that is doomed", beforeCommitDoomed},
	{"a hook may register hooks", hookRegistersHook},
	{"a hook registered too late never runs and is reported", hookTooLate},
}

// record notes which hooks run.
type record []string

func (r *record) hook(what string) func(context.Context) error {
	return func(context.Context) error { *r = append(*r, what); return nil }
}

func (r *record) completion(what string) func(context.Context, uow.Outcome) {
	return func(_ context.Context, o uow.Outcome) { *r = append(*r, fmt.Sprintf("%s: %v", what, o)) }
}

// register adds a hook of each kind.
func (r *record) register(u *uow.UnitOfWork, name string) {
	u.BeforeCommit(r.hook(name + " before"))
	u.AfterCommit(r.hook(name + " after"))
	u.AfterCompletion(r.completion(name))
}

func hookOrder(e *env) {
	spy, m := e.spied(e.db)
	var r record
	spy.before = func(_ context.Context, call string) { r = append(r, call) }
	e.check(m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		u.AfterCompletion(r.completion("a"))
		u.AfterCommit(r.hook("a after"))
		u.BeforeCommit(r.hook("a before"))
		r.register(u, "b")
		return e.insert(ctx, u, 1)
	}))
	wantSlice(e, "order", r, "begin", "exec", "a before", "b before", "commit",
		"a after", "b after", "a: committed", "b: committed")
}

func hookHasConnection(e *env) {
	db := e.pooled(1)
	m := e.manager(db)
	ran := 0
	begins := func(ctx context.Context) error {
		ran++
		wantEqual(e, "connections in use", db.Stats().InUse, 0)
		_, carried := uow.FromContext(ctx)
		wantEqual(e, "ctx carries a unit", carried, false)
		wantEqual(e, "value of ctx", ctx.Value(traceKey{}), any(e))
		return m.Do(ctx, e.adds(10*ran), uow.Never())
	}
	ctx := context.WithValue(e.ctx, traceKey{}, e)
	e.check(m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		u.AfterCommit(begins)
		u.AfterCompletion(func(ctx context.Context, _ uow.Outcome) { e.check(begins(ctx)) })
		return e.insert(ctx, u, 1)
	}))
	e.wantItems(1, 10, 20)
}

func hookInUnitAround(e *env) {
	err := e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.check(e.m.Do(ctx, func(ctx context.Context, inner *uow.UnitOfWork) error {
			inner.AfterCommit(func(ctx context.Context) error { return e.m.Do(ctx, e.adds(2), uow.Mandatory()) })
			return e.insert(ctx, inner, 1)
		}, uow.RequiresNew()))
		return errWork
	})
	e.wantIs(err, errWork)
	e.wantItems(1)
}

func hooksDropped(e *env) {
	var r record
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		r.register(u, "outer")
		e.wantIs(e.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			r.register(u, "undone")
			return errors.Join(e.m.Do(ctx, func(_ context.Context, u *uow.UnitOfWork) error {
				r.register(u, "kept in undone")
				return nil
			}, uow.Nested()), errWork)
		}, uow.Nested()), errWork)
		return e.insert(ctx, u, 1)
	}))
	wantSlice(e, "hooks", r, "outer before", "outer after", "outer: committed")
}

func hooksKept(e *env) {
	var r record
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		u.AfterCommit(r.hook("first"))
		e.check(e.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			u.AfterCommit(r.hook("nested"))
			return e.insert(ctx, u, 1)
		}, uow.Nested()))
		wantEqual(e, "hooks run early", len(r), 0)
		u.AfterCommit(r.hook("last"))
		return nil
	}))
	wantSlice(e, "hooks", r, "first", "nested", "last")
}

func hooksJoined(e *env) {
	var r record
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.check(e.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			r.register(u, "joined")
			return e.insert(ctx, u, 1)
		}))
		wantEqual(e, "hooks run early", len(r), 0)
		r.register(u, "outer")
		return nil
	}))
	wantSlice(e, "hooks", r, "joined before", "outer before", "joined after", "outer after",
		"joined: committed", "outer: committed")
}

func hooksAfterRollback(e *env) {
	var r record
	work := func(ctx context.Context, u *uow.UnitOfWork) error {
		r.register(u, "hook")
		return errors.Join(e.insert(ctx, u, 1), errWork)
	}
	e.wantIs(e.m.Do(e.ctx, work), errWork)
	wantSlice(e, "hooks after an error", r, "hook: rolled back")
	r = nil
	_ = panicOf(func() {
		_ = e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error { panic(work(ctx, u)) })
	})
	wantSlice(e, "hooks after a panic", r, "hook: rolled back")
	r = nil
	_, scope, err := e.m.Begin(e.ctx)
	e.check(err)
	r.register(scope.UnitOfWork, "hook")
	e.check(scope.Close())
	wantSlice(e, "hooks after Close", r, "hook: rolled back")
}

// wantHookReported runs a unit with a bad hook of each kind that comes after
// the end, between good ones.
func (e *env) wantHookReported(bad func() error, reported string) {
	e.Helper()
	j, log := journaled()
	var r record
	e.check(e.manager(e.db, log).Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		u.AfterCommit(func(context.Context) error { return bad() })
		u.AfterCommit(r.hook("after"))
		u.AfterCompletion(func(context.Context, uow.Outcome) {
			if err := bad(); err != nil {
				panic(err)
			}
		})
		u.AfterCompletion(r.completion("completion"))
		return e.insert(ctx, u, 1)
	}, uow.Label("reporter")))
	wantSlice(e, "hooks", r, "after", "completion: committed")
	lines := j.lines()
	wantEqual(e, "reports", len(lines), 2)
	for i, kind := range []string{"AfterCommit", "AfterCompletion"}[:min(2, len(lines))] {
		for _, part := range []string{kind, reported, "reporter", "ERROR"} {
			if !strings.Contains(lines[i], part) {
				e.Errorf("report %q does not tell %q", lines[i], part)
			}
		}
	}
	e.wantItems(1)
}

func hookFails(e *env) {
	e.wantHookReported(func() error { return errWork }, errWork.Error())
}

func hookPanics(e *env) {
	e.wantHookReported(func() error { panic("hook gone wrong") }, "hook gone wrong")
}

func beforeCommitWorks(e *env) {
	err := e.m.Do(e.ctx, func(_ context.Context, u *uow.UnitOfWork) error {
		u.BeforeCommit(func(ctx context.Context) error {
			return errors.Join(e.insert(ctx, u, 1), e.m.Do(ctx, e.adds(2), uow.Mandatory()))
		})
		u.BeforeCommit(func(ctx context.Context) error {
			var n int
			err := u.GetContext(ctx, &n, "select count(*) from item")
			wantEqual(e, "items seen by the next hook", n, 2)
			return err
		})
		return nil
	})
	e.check(err)
	e.wantItems(1, 2)
}

func beforeCommitVetoes(e *env) {
	spy, m := e.spied(e.db)
	var r record
	err := m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		u.BeforeCommit(func(context.Context) error { return errWork })
		r.register(u, "later")
		return e.insert(ctx, u, 1)
	})
	e.wantIs(err, errWork)
	wantSlice(e, "hooks", r, "later: rolled back")
	wantSlice(e, "ends", spy.called("commit", "rollback"), "rollback")
	e.wantItems()
}

func beforeCommitOfNested(e *env) {
	ctx, scope, err := e.m.Begin(e.ctx)
	e.check(err)
	e.check(e.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		u.BeforeCommit(func(context.Context) error { return errWork })
		return e.insert(ctx, u, 1)
	}, uow.Nested()))
	e.wantIs(scope.Commit(ctx), errWork)
	e.wantItems()
}

func beforeCommitSwallows(e *env) {
	e.store(1)
	err := e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		u.BeforeCommit(func(ctx context.Context) error {
			if e.insert(ctx, u, 1) == nil {
				e.Error("a duplicate key was taken")
			}
			return nil
		})
		return e.insert(ctx, u, 2)
	})
	wantAs[*uow.UnexpectedRollbackError](e, err)
	e.wantItems(1)
}

func beforeCommitCancelled(e *env) {
	spy, m := e.spied(e.db)
	ctx, cancel := e.cancellable()
	e.wantIs(m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		u.BeforeCommit(func(context.Context) error { cancel(); return nil })
		return e.insert(ctx, u, 1)
	}), errWork)
	wantSlice(e, "ends", spy.called("commit", "rollback"), "rollback")
	e.wantItems()
}

func beforeCommitPanics(e *env) {
	spy, m := e.spied(e.db)
	var r record
	value := panicOf(func() {
		_ = m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			u.BeforeCommit(func(context.Context) error { panic(errWork) })
			u.AfterCommit(r.hook("after"))
			u.AfterCompletion(r.completion("completion"))
			return e.insert(ctx, u, 1)
		})
	})
	wantEqual(e, "panic value", value, any(errWork))
	wantSlice(e, "ends", spy.called("commit", "rollback"), "rollback")
	wantSlice(e, "hooks", r, "completion: rolled back")
	wantEqual(e, "connections in use", e.db.Stats().InUse, 0)
	e.wantItems()
}

func beforeCommitGoexit(e *env) {
	_ = wait(e, "the goroutine to end", start(func() error {
		return e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			u.BeforeCommit(func(context.Context) error { runtime.Goexit(); return nil })
			return e.insert(ctx, u, 1)
		})
	}))
	wantEqual(e, "connections in use", e.db.Stats().InUse, 0)
	e.wantItems()
}

func beforeCommitSkipped(e *env) {
	var r record
	e.wantIs(e.m.Do(e.ctx, func(_ context.Context, u *uow.UnitOfWork) error {
		u.BeforeCommit(r.hook("before"))
		return errWork
	}), errWork)
	ctx, cancel := e.cancellable()
	e.wantIs(e.m.Do(ctx, func(_ context.Context, u *uow.UnitOfWork) error {
		u.BeforeCommit(r.hook("before"))
		cancel()
		return nil
	}), errWork)
	wantEqual(e, "hooks run", len(r), 0)
}

// beforeCommitDoomed has a hook whose own failure would hide why the unit cannot
// be committed.
func beforeCommitDoomed(e *env) {
	ran := 0
	err := e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		u.BeforeCommit(func(ctx context.Context) error {
			ran++
			return e.insert(ctx, u, 1)
		})
		e.wantIs(e.m.Do(ctx, e.addsThenFails(errWork, 2)), errWork)
		return nil
	})
	e.wantIs(wantAs[*uow.UnexpectedRollbackError](e, err).Cause, errWork)
	wantEqual(e, "hooks run", ran, 0)
	e.wantItems()
}

func hookRegistersHook(e *env) {
	var r record
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		u.BeforeCommit(func(ctx context.Context) error {
			r.register(u, "from before")
			return e.insert(ctx, u, 1)
		})
		u.AfterCommit(func(context.Context) error {
			u.AfterCommit(r.hook("from after"))
			u.AfterCompletion(r.completion("from after"))
			return nil
		})
		u.AfterCompletion(func(context.Context, uow.Outcome) { u.AfterCompletion(r.completion("from completion")) })
		return nil
	}))
	wantSlice(e, "hooks", r, "from before before", "from before after", "from after",
		"from before: committed", "from after: committed", "from completion: committed")
	e.wantItems(1)
}

// hookTooLate registers hooks whose time has passed: none may vanish in silence.
func hookTooLate(e *env) {
	var r record
	before := func(u *uow.UnitOfWork) { u.BeforeCommit(r.hook("late")) }
	after := func(u *uow.UnitOfWork) { u.AfterCommit(r.hook("late")) }
	e.wantReportedLate("BeforeCommit", before, func(u *uow.UnitOfWork, late func()) {
		u.AfterCommit(func(context.Context) error { late(); return nil })
	})
	e.wantReportedLate("AfterCommit", after, func(u *uow.UnitOfWork, late func()) {
		u.AfterCompletion(func(context.Context, uow.Outcome) { late() })
	})
	for kind, late := range map[string]func(*uow.UnitOfWork){"BeforeCommit": before, "AfterCommit": after} {
		e.wantReportedLate(kind, late, nil)
	}
	wantEqual(e, "hooks that ran too late", len(r), 0)
}

// wantReportedLate runs a unit in which arrange calls late at a late time; if
// arrange is nil, it is called after the end.
func (e *env) wantReportedLate(kind string, late func(*uow.UnitOfWork), arrange func(u *uow.UnitOfWork, late func())) {
	e.Helper()
	j, log := journaled()
	u, err := uow.Value(e.ctx, e.manager(e.db, log), func(_ context.Context, u *uow.UnitOfWork) (*uow.UnitOfWork, error) {
		if arrange != nil {
			arrange(u, func() { late(u) })
		}
		return u, nil
	})
	e.check(err)
	if arrange == nil {
		late(u)
	}
	if !strings.Contains(strings.Join(j.lines(), "\n"), kind) {
		e.Errorf("a late %s was not reported: %q", kind, j.lines())
	}
}

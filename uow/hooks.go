package uow

import (
	"context"
	"fmt"
	"log/slog"
)

// phase is how far the end of a unit has come. A hook is taken until those of its
// kind have run.
type phase int

const (
	working   phase = iota // hooks of every kind are taken
	concluded              // COMMIT or ROLLBACK is under way or done
	completed              // the hooks of AfterCommit have run
	over                   // all have
)

// hooks belong to a base: they share the fate of the work done in it.
type hooks struct {
	before     []func(context.Context) error
	after      []func(context.Context) error
	completion []func(context.Context, Outcome)
}

func (h *hooks) append(o *hooks) {
	h.before = append(h.before, o.before...)
	h.after = append(h.after, o.after...)
	h.completion = append(h.completion, o.completion...)
}

// BeforeCommit registers f to run inside the transaction, after the outermost
// function has returned nil and before COMMIT. An error vetoes the commit and is
// what Do returns; a panic goes on after the rollback. Hooks run in the order
// registered, may send statements and register hooks. Those registered in a
// nested scope that is undone are dropped.
func (u *UnitOfWork) BeforeCommit(f func(context.Context) error) {
	u.register("BeforeCommit", working, f == nil, func(h *hooks) { h.before = append(h.before, f) })
}

// AfterCommit registers f to run once the server has acknowledged the outermost
// commit and the connection is released. Its ctx is the one that the unit was
// begun with and does not carry the unit. It never runs for a unit that is
// rolled back or in doubt. Errors and panics change nothing and go to the
// Manager's Logger.
func (u *UnitOfWork) AfterCommit(f func(context.Context) error) {
	u.register("AfterCommit", concluded, f == nil, func(h *hooks) { h.after = append(h.after, f) })
}

// AfterCompletion registers f to run once the unit has ended in any way, after
// the hooks of AfterCommit, with the outcome. Otherwise it is as AfterCommit.
func (u *UnitOfWork) AfterCompletion(f func(context.Context, Outcome)) {
	u.register("AfterCompletion", completed, f == nil, func(h *hooks) { h.completion = append(h.completion, f) })
}

// register adds a hook to the innermost base, where statements take effect too.
// A nil hook panics here rather than at the commit.
func (u *UnitOfWork) register(kind string, until phase, isNil bool, add func(*hooks)) {
	if isNil {
		panic("uow: nil hook given to " + kind)
	}
	t := u.unit
	t.state.Lock()
	defer t.state.Unlock()
	if t.phase > until {
		t.core.log().Error("uow: hook registered too late never runs", "hook", kind, "label", t.opts.label)
		return
	}
	add(&t.top.base.hooks)
}

// next returns the i-th hook of a list that may grow meanwhile.
func next[F any](t *unit, list func(*hooks) []F, i int) (f F, ok bool) {
	t.state.Lock()
	defer t.state.Unlock()
	hooks := list(&t.root.hooks)
	if i >= len(hooks) {
		return f, false
	}
	return hooks[i], true
}

func (t *unit) beforeCommit(ctx context.Context) error {
	list := func(h *hooks) []func(context.Context) error { return h.before }
	// A hook that panics must not leave the transaction open.
	returned := false
	defer func() {
		if !returned {
			outcome, _ := t.conclude(ctx, errUnwound)
			t.runAfter(outcome)
		}
	}()
	var veto error
	for i := 0; veto == nil; i++ {
		f, ok := next(t, list, i)
		if !ok {
			break
		}
		veto = f(t.root.ctx)
	}
	returned = true
	return veto
}

// runAfter runs what follows the end of the unit.
func (t *unit) runAfter(outcome Outcome) {
	if outcome == Committed {
		list := func(h *hooks) []func(context.Context) error { return h.after }
		for i := 0; ; i++ {
			f, ok := next(t, list, i)
			if !ok {
				break
			}
			t.guarded("AfterCommit", func() error { return f(t.parent) })
		}
	}
	t.enterPhase(completed)
	list := func(h *hooks) []func(context.Context, Outcome) { return h.completion }
	for i := 0; ; i++ {
		f, ok := next(t, list, i)
		if !ok {
			break
		}
		t.guarded("AfterCompletion", func() error { f(t.parent, outcome); return nil })
	}
	t.enterPhase(over)
}

func (t *unit) enterPhase(p phase) {
	t.state.Lock()
	defer t.state.Unlock()
	t.phase = p
}

// guarded runs one hook so that its failure reaches the log and nothing else.
func (t *unit) guarded(kind string, f func() error) {
	var err error
	returned := false
	defer func() {
		if !returned {
			err = fmt.Errorf("panic: %v", recover())
		}
		if err != nil {
			t.core.log().Error("uow: hook failed", "hook", kind, "label", t.opts.label, slog.Any("error", err))
		}
	}()
	err = f()
	returned = true
}

package uow

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

// Scope is a unit, or a share in one, whose end the caller writes:
//
//	ctx, scope, err := m.Begin(ctx)
//	if err != nil {
//		return err
//	}
//	defer scope.Close()
//	… scope.ExecContext(ctx, …) …
//	return scope.Commit(ctx)
//
// It may be begun on one goroutine and ended on another.
type Scope struct {
	*UnitOfWork
	cancel  context.CancelFunc
	cleanup runtime.Cleanup
}

// leak is what is known of a Scope after nobody can end it any more.
type leak struct {
	scope  *UnitOfWork
	cancel context.CancelFunc
	origin uintptr
}

// Begin opens a scope as Do does, with the same options save Retry, which is
// ErrOptionConflict, and returns a ctx that carries it. A Scope that is never
// closed is found when it is garbage collected, rolled back, and logged with the
// place of its Begin. On error the Scope is nil and ctx is returned as it came.
func (m *Manager) Begin(ctx context.Context, opts ...Option) (context.Context, *Scope, error) {
	s, err := m.settings(opts)
	if err != nil {
		return ctx, nil, err
	}
	if s.set.retry {
		return ctx, nil, fmt.Errorf("%w: Begin cannot run its caller again; use Do with Retry", ErrOptionConflict)
	}
	u, cancel, err := m.open(ctx, &s)
	if err != nil {
		return ctx, nil, err
	}
	scope := &Scope{UnitOfWork: u, cancel: cancel}
	var pcs [1]uintptr
	runtime.Callers(2, pcs[:])
	scope.cleanup = runtime.AddCleanup(scope, (*leak).found, &leak{u, cancel, pcs[0]})
	return u.ctx, scope, nil
}

// Commit ends the scope: the outermost one commits the transaction, an inner
// one votes for it. It returns what Do returns, ErrDone when the scope has ended
// already, and ErrScopeOrder, with nothing done, when a scope opened later is
// still open. Ends of ctx before COMMIT is sent roll back; it does not govern
// COMMIT itself.
func (s *Scope) Commit(ctx context.Context) error {
	err := s.end(ctx, nil, false)
	if !errors.Is(err, ErrScopeOrder) {
		s.finish()
	}
	return err
}

// Close ends the scope without its commit: the outermost one rolls back, an
// inner one votes against the commit, a Nested one undoes its own work. After
// Commit, or a second time, it does nothing and returns nil; so does a nil
// Scope. Always defer it.
//
// It returns the error of a failed rollback, and ErrScopeOrder, with nothing
// done, when it is an inner scope and one opened later is still open. The
// outermost Close ends all that is open and reports ErrScopeOpen.
func (s *Scope) Close() error {
	if s == nil {
		return nil
	}
	err := s.end(context.WithoutCancel(s.ctx), errClosed, s.UnitOfWork == s.unit.root)
	if errors.Is(err, ErrScopeOrder) {
		return err
	}
	s.finish()
	return withoutVote(err)
}

func (s *Scope) finish() {
	s.cleanup.Stop()
	s.cancel()
}

// withoutVote strips what Close itself asked for from an end's error.
func withoutVote(err error) error {
	if err == errClosed || errors.Is(err, ErrDone) {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	var rest []error
	for _, e := range joined.Unwrap() {
		rest = append(rest, withoutVote(e))
	}
	return errors.Join(rest...)
}

// found runs when the garbage collector has found a Scope that was not ended.
func (l *leak) found() {
	if l.scope.isDone() {
		return
	}
	frame, _ := runtime.CallersFrames([]uintptr{l.origin}).Next()
	t := l.scope.unit
	t.core.log().Error("uow: scope was never closed and is rolled back",
		"begun", fmt.Sprintf("%s:%d", frame.File, frame.Line), "label", t.opts.label)
	go func() {
		defer l.cancel()
		_ = l.scope.end(l.scope.ctx, errLeaked, true)
	}()
}

package uow

import (
	"context"
	"sync"
	"time"
)

// shield is a ctx for what must reach the server even if the caller's ctx has
// ended: it keeps the values, for tracing, and ends by its own time limit alone.
// Unlike a context made by WithTimeout it has no timer until somebody asks for
// Done: those who talk to the server only want the deadline.
type shield struct {
	context.Context // whose values it keeps
	deadline        time.Time

	mu       sync.Mutex
	timed    context.Context // nil until it is asked for
	cancel   context.CancelFunc
	released bool
}

// shield makes one. The caller calls release.
func (t *unit) shield(limit time.Duration) *shield {
	return &shield{Context: context.WithoutCancel(t.root.ctx), deadline: time.Now().Add(limit)}
}

// Deadline implements context.Context.
func (s *shield) Deadline() (time.Time, bool) { return s.deadline, true }

// Done implements context.Context.
func (s *shield) Done() <-chan struct{} { return s.timer().Done() }

// Err implements context.Context. It agrees with Done.
func (s *shield) Err() error { return s.timer().Err() }

func (s *shield) timer() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timed == nil {
		s.timed, s.cancel = context.WithDeadline(context.Background(), s.deadline)
	}
	if s.released {
		s.cancel()
	}
	return s.timed
}

// release ends it.
func (s *shield) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.released = true
	if s.cancel != nil {
		s.cancel()
	}
}

package uow

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// RetryPolicy says how often and how fast a unit is run again. Zero fields
// take the defaults told with them.
type RetryPolicy struct {
	Attempts int           // how often the unit is run in all; default 3
	Base     time.Duration // the greatest pause before the second run; default 10 ms. It doubles with every run.
	Max      time.Duration // the greatest pause ever; default 1 s
}

// Retry runs the unit again when IsRetryable says that it may help: a new
// transaction on whatever connection the pool gives, with its locks taken again
// and its hooks forgotten. The function must therefore be safe to run again. It
// works on an outermost Do alone: what is joined or nested in another unit,
// RequiresNew included, runs once, and Begin refuses it with ErrOptionConflict.
//
// Pauses are random up to a bound that doubles. When ctx would end within the
// pause, or after the last run, Do returns the last error wrapped. A negative
// field is ErrInvalid.
func Retry(p RetryPolicy) Option {
	return optionFunc(func(s *settings) error {
		if p.Attempts < 0 || p.Base < 0 || p.Max < 0 {
			return fmt.Errorf("%w: retry policy %+v", ErrInvalid, p)
		}
		if p.Attempts == 0 {
			p.Attempts = 3
		}
		if p.Base == 0 {
			p.Base = 10 * time.Millisecond
		}
		if p.Max == 0 {
			p.Max = time.Second
		}
		s.retry, s.set.retry = &p, true
		return nil
	})
}

// pause returns how long to wait before run number n+1: full jitter over an
// exponential bound.
func (p *RetryPolicy) pause(n int) time.Duration {
	bound := p.Max
	if shift := n - 1; shift < 62 && p.Base <= p.Max>>shift {
		bound = p.Base << shift
	}
	if bound <= 0 {
		return 0
	}
	return rand.N(bound) + 1
}

func (m *Manager) retrying(ctx context.Context, fn Func, s settings) error {
	for n := 1; ; n++ {
		err := m.once(ctx, fn, s)
		if err == nil || !IsRetryable(err) {
			return err
		}
		if n == s.retry.Attempts {
			return fmt.Errorf("uow: gave up after %d attempts: %w", n, err)
		}
		if cause := sleep(ctx, s.retry.pause(n)); cause != nil {
			return fmt.Errorf("uow: gave up after %d attempts (%w): %w", n, cause, err)
		}
	}
}

// sleep returns early, with the cause, when ctx ends or would end meanwhile.
func sleep(ctx context.Context, d time.Duration) error {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return context.DeadlineExceeded
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

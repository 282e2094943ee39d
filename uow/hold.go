package uow

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/lockstep-go/lockstep/dialect"
)

type holdKey struct{}

// hold is a unit that only holds locks, around the function that ctx was given
// to.
type hold struct {
	unit  *unit
	outer *hold
}

// holding returns the innermost hold that ctx carries, of whatever Manager.
func (c *core) holding(ctx context.Context) *hold {
	h, _ := ctx.Value(holdKey{}).(*hold)
	return h
}

// surrounding returns the innermost unit of c that waits for whatever is begun
// with ctx; nil if there is none.
func (c *core) surrounding(ctx context.Context) *unit {
	var around *unit
	if u := c.lookup(ctx); u != nil && !u.isDone() {
		around = u.unit
	}
	for h := c.holding(ctx); h != nil; h = h.outer {
		if h.unit.core == c && h.unit.connected.Load() {
			if around == nil || h.unit.isWithin(around) {
				return h.unit
			}
			return around
		}
	}
	return around
}

// isWithin reports whether around waits for t.
func (t *unit) isWithin(around *unit) bool {
	for t != nil && t != around {
		t = t.around
	}
	return t != nil
}

// HoldLocks runs fn while a unit of its own holds locks and does nothing else.
// Use applock.Hold, which documents it.
func (m *Manager) HoldLocks(ctx context.Context, set LockSet, fn func(context.Context) error) error {
	s, err := m.settings(nil)
	switch {
	case err != nil:
		return err
	case set.Err != nil:
		return set.Err
	case fn == nil:
		return fmt.Errorf("%w: nil function", ErrInvalid)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	// At a stricter level the idle transaction would hold a snapshot, and hold
	// back whatever waits for old ones to end.
	s.isolation, s.readOnly, s.idle = sql.LevelReadCommitted, false, true
	ctx, cancel := s.withTimeout(ctx)
	defer cancel()
	// The unit outlives the end of ctx: it lasts until fn has returned.
	u := m.newUnit(ctx, context.WithoutCancel(ctx), &s)
	if err := u.unit.poll(ctx, canonical(set.Locks)); err != nil {
		err = u.end(u.ctx, err, true)
		var failed *dialect.LockError
		if set.Explain != nil && errors.As(err, &failed) {
			return set.Explain(failed)
		}
		return err
	}
	return u.unit.holdFor(ctx, set, fn)
}

// Between two attempts a hold sleeps: first for pollFirst, then longer each
// time up to pollMost.
const (
	pollFirst = 10 * time.Millisecond
	pollMost  = 500 * time.Millisecond
)

// poll takes the locks without waiting in the server's queue: a statement that
// waits there holds a snapshot, and a holder that builds an index concurrently
// would wait for it. Waiters hold no connection while they sleep.
func (t *unit) poll(ctx context.Context, locks []dialect.Lock) error {
	began := time.Now()
	return t.throughGates(ctx, locks, began, func() error {
		for pause := pollFirst; ; pause = min(pause*3/2, pollMost) {
			err := sinceStart(t.attempt(ctx, locks), locks, began)
			if err == nil {
				return nil
			}
			var refused *dialect.LockError
			again := errors.As(err, &refused) && errors.Is(refused.Err, dialect.LockTimeout)
			if left := time.Duration(0); again {
				left = remaining(refused.Lock.Limit, began)
				again = left != 0 && rest(ctx, pause, left)
			}
			if !again {
				if refused != nil && ctx.Err() != nil {
					refused.Err = context.Cause(ctx)
				}
				return err
			}
		}
	})
}

// attempt begins the transaction with the locks if all are free.
func (t *unit) attempt(ctx context.Context, locks []dialect.Lock) error {
	now := make([]dialect.Lock, len(locks))
	for i, l := range locks {
		l.Limit = 0
		now[i] = l
	}
	_, err := t.connect(ctx, true, func(conn *sql.Conn) (b begun, err error) {
		b.tx, err = t.core.dialect.Begin(ctx, conn, t.request(now, ""))
		return b, err
	})
	return err
}

// rest sleeps for about pause, at most for limit unless that is negative. It
// reports whether ctx is still open.
func rest(ctx context.Context, pause, limit time.Duration) bool {
	pause = pause/2 + rand.N(pause/2+1) // those who wait for one lock must not march in step
	if limit >= 0 {
		pause = min(pause, limit)
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// holdFor runs fn, watches the connection meanwhile, and ends the unit whichever
// way fn ends.
func (t *unit) holdFor(ctx context.Context, set LockSet, fn func(context.Context) error) (err error) {
	h := &hold{unit: t, outer: t.core.holding(ctx)}
	ctx, cancel := context.WithCancelCause(context.WithValue(ctx, holdKey{}, h))
	defer cancel(nil)
	lost := make(chan error, 1)
	explained := func(reason error) error {
		reason = &dialect.Error{Kind: dialect.ConnectionLost, Err: fmt.Errorf("%w: %w", errHoldLost, reason), Poisoned: true}
		if set.Lost != nil {
			return set.Lost(reason)
		}
		return reason
	}
	stop := t.watchFor(func(reason error) {
		select {
		case lost <- explained(reason):
		default: // told already
			return
		}
		t.giveUp(reason)
		cancel(explained(reason))
	})
	defer func() {
		stop()
		// Only an answer to COMMIT tells that the lock was held to the end.
		if ended := t.root.end(t.root.ctx, nil, true); ended != nil {
			// Whether it was committed is nothing to doubt: it wrote nothing.
			var doubt *InDoubtError
			if errors.As(ended, &doubt) {
				ended = doubt.Err
			}
			select {
			case lost <- explained(ended):
			default: // told already
			}
		}
		if len(lost) > 0 {
			err = errors.Join(<-lost, err)
		}
	}()
	return fn(ctx)
}

// giveUp dooms a unit whose connection is of no use any more.
func (t *unit) giveUp(reason error) {
	t.state.Lock()
	defer t.state.Unlock()
	t.root.doom(reason)
}

// errSilent is why a lock is taken for lost when nothing is heard.
var errSilent = errors.New("uow: no sign of life from the server")

// watchFor asks the server for signs of life until stop is called, which waits
// for the last answer. It calls lost, once, when one does not come.
func (t *unit) watchFor(lost func(error)) (stop func()) {
	w := t.opts.watch
	if w.every == 0 {
		w = watch{DefaultWatchEvery, DefaultWatchSilence}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(w.every)
		defer ticker.Stop()
		for {
			select {
			case <-quit:
				return
			case <-ticker.C:
			}
			if err := t.signOfLife(w.silence, lost); err != nil {
				lost(err)
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

// signOfLife runs a statement on the connection. A driver may need longer than
// silence to give it up: lost is called in time.
func (t *unit) signOfLife(silence time.Duration, lost func(error)) error {
	ctx := t.shield(silence)
	defer ctx.release()
	alarm := time.AfterFunc(silence, func() { lost(errSilent) })
	defer alarm.Stop()
	t.wire.Lock()
	defer t.wire.Unlock()
	_, err := t.tx.Exec(ctx, "select 1")
	if err != nil {
		t.discarded = true
	}
	return err
}

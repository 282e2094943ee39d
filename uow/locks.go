package uow

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/internal/gate"
)

// LockSet is a request for named locks, as package applock makes it. Use that
// package: this type is how it reaches a unit.
type LockSet struct {
	Locks []dialect.Lock
	// Err, if not nil, is what is wrong with the request; whoever uses the set
	// reports it.
	Err error
	// Explain turns the failure to get a lock into what the caller sees. Nil
	// leaves it as it is.
	Explain func(*dialect.LockError) error
	// Lost turns the loss of locks that were held into what the caller sees. Nil
	// leaves it as it is.
	Lost func(error) error
}

// Locks declares locks: they are held from before the first statement. Use
// applock.With.
func Locks(set LockSet) Option {
	return optionFunc(func(s *settings) error {
		if set.Err != nil {
			return set.Err
		}
		s.locks.Locks = slices.Concat(s.locks.Locks, set.Locks)
		s.locks.Explain = set.Explain
		return nil
	})
}

// AcquireLocks takes locks in the unit. Use applock.Acquire.
func (u *UnitOfWork) AcquireLocks(ctx context.Context, set LockSet) error {
	if set.Err != nil {
		return set.Err
	}
	if err := u.enter(ctx); err != nil {
		return err
	}
	defer u.leave()
	err := u.unit.acquire(ctx, set.Locks)
	if err == nil {
		u.entangleWork()
	}
	var failed *dialect.LockError
	if set.Explain != nil && errors.As(err, &failed) {
		return set.Explain(failed)
	}
	return err
}

// HeldLock returns the strongest mode in which the unit holds the named lock.
// Use applock.Held.
func (u *UnitOfWork) HeldLock(name string) (dialect.Mode, bool) {
	t := u.unit
	t.state.Lock()
	defer t.state.Unlock()
	if u.ended || t.root.ended {
		return 0, false
	}
	return t.book.mode(name)
}

// acquire takes the locks that the unit does not hold yet. The caller holds wire.
func (t *unit) acquire(ctx context.Context, locks []dialect.Lock) error {
	missing := t.missing(canonical(locks))
	if len(missing) == 0 {
		return nil
	}
	if t.tx == nil && t.flat() {
		return t.lockFailure(ctx, t.start(ctx, missing, ""))
	}
	if err := t.ready(ctx, ""); err != nil {
		return err
	}
	_, err := t.lockedAround(ctx, missing)
	if err == nil {
		err = t.tx.Lock(ctx, missing)
	}
	if err != nil {
		return t.lockFailure(ctx, err)
	}
	for _, l := range missing {
		t.record(l, t.core.gates.Join(l.Name, gate.Mode(l.Mode), t.session(l.Mode)))
	}
	return nil
}

// canonical puts locks into the one order that all units use, so that units
// that declare their locks cannot deadlock, and merges what names one lock.
func canonical(locks []dialect.Lock) []dialect.Lock {
	if len(locks) < 2 {
		return locks
	}
	sorted := slices.SortedStableFunc(slices.Values(locks), func(a, b dialect.Lock) int {
		return cmp.Compare(a.Name, b.Name)
	})
	merged := sorted[:1]
	for _, l := range sorted[1:] {
		last := &merged[len(merged)-1]
		if l.Name != last.Name {
			merged = append(merged, l)
			continue
		}
		last.Mode = max(last.Mode, l.Mode)
		last.Limit = shorter(last.Limit, l.Limit)
	}
	return merged
}

func shorter(a, b time.Duration) time.Duration {
	if a == dialect.Forever || b == dialect.Forever {
		return max(a, b)
	}
	return min(a, b)
}

// missing returns the locks that are not held in the same or a stronger mode.
func (t *unit) missing(locks []dialect.Lock) []dialect.Lock {
	t.state.Lock()
	defer t.state.Unlock()
	if t.book.len() == 0 {
		return locks
	}
	var missing []dialect.Lock
	for _, l := range locks {
		if held, ok := t.book.mode(l.Name); !ok || held < l.Mode {
			missing = append(missing, l)
		}
	}
	return missing
}

// lockFailure treats a failure to get locks. A refused lock leaves the unit as
// usable as it was, save for a deadlock: the other unit goes on only when this
// one rolls back as a whole.
func (t *unit) lockFailure(ctx context.Context, err error) error {
	var refused *dialect.LockError
	if !errors.As(err, &refused) {
		return t.settle(ctx, err)
	}
	refused.Err = describe(ctx, t.core.dialect, refused.Err)
	if t.tx != nil && connectionEnded(refused.Err) {
		return t.settle(ctx, err)
	}
	if t.tx != nil && errors.Is(refused.Err, dialect.Deadlock) {
		t.state.Lock()
		defer t.state.Unlock()
		t.root.doom(refused)
	}
	return err
}

// start begins the transaction with locks: gates, connection, then BEGIN and
// the server's locks in as few round trips as the dialect can. On failure the
// unit is as it was before.
func (t *unit) start(ctx context.Context, locks []dialect.Lock, query string) error {
	began := time.Now()
	return t.throughGates(ctx, locks, began, func() error {
		_, err := t.connect(ctx, len(locks) > 0, func(conn *sql.Conn) (b begun, err error) {
			left := slices.Clone(locks)
			for i := range left {
				left[i].Limit = remaining(left[i].Limit, began)
			}
			b.tx, err = t.core.dialect.Begin(ctx, conn, t.request(left, query))
			return b, err
		})
		return sinceStart(err, locks, began)
	})
}

// throughGates enters the gates of locks, has begin take them from the server, and
// records them. Where begin fails or the driver panics in it, the gates are left.
func (t *unit) throughGates(ctx context.Context, locks []dialect.Lock, began time.Time, begin func() error) error {
	// Before the gates: a unit in line there bars the units around it as well.
	if err := t.suspend(ctx); err != nil {
		return err
	}
	defer func() {
		if t.tx == nil {
			t.unsuspend()
		}
	}()
	passes, err := t.passGates(ctx, locks, began)
	if err != nil {
		return err
	}
	held := false
	defer func() {
		if !held {
			leaveAll(passes)
		}
	}()
	if err := begin(); err != nil {
		return err
	}
	t.granted(locks, passes)
	held = true
	return nil
}

// granted records locks that the server has granted. Where a gate was passed by,
// its pass is nil.
func (t *unit) granted(locks []dialect.Lock, passes []*gate.Pass) {
	for i, l := range locks {
		pass := passes[i]
		if pass == nil {
			pass = t.core.gates.Join(l.Name, gate.Mode(l.Mode), t.session(l.Mode))
		} else {
			pass.Granted(t.session(l.Mode))
		}
		t.record(l, pass)
	}
}

// sinceStart makes a LockError tell the whole wait, the gates' part included,
// and the lock as it was asked for.
func sinceStart(err error, locks []dialect.Lock, began time.Time) error {
	if err == nil {
		return nil // before the variable below is allocated
	}
	var refused *dialect.LockError
	if errors.As(err, &refused) {
		refused.Waited = time.Since(began)
		for _, l := range locks {
			if l.Name == refused.Lock.Name {
				refused.Lock = l
			}
		}
	}
	return err
}

// remaining is what is left of a limit that counts from began.
func remaining(limit time.Duration, began time.Time) time.Duration {
	if limit <= 0 {
		return limit
	}
	return max(0, limit-time.Since(began))
}

func (t *unit) record(l dialect.Lock, pass *gate.Pass) {
	t.state.Lock()
	defer t.state.Unlock()
	t.book.add(l.Name, l.Mode, pass)
}

// session is how this unit is shown to others of its process.
func (t *unit) session(mode dialect.Mode) *dialect.Session {
	s := &dialect.Session{Label: t.opts.label, Mode: mode, Since: time.Now()}
	if tx, ok := t.tx.(dialect.Identified); ok {
		s.ID = tx.Ref().Session
	}
	return s
}

// passGates enters the gate of every lock, in order. A unit inside another that
// holds locks goes straight to the server, whose deadlock detector cannot see
// gates: its passes are nil.
func (t *unit) passGates(ctx context.Context, locks []dialect.Lock, began time.Time) ([]*gate.Pass, error) {
	passes := make([]*gate.Pass, len(locks))
	holds, err := t.lockedAround(ctx, locks)
	if err != nil || holds {
		return passes, err
	}
	for i, l := range locks {
		passes[i], err = t.core.gates.Enter(ctx, gate.Request{
			Name:  l.Name,
			Mode:  gate.Mode(l.Mode),
			Limit: remaining(l.Limit, began),
			Room:  t.core.roomOnDeck,
			Polls: t.opts.idle,
		})
		if err != nil {
			leaveAll(passes)
			return nil, t.gateFailure(ctx, l, began, err)
		}
	}
	return passes, nil
}

// lockedAround reports whether a unit that waits for this one holds locks, and
// refuses one that it would wait for in vain.
func (t *unit) lockedAround(ctx context.Context, locks []dialect.Lock) (bool, error) {
	holds := false
	for _, around := range t.enclosing(ctx) {
		held, err := around.conflict(locks)
		holds = holds || held
		if err != nil {
			return true, err
		}
	}
	return holds, nil
}

// enclosing returns the units that wait for what t does: those around it, and
// those that only hold locks around the call.
func (t *unit) enclosing(ctx context.Context) []*unit {
	var all []*unit
	for around := t.around; around != nil; around = around.around {
		all = append(all, around)
	}
	for h := t.core.holding(ctx); h != nil; h = h.outer {
		if h.unit.core == t.core && !slices.Contains(all, h.unit) {
			all = append(all, h.unit)
		}
	}
	return all
}

// conflict reports whether t holds locks, and refuses those that conflict.
func (t *unit) conflict(locks []dialect.Lock) (holds bool, err error) {
	t.state.Lock()
	defer t.state.Unlock()
	for _, l := range locks {
		if held, ok := t.book.mode(l.Name); ok && !held.Compatible(l.Mode) {
			return true, &dialect.LockError{Lock: l, Holders: t.core.holdersHere(l), Err: &dialect.Error{
				Kind: dialect.Deadlock, Err: errHeldAround,
			}}
		}
	}
	return t.book.len() > 0, nil
}

func leaveAll(passes []*gate.Pass) {
	for _, p := range passes {
		if p != nil {
			p.Leave()
		}
	}
}

// roomOnDeck keeps one connection of the pool free of those who only wait: one
// is the holder's, one would be taken.
func (c *core) roomOnDeck(onDeck int) bool {
	s := c.db.Stats()
	return s.MaxOpenConnections == 0 || max(s.InUse, 1)+onDeck+2 <= s.MaxOpenConnections
}

// gateFailure is the error of a wait that ended before a gate.
func (t *unit) gateFailure(ctx context.Context, l dialect.Lock, began time.Time, err error) error {
	failed := &dialect.LockError{Lock: l, Waited: time.Since(began), Err: err}
	if errors.Is(err, gate.ErrRefused) {
		failed.Err = &dialect.Error{Kind: dialect.LockTimeout}
		failed.Holders = t.core.holders(ctx, l)
	}
	return failed
}

// holders names who holds a lock: from memory if it is a unit of this process,
// else from the server if a connection is to be had without waiting.
func (c *core) holders(ctx context.Context, l dialect.Lock) []dialect.Session {
	sessions := c.holdersHere(l)
	stats := c.db.Stats()
	inspector, ok := c.dialect.(dialect.Inspector)
	if len(sessions) > 0 || !ok || stats.MaxOpenConnections > 0 && stats.InUse >= stats.MaxOpenConnections {
		return sessions
	}
	ctx, cancel := context.WithTimeout(ctx, c.rollbackTimeout)
	defer cancel()
	_ = c.ask(ctx, func(conn *sqlx.Conn) error {
		status, err := inspector.Inspect(ctx, conn.Conn, []string{l.Name})
		for _, s := range status {
			sessions = append(sessions, s.Holders...)
		}
		return err
	})
	return sessions
}

// holdersHere names the units of this process that hold a lock.
func (c *core) holdersHere(l dialect.Lock) []dialect.Session {
	var sessions []dialect.Session
	for _, owner := range c.gates.Holders(l.Name, gate.Mode(l.Mode)) {
		sessions = append(sessions, *owner.(*dialect.Session))
	}
	return sessions
}

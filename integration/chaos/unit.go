package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/uow"
)

// errPlanned is what functions fail with that are meant to.
var errPlanned = errors.New("planned failure")

// unitRun is one unit of work, from its first run to the truth about it.
type unitRun struct {
	*rand.Rand
	w       *worker
	id      string
	kind    unitKind
	level   isolation
	attempt int
	seq     int
	ticks   int
	early   bool     // no statement was sent in this run
	linger  float64  // seconds for which COMMIT lingers
	written []effect // by the present run, without what was undone
	names   []string // locks that it may hold
	hooks   hookSightings
}

func newUnitRun(w *worker, id string) *unitRun {
	r := &unitRun{Rand: newRand(w.Seed, id), w: w, id: id}
	r.kind = pickKind(r.Rand, w.kinds)
	if w.crowds.Load() > 0 && w.crowds.Add(-1) >= 0 {
		r.kind = crowdKind
	}
	levels := w.target.levels(r.kind.reach)
	r.level = levels[r.IntN(len(levels))]
	if r.IntN(10) == 0 {
		r.linger = float64(r.IntN(30)) / 1000
	}
	return r
}

// run runs the unit and writes its history.
func (r *unitRun) run() {
	r.w.history.write(event{What: began, Unit: r.id, Kind: r.kind.name})
	ctx, cancel := context.WithTimeout(context.Background(), unitLimit)
	defer cancel()
	ctx, uncancel := r.mayCancel(ctx)
	err := r.kind.run(r, ctx)
	uncancel()
	r.report(err)
	if errors.Is(err, dialect.Unavailable) {
		time.Sleep(20 * time.Millisecond) // as a caller should
	}
}

// mayCancel gives some units a ctx that ends at a random moment. The fault counts
// if the unit was not over by then.
func (r *unitRun) mayCancel(ctx context.Context) (context.Context, func()) {
	if r.IntN(100) >= r.w.Cancel {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	timer := time.AfterFunc(time.Duration(r.IntN(15000))*time.Microsecond, func() {
		r.w.history.write(event{What: injected, Unit: r.id, Kind: faultCancelContext})
		cancel()
	})
	return ctx, func() { timer.Stop(); cancel() }
}

// do runs the unit's function with what every unit has: a label by which the
// nemesis finds it on the server, the vote, and hooks.
func (r *unitRun) do(ctx context.Context, fn uow.Func, options ...uow.Option) error {
	options = append(options, uow.Label(r.id), uow.Isolation(r.level.level))
	if r.level.readOnly {
		options = append(options, uow.ReadOnly())
	}
	r.hooks = hookSightings{}
	return r.w.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		r.begin(u)
		if err := fn(ctx, u); err != nil {
			return err
		}
		r.vote()
		return nil
	}, options...)
}

// begin makes a new run of the unit.
func (r *unitRun) begin(u *uow.UnitOfWork) {
	r.attempt++
	r.seq, r.written, r.early, r.hooks = 0, nil, true, hookSightings{}
	u.AfterCommit(func(context.Context) error { r.hooks.Commits++; return nil })
	u.AfterCompletion(func(_ context.Context, o uow.Outcome) { r.hooks.Outcome = o.String() })
}

// vote must be written before COMMIT can be sent.
func (r *unitRun) vote() {
	r.w.history.write(event{What: voted, Unit: r.id, Attempt: r.attempt, Effects: r.written})
	if len(r.written) > 0 && r.w.dying.CompareAndSwap(true, false) {
		r.w.die(r.Rand)
	}
}

// report writes the outcome and, after a doubt, the truth.
func (r *unitRun) report(err error) {
	e := event{What: ended, Unit: r.id, Attempt: r.attempt, Hooks: r.hooks, Cause: causeOf(err)}
	var doubt *uow.InDoubtError
	var lost *applock.LostError
	switch {
	case err == nil:
		e.Outcome = dialect.Committed.String()
	case errors.As(err, &lost):
		e.Outcome = dialect.RolledBack.String() // a Hold has nothing to commit
	case errors.As(err, &doubt):
		e.Outcome = dialect.InDoubt.String()
		e.Text = doubt.TransactionID()
	default:
		e.Outcome = dialect.RolledBack.String()
	}
	if err != nil {
		e.Text += " " + err.Error()
	}
	r.w.history.write(e)
	if doubt != nil {
		r.resolve(doubt)
	}
}

// resolve asks until the server can be asked, as a caller should.
func (r *unitRun) resolve(doubt *uow.InDoubtError) {
	ctx, cancel := context.WithTimeout(context.Background(), resolveLimit)
	defer cancel()
	for {
		outcome, err := r.resolveOnce(ctx, doubt)
		if err == nil {
			r.w.history.write(event{What: resolved, Unit: r.id, Outcome: outcome.String(), Text: doubt.TransactionID()})
			return
		}
		if ctx.Err() != nil || errors.Is(err, dialect.Unresolvable) {
			r.w.history.write(event{What: puzzled, Unit: r.id, Cause: causeOf(err), Text: err.Error()})
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (r *unitRun) resolveOnce(ctx context.Context, doubt *uow.InDoubtError) (uow.Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return doubt.Resolve(ctx)
}

// tick asks the server for a tick, as evidence that the unit is inside the locks
// that the library says it holds.
func (r *unitRun) tick(ctx context.Context, u *uow.UnitOfWork) error {
	e := event{What: ticked, Unit: r.id, Attempt: r.attempt, Held: r.holds(u)}
	if r.early {
		r.early = false
		if err := r.tickEarly(e); err != nil {
			return err
		}
		r.pause(ctx)
	}
	if err := u.QueryRowContext(ctx, r.w.target.tick()).Scan(&e.Tick, &e.Epoch); err != nil {
		return err
	}
	r.w.history.write(e)
	r.ticks++
	if r.ticks%3 != 0 || len(e.Held) == 0 {
		return nil
	}
	return r.confirm(ctx, u, e.Held[r.IntN(len(e.Held))])
}

// tickEarly ticks before the unit's first statement, where that can be done.
func (r *unitRun) tickEarly(e event) error {
	target, ok := r.w.target.(clocked)
	if !ok {
		return nil
	}
	var err error
	if e.Tick, e.Epoch, err = target.clock(); err == nil {
		r.w.history.write(e)
	}
	return err
}

// holds lists the locks that the library says the unit holds.
func (r *unitRun) holds(u *uow.UnitOfWork) []heldLock {
	var held []heldLock
	for _, name := range r.names {
		if mode, ok := applock.Held(u, name); ok {
			held = append(held, heldLock{name, mode})
		}
	}
	return held
}

// letGo notes what is still held after a scope was undone.
func (r *unitRun) letGo(u *uow.UnitOfWork) {
	r.w.history.write(event{What: letGo, Unit: r.id, Attempt: r.attempt, Held: r.holds(u)})
}

// confirm asks the server whether this session holds a lock.
func (r *unitRun) confirm(ctx context.Context, u *uow.UnitOfWork, l heldLock) error {
	query, args := r.w.target.held(l.Name, l.Mode)
	if query == "" {
		return nil
	}
	var holds int
	if err := u.GetContext(ctx, &holds, u.Rebind(query), args...); err != nil {
		return err
	}
	if holds == 0 {
		r.breach("the library says that %s is held %v, the server does not", l.Name, l.Mode)
	}
	return nil
}

// breach reports a promise that was seen to be broken.
func (r *unitRun) breach(format string, args ...any) {
	r.w.history.write(event{What: breached, Unit: r.id, Attempt: r.attempt, Text: fmt.Sprintf(format, args...)})
}

// pause lets others run inside a unit.
func (r *unitRun) pause(ctx context.Context) {
	d := time.Duration(r.IntN(1500)) * time.Microsecond
	if r.IntN(40) == 0 {
		d = time.Duration(r.IntN(40)) * time.Millisecond
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// may says what the locks of a unit may be, so that its ticks ask for them.
func (r *unitRun) may(names ...string) {
	for _, name := range names {
		if !slices.Contains(r.names, name) {
			r.names = append(r.names, name)
		}
	}
}

const insertEffect = `insert into effects (unit, attempt, seq, lockname, n, counted, account, delta, linger) values (?, ?, ?, ?, ?, ?, ?, ?, ?)`

// write adds a row for the unit: by a statement, or by a query that yields one.
func (r *unitRun) write(ctx context.Context, u *uow.UnitOfWork, e effect) error {
	r.seq++
	e.Seq = r.seq
	args := []any{r.id, r.attempt, e.Seq, e.Lock, e.N, e.Counted, e.Account, e.Delta, r.linger}
	query := r.w.target.returning(insertEffect, "seq")
	var err error
	if query != "" && r.IntN(4) == 0 {
		var seq int
		err = u.GetContext(ctx, &seq, u.Rebind(query), args...)
	} else {
		_, err = u.ExecContext(ctx, u.Rebind(insertEffect), args...)
	}
	if err == nil {
		r.written = append(r.written, e)
	}
	return err
}

// fence adds the next number of a lock that is held exclusively. Counted numbers
// are counted in a row as well, which lets a unit at a snapshot level fail rather
// than go wrong, so those do without.
func (r *unitRun) fence(ctx context.Context, u *uow.UnitOfWork, name string) error {
	var last, count int64
	if err := r.tick(ctx, u); err != nil {
		return err
	}
	err := u.GetContext(ctx, &last, u.Rebind("select coalesce(max(n), 0) from effects where lockname = ?"), name)
	if err != nil {
		return err
	}
	counted := !r.level.snapshot && name != snapshotLock
	if counted {
		if err := u.GetContext(ctx, &count, u.Rebind("select n from counters where lockname = ?"), name); err != nil {
			return err
		}
	}
	r.pause(ctx)
	if err := r.write(ctx, u, effect{Lock: name, N: last + 1, Counted: counted}); err != nil {
		return err
	}
	if counted {
		if _, err := u.ExecContext(ctx, u.Rebind("update counters set n = ? where lockname = ?"), count+1, name); err != nil {
			return err
		}
	}
	return r.tick(ctx, u)
}

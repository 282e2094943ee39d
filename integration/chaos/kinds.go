package chaos

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/uow"
)

// isolation is a level as a unit may ask for it.
type isolation struct {
	level    sql.IsolationLevel
	snapshot bool // reads from one snapshot
	readOnly bool
}

// unitKind is a way in which a unit uses the library.
type unitKind struct {
	name   string
	weight int
	reach  reach
	run    func(*unitRun, context.Context) error
}

// crowdKind takes more locks than the server has memory for. It runs when the
// nemesis says so.
var crowdKind = unitKind{name: "crowd of locks", run: (*unitRun).crowd}

// kinds are all others.
func kinds() []unitKind {
	return []unitKind{
		{"one lock", 6, declare, (*unitRun).oneLock},
		{"transfer", 4, declare, (*unitRun).transfer},
		{"acquired", 3, plain, (*unitRun).acquired},
		{"nested", 5, plain, (*unitRun).nested},
		{"refused statement", 3, plain, (*unitRun).refused},
		{"requires new", 2, twice, (*unitRun).requiresNew},
		{"shared", 3, read, (*unitRun).shared},
		{"upgrade", 3, plain, (*unitRun).upgrade},
		{"impatient", 3, plain, (*unitRun).impatient},
		{"begin", 2, plain, (*unitRun).explicit},
		{"inner failure", 2, plain, (*unitRun).innerFailure},
		{"held", 1, plain, (*unitRun).held},
		{"snapshot", 3, stale, (*unitRun).snapshot},
	}
}

// kindsOn are those that the target can run: the named one alone, if only is not
// empty.
func kindsOn(t target, only string) []unitKind {
	return slices.DeleteFunc(kinds(), func(k unitKind) bool {
		return len(t.levels(k.reach)) == 0 || only != "" && k.name != only
	})
}

func pickKind(r *rand.Rand, all []unitKind) unitKind {
	total := 0
	for _, k := range all {
		total += k.weight
	}
	at := r.IntN(total)
	for _, k := range all {
		if at -= k.weight; at < 0 {
			return k
		}
	}
	panic("chaos: no unit kind has that weight")
}

// lockName is a name that units fence.
func lockName(n int) string { return fmt.Sprintf("lock:%d", n) }

// accountLock is the lock of an account's balance.
func accountLock(n int) string { return fmt.Sprintf("account:%d", n) }

// anyLock is a name, a third of the time a hot one.
func (r *unitRun) anyLock() string {
	if r.IntN(3) == 0 {
		return lockName(r.IntN(hot))
	}
	return lockName(r.IntN(r.w.Names))
}

// hot is how many names are wanted more than others.
const hot = 4

// twoOf returns two numbers below the number of names, in any order.
func (r *unitRun) twoOf() (int, int) {
	a := r.IntN(r.w.Names)
	return a, (a + 1 + r.IntN(r.w.Names-1)) % r.w.Names
}

// mayRetry is the option of Retry for every other unit.
func (r *unitRun) mayRetry() []uow.Option {
	if r.IntN(2) == 0 {
		return nil
	}
	return []uow.Option{uow.Retry(uow.RetryPolicy{Attempts: 4, Base: 5 * time.Millisecond, Max: 100 * time.Millisecond})}
}

// oneLock reads, changes and writes under one declared lock. Some fail after
// the work is done.
func (r *unitRun) oneLock(ctx context.Context) error {
	name := r.anyLock()
	r.may(name)
	fails := r.IntN(12) == 0
	return r.do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		if err := r.fence(ctx, u, name); err != nil || !fails {
			return err
		}
		return errPlanned
	}, append(r.mayRetry(), applock.With(applock.Exclusive(name)))...)
}

// snapshotLock is wanted by every unit of the kind, so that they wait for each
// other: one whose snapshot is older than its lock then reads an old number.
const snapshotLock = "snapshot"

func (r *unitRun) snapshot(ctx context.Context) error {
	r.may(snapshotLock)
	return r.do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		if err := r.fence(ctx, u, snapshotLock); err != nil {
			return err
		}
		r.pause(ctx)
		return nil
	}, append(r.mayRetry(), applock.With(applock.Exclusive(snapshotLock)))...)
}

// transfer moves between two balances under two declared locks.
func (r *unitRun) transfer(ctx context.Context) error {
	a, b := r.twoOf()
	r.may(accountLock(a), accountLock(b))
	amount := int64(1 + r.IntN(9))
	return r.do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		return r.move(ctx, u, a, b, amount)
	}, append(r.mayRetry(), applock.With(applock.Exclusive(accountLock(a)), applock.Exclusive(accountLock(b))))...)
}

// move reads both balances before it writes either.
func (r *unitRun) move(ctx context.Context, u *uow.UnitOfWork, a, b int, amount int64) error {
	if err := r.tick(ctx, u); err != nil {
		return err
	}
	var from, to int64
	const read = "select balance from accounts where id = ?"
	if err := u.GetContext(ctx, &from, u.Rebind(read), a); err != nil {
		return err
	}
	if err := u.GetContext(ctx, &to, u.Rebind(read), b); err != nil {
		return err
	}
	r.pause(ctx)
	for _, change := range []struct {
		account        int
		balance, delta int64
	}{{a, from - amount, -amount}, {b, to + amount, amount}} {
		if _, err := u.ExecContext(ctx, u.Rebind("update accounts set balance = ? where id = ?"), change.balance, change.account); err != nil {
			return err
		}
		if err := r.write(ctx, u, effect{Account: change.account, Delta: change.delta}); err != nil {
			return err
		}
	}
	return r.tick(ctx, u)
}

// acquired takes two locks one after the other in any order, so that deadlocks
// come about.
func (r *unitRun) acquired(ctx context.Context) error {
	a, b := r.twoOf()
	if r.IntN(3) > 0 {
		a = r.IntN(2)
		b = 1 - a
	}
	r.may(lockName(a), lockName(b))
	return r.do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		for _, name := range []string{lockName(a), lockName(b)} {
			if err := r.acquire(ctx, u, applock.Exclusive(name)); err != nil {
				return err
			}
			if err := r.fence(ctx, u, name); err != nil {
				return err
			}
		}
		return nil
	}, r.mayRetry()...)
}

// acquire takes a lock within the unit, and notes when that ended a deadlock.
func (r *unitRun) acquire(ctx context.Context, u *uow.UnitOfWork, lock applock.Lock) error {
	err := applock.Acquire(ctx, u, lock)
	if errors.Is(err, applock.ErrDeadlock) {
		r.w.history.write(event{What: injected, Unit: r.id, Kind: faultDeadlock})
	}
	return err
}

// shared reads twice what only a holder of the exclusive lock may change. Some of
// those that may not write exclude other readers as well.
func (r *unitRun) shared(ctx context.Context) error {
	name := r.anyLock()
	r.may(name)
	lock := applock.Shared(name)
	if r.level.readOnly && r.IntN(2) == 0 {
		lock = applock.Exclusive(name)
	}
	return r.do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		if err := r.tick(ctx, u); err != nil {
			return err
		}
		var first, second int64
		for _, n := range []*int64{&first, &second} {
			err := u.GetContext(ctx, n, u.Rebind("select coalesce(max(n), 0) from effects where lockname = ?"), name)
			if err != nil {
				return err
			}
			r.pause(ctx)
		}
		if first != second {
			r.breach("%s went from %d to %d under a shared lock", name, first, second)
		}
		return r.tick(ctx, u)
	}, append(r.mayRetry(), applock.With(lock))...)
}

// upgrade reads under a weaker lock and asks for the exclusive one later. From
// Shared that may deadlock.
func (r *unitRun) upgrade(ctx context.Context) error {
	name := r.anyLock()
	r.may(name)
	weaker := applock.Update(name)
	if r.IntN(4) == 0 {
		weaker = applock.Shared(name)
	}
	return r.do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		if err := r.tick(ctx, u); err != nil {
			return err
		}
		r.pause(ctx)
		if err := r.tick(ctx, u); err != nil {
			return err
		}
		if err := r.acquire(ctx, u, applock.Exclusive(name)); err != nil {
			return err
		}
		return r.fence(ctx, u, name)
	}, append(r.mayRetry(), applock.With(weaker))...)
}

// impatient does not wait for its locks, or not for long. A unit that was
// refused by Acquire goes on without.
func (r *unitRun) impatient(ctx context.Context) error {
	name := r.anyLock()
	r.may(name)
	lock := applock.Exclusive(name).NoWait()
	if r.IntN(2) == 0 {
		lock = lock.Wait(time.Duration(1+r.IntN(20)) * time.Millisecond)
	}
	if r.IntN(2) == 0 {
		return r.do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			return r.fence(ctx, u, name)
		}, applock.With(lock))
	}
	return r.do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		if err := r.write(ctx, u, effect{}); err != nil {
			return err
		}
		got, err := r.tryLock(ctx, u, lock)
		if err != nil {
			return err
		}
		if got {
			return r.fence(ctx, u, name)
		}
		return r.write(ctx, u, effect{})
	})
}

func (r *unitRun) tryLock(ctx context.Context, u *uow.UnitOfWork, lock applock.Lock) (bool, error) {
	if r.IntN(2) == 0 {
		return applock.TryAcquire(ctx, u, lock)
	}
	err := r.acquire(ctx, u, lock)
	if errors.Is(err, applock.ErrTimeout) {
		return false, nil
	}
	return err == nil, err
}

// crowd asks for so many locks that the server may have no memory for them. It
// is a fault only if the server says so.
func (r *unitRun) crowd(ctx context.Context) error {
	locks := make([]applock.Lock, r.w.Crowd)
	for i := range locks {
		locks[i] = applock.Shared(fmt.Sprintf("crowd:%s:%d", r.id, i))
	}
	err := r.do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		return r.write(ctx, u, effect{})
	}, applock.With(locks...))
	if errors.Is(err, dialect.OutOfLocks) {
		r.w.history.write(event{What: injected, Unit: r.id, Kind: faultCrowd})
	}
	return err
}

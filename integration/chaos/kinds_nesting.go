package chaos

import (
	"context"
	"errors"
	"runtime"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/uow"
)

// nested opens nested scopes, some of which are undone. What one of them took
// may be taken, and fenced, again after it.
func (r *unitRun) nested(ctx context.Context) error {
	outer, _ := r.twoOf()
	r.may(lockName(outer))
	return r.do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		if err := r.fence(ctx, u, lockName(outer)); err != nil {
			return err
		}
		for range 1 + r.IntN(3) {
			// Names in ascending order, so that deadlocks are rare here.
			name := lockName(outer + r.IntN(r.w.Names-outer))
			r.may(name)
			undone, err := r.nest(ctx, u, name, 1)
			if err != nil {
				return err
			}
			r.pause(ctx)
			if !undone || r.IntN(3) == 0 {
				continue
			}
			if err := r.acquire(ctx, u, applock.Exclusive(name)); err != nil {
				return err
			}
			if err := r.fence(ctx, u, name); err != nil {
				return err
			}
		}
		return nil
	}, append(r.mayRetry(), applock.With(applock.Exclusive(lockName(outer))))...)
}

// nest runs a nested scope that takes a lock, and reports whether it was undone
// with the unit still usable.
func (r *unitRun) nest(ctx context.Context, around *uow.UnitOfWork, name string, depth int) (undone bool, err error) {
	written, fate := len(r.written), r.IntN(4)
	var options []uow.Option
	if r.IntN(2) == 0 {
		options = append(options, applock.With(applock.Exclusive(name)))
	}
	meant := false
	var refusal error
	err = r.w.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		if err := r.acquire(ctx, u, applock.Exclusive(name)); err != nil {
			return err
		}
		if err := r.fence(ctx, u, name); err != nil {
			return err
		}
		if depth < 3 && r.IntN(4) == 0 {
			if _, err := r.nest(ctx, u, name, depth+1); err != nil {
				return err
			}
		}
		switch fate {
		case 0:
			meant = true
			return errPlanned
		case 1:
			meant = true
			refusal = r.beRefused(ctx, u)
		}
		return nil
	}, append(options, uow.Nested())...)
	if err == nil {
		if meant {
			r.breach("a nested scope was kept after a refused statement: %v", refusal)
		}
		return false, nil
	}
	r.written = r.written[:written]
	r.letGo(around)
	if meant && !errors.Is(err, dialect.ConnectionLost) {
		return true, nil
	}
	return true, err
}

// beRefused sends a statement that the server must refuse, swallows the error,
// and writes on, which the library must refuse. It returns what was answered.
func (r *unitRun) beRefused(ctx context.Context, u *uow.UnitOfWork) error {
	_, refusal := u.ExecContext(ctx, "insert into taken values (1)")
	if refusal == nil {
		r.breach("a duplicate key was taken")
	}
	for range 2 {
		err := r.write(ctx, u, effect{})
		if err == nil {
			r.breach("a statement was executed after the transaction had failed: %v", refusal)
		}
		refusal = errors.Join(refusal, err)
	}
	return refusal
}

// refused has a statement refused at top level, swallows the error and writes
// on: nothing of the unit may be committed.
func (r *unitRun) refused(ctx context.Context) error {
	name := r.anyLock()
	r.may(name)
	early := r.IntN(2) == 0
	err := r.do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		if early {
			r.beRefused(ctx, u)
			return nil
		}
		if err := r.fence(ctx, u, name); err != nil {
			return err
		}
		r.beRefused(ctx, u)
		return nil
	}, applock.With(applock.Exclusive(name)))
	if err == nil {
		r.breach("a unit was committed after a refused statement")
	}
	return err
}

// requiresNew runs a unit inside another, which waits for it and may fail after.
func (r *unitRun) requiresNew(ctx context.Context) error {
	outer, _ := r.twoOf()
	a, b := r.twoOf()
	r.may(lockName(outer))
	fails := r.IntN(2) == 0
	return r.do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		if err := r.fence(ctx, u, lockName(outer)); err != nil {
			return err
		}
		inner := newUnitRun(r.w, r.id+"n")
		inner.kind.name, inner.level = "in another", r.level
		inner.may(accountLock(a), accountLock(b))
		r.w.history.write(event{What: began, Unit: inner.id, Kind: inner.kind.name})
		inner.report(inner.do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			return inner.move(ctx, u, a, b, 1)
		}, uow.RequiresNew(), applock.With(applock.Exclusive(accountLock(a)), applock.Exclusive(accountLock(b)))))
		if fails {
			return errPlanned
		}
		return r.tick(ctx, u)
	}, applock.With(applock.Exclusive(lockName(outer))))
}

// innerFailure has a joined function fail, which the function around it swallows;
// or the function panics or ends its goroutine.
func (r *unitRun) innerFailure(ctx context.Context) error {
	name := r.anyLock()
	r.may(name)
	way := r.IntN(3)
	work := func(ctx context.Context, u *uow.UnitOfWork) error {
		if err := r.fence(ctx, u, name); err != nil {
			return err
		}
		r.vote() // what COMMIT, wrongly sent, would write
		switch way {
		case 0:
			panic(errPlanned)
		case 1:
			runtime.Goexit()
		}
		_ = r.w.m.Do(ctx, func(context.Context, *uow.UnitOfWork) error { return errPlanned })
		return nil
	}
	result := make(chan error, 1)
	go func() {
		err := errPlanned
		defer func() {
			if recover() != nil {
				err = errPlanned
			}
			result <- err
		}()
		err = r.do(ctx, work, applock.With(applock.Exclusive(name)))
	}()
	err := <-result
	if err == nil {
		r.breach("a unit was committed although a function of it had failed")
	}
	return err
}

// explicit writes the unit's end by hand; some forget it.
func (r *unitRun) explicit(ctx context.Context) error {
	name := r.anyLock()
	r.may(name)
	forgets := r.IntN(4) == 0
	ctx, scope, err := r.w.m.Begin(ctx, applock.With(applock.Exclusive(name)), uow.Label(r.id))
	if err != nil {
		return err
	}
	r.begin(scope.UnitOfWork)
	err = r.fence(ctx, scope.UnitOfWork, name)
	if err == nil && !forgets {
		r.vote()
		err = scope.Commit(ctx)
		return errors.Join(err, scope.Close())
	}
	return errors.Join(err, errPlanned, scope.Close())
}

// held does work outside the database. Its ticks come over other connections, so
// they are evidence only if Hold says that the lock was held throughout.
func (r *unitRun) held(ctx context.Context) error {
	name := r.anyLock()
	err := applock.Hold(ctx, r.w.m.With(uow.Label(r.id)), func(ctx context.Context) error {
		for range 2 {
			e := event{What: ticked, Unit: r.id, Kind: r.kind.name, Held: []heldLock{{name, dialect.Exclusive}}}
			if err := r.w.db.QueryRowContext(ctx, r.w.target.tick()).Scan(&e.Tick, &e.Epoch); err != nil {
				return err
			}
			r.w.history.write(e)
			r.pause(ctx)
		}
		return nil
	}, applock.Exclusive(name))
	if err == nil {
		r.w.history.write(event{What: heldFully, Unit: r.id})
		r.hooks = hookSightings{Commits: 1, Outcome: uow.Committed.String()}
	}
	return err
}

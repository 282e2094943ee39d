package schedule

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/uow"
)

// limit bounds what a silent network would hold up for ever. After twice as long
// it is reset.
const limit = 250 * time.Millisecond

// errPlanned is what functions return that are made to fail.
var errPlanned = errors.New("planned")

// script is a program: bytes that are read two at a time, what to do and how.
type script struct {
	run  *run
	code []byte
	left int // operations; bounds a program
	rows int // rows so far
}

func (s *script) next() (what, how byte, more bool) {
	if len(s.code) < 2 || s.left == 0 {
		return 0, 0, false
	}
	what, how = s.code[0], s.code[1]
	s.code = s.code[2:]
	s.left--
	return what, how, true
}

// perform runs one outermost unit while the network fails as scheduled, and
// beside it units of another pool for the same lock.
func (r *run) perform(program, schedule []byte) {
	s := &script{run: r, code: program, left: 40}
	var head byte
	if len(program) > 0 {
		head, s.code = program[0], program[1:]
	}
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	r.cancel = cancel
	if head&warm != 0 {
		_ = r.db.PingContext(ctx) // what follows is no longer the login
	}
	faults := r.arm(schedule)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		if head&contended != 0 {
			r.compete()
		}
	}()
	options := []uow.Option{uow.Timeout(2 * r.limit), uow.Label("schedule")}
	if head&locked != 0 {
		options = append(options, applock.With(r.exclusive("a"), applock.Shared(r.name("b"))))
	}
	unit := &result{}
	r.units = append(r.units, unit)
	unit.err = r.m.Do(ctx, s.function(unit), options...)
	faults.disarm()
	<-stopped
}

func (r *run) name(n string) string { return fmt.Sprintf("%s of run %d", n, r.id) }

func (r *run) exclusive(n string) applock.Lock { return applock.Exclusive(r.name(n)) }

// compete counts under the lock, over connections with no fault in their way.
func (r *run) compete() {
	ctx, cancel := context.WithTimeout(r.ctx, 8*limit)
	defer cancel()
	db, err := r.open("")
	if err != nil {
		r.t.Error(err)
		return
	}
	defer db.Close()
	m := uow.New(db, r.dialect)
	for range 3 {
		r.rival = append(r.rival, m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			return r.increment(ctx, u)
		}, applock.With(r.exclusive("a"))))
	}
}

// increment counts in two steps, so that without the lock counts would be lost.
func (r *run) increment(ctx context.Context, u *uow.UnitOfWork) error {
	var n int
	if err := u.GetContext(ctx, &n, fmt.Sprintf("select n from counter where run = %d", r.id)); err != nil {
		return err
	}
	_, err := u.ExecContext(ctx, fmt.Sprintf("update counter set n = %d where run = %d", n+1, r.id))
	return err
}

// function is what the unit runs.
func (s *script) function(unit *result) uow.Func {
	return func(ctx context.Context, u *uow.UnitOfWork) error {
		u.AfterCompletion(func(_ context.Context, outcome uow.Outcome) {
			unit.outcome, unit.told = outcome, true
		})
		return s.scope(ctx, u, &unit.work)
	}
}

// The operations of a program.
const (
	insert = iota
	insertInto
	nested
	joined
	requiresNew
	acquire
	tryAcquire
	count
	read
	refused
	cancelStatement
	cancelUnit
	doom
	prepared
	failHere
	leave
	operations
)

// calm reports that nothing can keep a program's unit from committing: no fault,
// no operation that may fail, and no wait for a lock that is asked for halfway.
func calm(program, schedule []byte) bool {
	if len(schedule) >= 3 || len(program) == 0 {
		return len(schedule) < 3
	}
	halfway := false
	for code := program[1:]; len(code) >= 2; code = code[2:] {
		switch code[0] % operations {
		case acquire, tryAcquire:
			halfway = true
		case insert, insertInto, prepared, nested, joined, count, read, leave:
		default:
			return false
		}
	}
	return !halfway || program[0]&contended == 0
}

// scope runs operations until one of them ends it. What is swallowed of the
// errors depends on the program.
func (s *script) scope(ctx context.Context, u *uow.UnitOfWork, w *work) error {
	for {
		what, how, more := s.next()
		if !more {
			return nil
		}
		var err error
		switch what % operations {
		case leave:
			return nil
		case failHere:
			return errPlanned
		case nested, joined, requiresNew:
			err = s.inner(ctx, what%operations, w)
		default:
			err = s.operate(ctx, u, what%operations, how, w)
		}
		if err != nil && how&swallows == 0 {
			return err
		}
	}
}

func (s *script) inner(ctx context.Context, what byte, w *work) error {
	var own work
	f := func(ctx context.Context, u *uow.UnitOfWork) error { return s.scope(ctx, u, &own) }
	if what == requiresNew {
		unit := &result{}
		s.run.units = append(s.run.units, unit)
		unit.err = s.run.m.Do(ctx, s.function(unit), uow.RequiresNew())
		return unit.err
	}
	options := []uow.Option{uow.Required()}
	if what == nested {
		options[0] = uow.Nested()
	}
	err := s.run.m.Do(ctx, f, options...)
	if err == nil {
		w.add(own)
	}
	return err
}

func (s *script) operate(ctx context.Context, u *uow.UnitOfWork, what, how byte, w *work) (err error) {
	r := s.run
	switch what {
	case insert, insertInto, cancelStatement, prepared:
		return s.insert(ctx, u, what, w)
	case acquire:
		return applock.Acquire(ctx, u, r.lock(how).Wait(r.limit/5))
	case tryAcquire:
		_, err = applock.TryAcquire(ctx, u, r.lock(how))
	case count:
		if mode, _ := applock.Held(u, r.name("a")); mode == applock.ModeExclusive {
			if err = r.increment(ctx, u); err == nil {
				w.increments++
			}
		}
	case read:
		var n int
		err = u.GetContext(ctx, &n, fmt.Sprintf("select count(*) from item where run = %d", r.id))
	case refused:
		_, err = u.ExecContext(ctx, fmt.Sprintf("insert into counter (run, n) values (%d, 1)", r.id))
	case cancelUnit:
		r.cancel()
	case doom:
		u.SetRollbackOnly(errPlanned)
	}
	return err
}

func (r *run) lock(how byte) applock.Lock {
	name := r.name(string(rune('a' + how>>1&1)))
	switch how >> 2 % 3 {
	case 1:
		return applock.Shared(name)
	case 2:
		return applock.Update(name)
	}
	return applock.Exclusive(name)
}

// insert writes a row, which must be there only if nothing was said against it.
func (s *script) insert(ctx context.Context, u *uow.UnitOfWork, what byte, w *work) (err error) {
	s.rows++
	row := s.rows
	text := fmt.Sprintf("insert into item (run, id) values (%d, %d)", s.run.id, row)
	switch what {
	case insertInto:
		_, err = u.ExecContext(ctx, u.Rebind("insert into item (run, id) values (?, ?)"), s.run.id, row)
	case cancelStatement:
		cancelled, cancel := context.WithTimeout(ctx, time.Microsecond)
		defer cancel()
		_, err = u.ExecContext(cancelled, text)
	case prepared:
		stmt, failed := u.PrepareContext(ctx, text)
		if failed != nil {
			return failed
		}
		_, err = stmt.ExecContext(ctx)
		err = errors.Join(err, stmt.Close())
	default:
		_, err = u.ExecContext(ctx, text)
	}
	if err == nil {
		w.rows = append(w.rows, row)
	}
	return err
}

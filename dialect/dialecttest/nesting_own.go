package dialecttest

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/uow"
)

var ownUnitCases = []testCase{
	{"RequiresNew survives the outer's rollback", twoWriters(newSurvives)},
	{"RequiresNew failing leaves the outer alone", twoWriters(newFails)},
	{"RequiresNew has a connection of its own", twoWriters(newHasOwnConnection)},
	{"RequiresNew inside a unit that writes begins, or fails at once where one unit writes at a time", newInsideWriter},
	{"RequiresNew inside a unit that only reads or holds a lock, and inside a writer without a statement", newInsideReader},
	{"RequiresNew with a pool of 1 fails at once", newWithoutConnection},
	{"RequiresNew needs no second connection before the outer's first statement", newBeforeFirstStatement},
	{"RequiresNew too deep for the pool fails at once", twoWriters(newTooDeep)},
	{"RequiresNew inside one without a connection fails at once", newInsideUnconnected},
	{"RequiresNew crosswise on two goroutines: one fails, one goes on", twoWriters(newCrosswise)},
	{"RequiresNew waits for a connection that will come back", twoWriters(newWaits)},
}

var conflictCases = []testCase{
	{"options that an open unit cannot meet conflict", joinConflicts},
	{"options that an open unit meets do not conflict", joinAgrees},
	{"options of Manager.With are asked of a joined unit", derivedConflicts},
	{"options of Defaults are not asked of a joined unit", defaultsDoNotConflict},
	{"contradictions in one list of options conflict", listConflicts},
	{"a later list of options overrides", laterListOverrides},
}

func newSurvives(e *env) {
	err := e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.check(e.insert(ctx, u, 1))
		e.check(e.m.Do(ctx, e.adds(2), uow.RequiresNew()))
		return errWork
	})
	e.wantIs(err, errWork)
	e.wantItems(2)
}

func newFails(e *env) {
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.check(e.insert(ctx, u, 1))
		e.wantIs(e.m.Do(ctx, e.addsThenFails(errWork, 2), uow.RequiresNew()), errWork)
		return e.insert(ctx, u, 3)
	}))
	e.wantItems(1, 3)
}

// newInsideWriter waits for nothing: ctx ends long before a wait to write does.
func newInsideWriter(e *env) {
	_, single := e.h.(SingleWriter)
	want := []int{1, 2, 3, 11, 12, 13}
	if single {
		want = []int{1, 3, 11, 13}
	}
	for i, lock := range [][]uow.Option{nil, {applock.With(applock.Exclusive("inner"))}} {
		e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			e.check(e.insert(ctx, u, 10*i+1))
			err := e.m.Do(ctx, e.adds(10*i+2), append(lock, uow.RequiresNew(), uow.Timeout(patience))...)
			if single {
				e.wantIs(err, applock.ErrDeadlock)
				wantEqual(e, "may be run again", uow.IsRetryable(err), false)
			} else {
				e.check(err)
			}
			return e.insert(ctx, u, 10*i+3)
		}))
	}
	e.wantItems(want...)
}

// newInsideReader is fine where one unit writes at a time: those around the new
// one do not write, or it does not.
func newInsideReader(e *env) {
	count := func(ctx context.Context, u *uow.UnitOfWork) error {
		return u.GetContext(ctx, new(int), "select count(*) from item where id > 2")
	}
	var outer []uow.Option
	if _, single := e.h.(SingleWriter); single {
		outer = append(outer, uow.ReadOnly()) // which not every engine has
	}
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		return errors.Join(count(ctx, u), e.m.Do(ctx, e.adds(1), uow.RequiresNew()))
	}, outer...))
	e.check(e.m.Do(e.ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
		return e.m.Do(ctx, e.adds(2), uow.RequiresNew())
	}, applock.With(applock.Exclusive("outer"))))
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		return errors.Join(e.insert(ctx, u, 3), e.m.Do(ctx, func(context.Context, *uow.UnitOfWork) error {
			return nil // it would wait with its first statement
		}, uow.RequiresNew(), applock.With(applock.Exclusive("inner"))))
	}))
	e.wantItems(1, 2, 3)
}

func newHasOwnConnection(e *env) {
	e.check(e.m.Do(e.ctx, func(ctx context.Context, outer *uow.UnitOfWork) error {
		mine, err := e.connOf(outer)
		e.check(err)
		e.check(e.m.Do(ctx, func(ctx context.Context, inner *uow.UnitOfWork) error {
			own, err := e.connOf(inner)
			if own == mine {
				e.Error("both units have one connection")
			}
			return errors.Join(err, e.m.Do(ctx, e.adds(1), uow.Mandatory()))
		}, uow.RequiresNew()))
		again, err := e.connOf(outer)
		wantEqual(e, "connection", again, mine)
		return err
	}))
	e.wantItems(1)
}

// pooled returns a pool of n connections.
func (e *env) pooled(n int) *sqlx.DB {
	e.Helper()
	db := e.open()
	db.SetMaxOpenConns(n)
	return db
}

func newWithoutConnection(e *env) {
	m := e.manager(e.pooled(1))
	e.check(m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.check(e.insert(ctx, u, 1))
		e.wantIs(m.Do(ctx, e.adds(2), uow.RequiresNew()), uow.ErrPoolExhausted)
		return e.insert(ctx, u, 3)
	}))
	e.wantItems(1, 3)
	e.check(m.Do(e.ctx, e.adds(4)))
	e.wantItems(1, 3, 4)
}

func newBeforeFirstStatement(e *env) {
	m := e.manager(e.pooled(1))
	e.check(m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.check(m.Do(ctx, e.adds(1), uow.RequiresNew()))
		return e.insert(ctx, u, 2)
	}))
	e.wantItems(1, 2)
}

func newTooDeep(e *env) {
	m := e.manager(e.pooled(2))
	e.check(m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.check(e.insert(ctx, u, 1))
		return m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			e.check(e.insert(ctx, u, 2))
			e.wantIs(m.Do(ctx, e.adds(3), uow.RequiresNew()), uow.ErrPoolExhausted)
			return nil
		}, uow.RequiresNew())
	}))
	e.wantItems(1, 2)
}

// newInsideUnconnected has the only connection held two units further out.
func newInsideUnconnected(e *env) {
	m := e.manager(e.pooled(1))
	e.check(m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.check(e.insert(ctx, u, 1))
		return m.Do(ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
			e.wantIs(m.Do(ctx, e.adds(2), uow.RequiresNew()), uow.ErrPoolExhausted)
			return nil
		}, uow.RequiresNew())
	}))
	e.wantItems(1)
}

func newCrosswise(e *env) {
	m := e.manager(e.pooled(2))
	meet := e.meeting(2)
	run := func(id int) <-chan error {
		return start(func() error {
			return m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
				if err := e.insert(ctx, u, id); err != nil {
					return err
				}
				meet() // both hold a connection now
				return m.Do(ctx, e.adds(id+10), uow.RequiresNew())
			})
		})
	}
	one, other := run(1), run(2)
	errs := map[int]error{1: wait(e, "the first", one), 2: wait(e, "the second", other)}
	if errs[1] == nil {
		errs[1], errs[2] = errs[2], errs[1]
		e.wantItems(1, 11)
	} else {
		e.wantItems(2, 12)
	}
	e.wantIs(errs[1], uow.ErrPoolExhausted)
	e.check(errs[2])
}

func newWaits(e *env) {
	db := e.pooled(2)
	m := e.manager(db)
	ctx, stranger, err := m.Begin(e.ctx)
	e.check(err)
	defer stranger.Close()
	e.check(e.insert(ctx, stranger, 1))
	done := start(func() error {
		return m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			return errors.Join(e.insert(ctx, u, 2), m.Do(ctx, e.adds(3), uow.RequiresNew()))
		})
	})
	e.eventually("a wait for the pool", func() bool { return db.Stats().WaitCount > 0 })
	e.check(stranger.Commit(ctx))
	e.check(wait(e, "the unit", done))
	e.wantItems(1, 2, 3)
}

// wantRefused asks for scopes that must be refused without harm to the unit
// around them.
func (e *env) wantRefused(ctx context.Context, m *uow.Manager, opts ...uow.Option) {
	e.Helper()
	e.wantIs(m.Do(ctx, e.adds(99), opts...), uow.ErrOptionConflict)
	same, scope, err := m.Begin(ctx, opts...)
	e.wantIs(err, uow.ErrOptionConflict)
	if scope != nil || same != ctx {
		e.Error("a refused Begin returned something")
	}
}

func joinConflicts(e *env) {
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		for _, option := range []uow.Option{uow.Isolation(sql.LevelSerializable), uow.ReadOnly()} {
			e.wantRefused(ctx, e.m, option)
			e.wantRefused(ctx, e.m, option, uow.Nested())
			e.wantRefused(ctx, e.m, option, uow.Mandatory())
		}
		return e.insert(ctx, u, 1)
	}))
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.wantRefused(ctx, e.m, uow.Isolation(sql.LevelReadCommitted))
		e.check(e.m.Do(ctx, e.adds(2), uow.RequiresNew(), uow.Isolation(sql.LevelReadCommitted)))
		return e.insert(ctx, u, 3)
	}, uow.Isolation(sql.LevelSerializable)))
	e.wantItems(1, 2, 3)
}

func joinAgrees(e *env) {
	level := uow.Isolation(sql.LevelSerializable)
	e.check(e.m.Do(e.ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
		return errors.Join(e.m.Do(ctx, e.adds(1), level), e.m.Do(ctx, e.adds(2), uow.Nested()))
	}, level))
	e.check(e.m.Do(e.ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
		return e.m.Do(ctx, nothing, uow.ReadOnly())
	}, uow.ReadOnly()))
	e.wantItems(1, 2)
}

func derivedConflicts(e *env) {
	serializable := e.m.With(uow.Isolation(sql.LevelSerializable))
	reading := e.m.With(uow.ReadOnly()).With(uow.Label("reader"))
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.wantRefused(ctx, serializable)
		e.wantRefused(ctx, reading)
		e.wantRefused(ctx, reading, uow.Nested())
		return e.insert(ctx, u, 1)
	}))
	e.check(serializable.Do(e.ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
		return serializable.Do(ctx, e.adds(2), uow.Mandatory())
	}))
	e.wantItems(1, 2)
}

func defaultsDoNotConflict(e *env) {
	m := e.manager(e.db, uow.Defaults(uow.Isolation(sql.LevelSerializable)))
	e.check(m.Do(e.ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
		return m.Do(ctx, e.adds(1))
	}, uow.Isolation(sql.LevelReadCommitted)))
	e.wantItems(1)
}

func listConflicts(e *env) {
	for _, list := range [][]uow.Option{
		{uow.Isolation(sql.LevelSerializable), uow.Isolation(sql.LevelReadCommitted)},
		{uow.Isolation(sql.LevelDefault), uow.Isolation(sql.LevelReadCommitted)},
		{uow.Required(), uow.Nested()},
		{uow.RequiresNew(), uow.Mandatory()},
		{uow.Never(), uow.Required()},
		{uow.Timeout(time.Hour), uow.Timeout(time.Minute)},
		{uow.Label("a"), uow.Label("b")},
	} {
		e.wantRefused(e.ctx, e.m, list...)
		e.wantIs(e.m.With(list...).Do(e.ctx, e.adds(99)), uow.ErrOptionConflict)
		e.wantIs(e.manager(e.db, uow.Defaults(list...)).Do(e.ctx, e.adds(99)), uow.ErrOptionConflict)
		e.check(e.m.Do(e.ctx, nothing, list[0], list[0]))
	}
	_, _, err := e.m.Begin(e.ctx, uow.Retry(uow.RetryPolicy{}))
	e.wantIs(err, uow.ErrOptionConflict)
	e.wantItems()
}

func laterListOverrides(e *env) {
	m := e.manager(e.db, uow.Defaults(uow.Timeout(time.Nanosecond), uow.Label("a"), uow.Never()))
	late := uow.Timeout(time.Hour)
	e.check(m.Do(e.ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
		return m.With(late, uow.Required()).Do(ctx, e.adds(1))
	}, late, uow.Label("b")))
	e.wantItems(1)
}

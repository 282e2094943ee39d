package dialecttest

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/internal/faultproxy"
	"github.com/lockstep-go/lockstep/uow"
)

var lazyCases = []testCase{
	{"an empty unit sends nothing and takes no connection", emptySendsNothing},
	{"round trips are within the budget", roundTripBudget},
}

func emptySendsNothing(e *env) {
	asked, db := e.traced()
	m := e.manager(db)
	var r record
	nest := func(ctx context.Context, u *uow.UnitOfWork) error {
		r.register(u, "empty")
		e.check(m.Do(ctx, nothing))
		e.check(m.Do(ctx, nothing, uow.Nested()))
		e.wantIs(m.Do(ctx, func(context.Context, *uow.UnitOfWork) error { return errWork }, uow.Nested()), errWork)
		return m.Do(ctx, nothing, uow.RequiresNew(), uow.Isolation(sql.LevelSerializable), uow.ReadOnly())
	}
	e.check(m.Do(e.ctx, nest))
	ctx, scope, err := m.Begin(e.ctx)
	e.check(err)
	e.check(scope.Commit(ctx))
	_, scope, err = m.Begin(e.ctx)
	e.check(err)
	e.check(scope.Close())
	e.wantIs(m.Do(e.ctx, func(context.Context, *uow.UnitOfWork) error { return errWork }), errWork)
	wantSlice(e, "hooks", r, "empty before", "empty after", "empty: committed")
	wantEqual(e, "statements, bytes or connections", asked(), 0)
	wantEqual(e, "connections of the pool", db.Stats().OpenConnections, 0)
}

// budgetedUnit is a unit whose round trips are counted.
type budgetedUnit struct {
	name string // as in Budget
	fn   uow.Func
	opts []uow.Option
}

// bumps is work of n statements.
func (e *env) bumps(n int) uow.Func {
	return func(ctx context.Context, u *uow.UnitOfWork) error {
		for range n {
			if err := e.bump(ctx, u, 1); err != nil {
				return err
			}
		}
		return nil
	}
}

// reads is work of n queries.
func (e *env) reads(n int) uow.Func {
	return func(ctx context.Context, u *uow.UnitOfWork) error {
		for range n {
			if err := u.GetContext(ctx, new(int), "select n from item where id = 1"); err != nil {
				return err
			}
		}
		return nil
	}
}

func (e *env) budgetedUnits() []budgetedUnit {
	one := applock.Exclusive("a")
	declared := applock.With(one)
	several := applock.With(applock.Shared("c"), one, applock.Update("b"))
	waiting := applock.With(one.Wait(time.Minute), applock.Shared("b").Wait(time.Hour))
	impatient := applock.With(one.NoWait(), applock.Shared("b").NoWait())
	repeatable, serializable := uow.Isolation(sql.LevelRepeatableRead), uow.Isolation(sql.LevelSerializable)
	again := func(ctx context.Context, u *uow.UnitOfWork) error {
		if err := applock.Acquire(ctx, u, one, applock.Shared("a")); err != nil {
			return err
		}
		return e.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			return second(applock.TryAcquire(ctx, u, one))
		})
	}
	return []budgetedUnit{
		{"empty", nothing, nil},
		{"one statement", e.bumps(1), nil},
		{"one statement, labelled", e.bumps(1), []uow.Option{uow.Label("budget")}},
		{"one statement, serializable", e.bumps(1), []uow.Option{serializable}},
		{"three statements", e.bumps(3), nil},
		{"one query", e.reads(1), nil},
		{"one lock", nothing, []uow.Option{declared}},
		{"one lock and three statements", e.bumps(3), []uow.Option{declared}},
		{"one lock and three queries", e.reads(3), []uow.Option{declared}},
		{"one lock, acquired again", again, []uow.Option{declared}},
		{"several locks", nothing, []uow.Option{several}},
		{"several locks and three statements", e.bumps(3), []uow.Option{several}},
		{"locks with a wait limit and one statement", e.bumps(1), []uow.Option{waiting}},
		{"locks without waiting and one statement", e.bumps(1), []uow.Option{impatient}},
		{"several locks, repeatable read, and one statement", e.bumps(1), []uow.Option{several, repeatable}},
		{"several locks, serializable, and one statement", e.bumps(1), []uow.Option{several, serializable}},
		{"locks with a wait limit, serializable, and one statement", e.bumps(1), []uow.Option{waiting, serializable}},
	}
}

func roundTripBudget(e *env) {
	budget := ability[Budget](e).RoundTrips()
	if budget == nil {
		e.Skip("the harness has no budget")
	}
	e.store(1)
	for _, unit := range e.budgetedUnits() {
		want, ok := budget[unit.name]
		if !ok {
			e.Errorf("no budget for %q", unit.name)
			continue
		}
		proxy, db := e.proxied()
		db.SetMaxOpenConns(1)
		if got := e.countRoundTrips(proxy, db, unit); got != want {
			e.Errorf("%s: %d round trips, want %d: %s", unit.name, got, want, strings.Join(proxy.Statements(), " | "))
		}
	}
}

// countRoundTrips runs a unit on a warm connection. It takes the least of
// several runs: a driver may ask a connection that was idle for a while whether
// it is still alive.
func (e *env) countRoundTrips(proxy *faultproxy.Proxy, db *sqlx.DB, unit budgetedUnit) int {
	e.Helper()
	m := e.manager(db)
	e.m = m // the unit's inner scopes join
	e.check(m.Do(e.ctx, unit.fn, unit.opts...))
	least := -1
	for range 3 {
		proxy.Reset()
		e.check(m.Do(e.ctx, unit.fn, unit.opts...))
		if n := proxy.RoundTrips(); least < 0 || n < least {
			least = n
		}
	}
	return least
}

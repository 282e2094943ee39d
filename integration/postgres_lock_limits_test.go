package integration

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/uow"
)

// limitNames are the settings that end waits and statements; limitValues are
// printed in forms that no one parses alike.
var (
	limitNames  = []string{"lock_timeout", "statement_timeout"}
	limitValues = []string{"5s", "1min", "1d", "0", "90061ms"}
)

// TestLimitsKept has locks granted, refused and timed out in sessions with
// limits of their own, and looks at these after each.
func TestLimitsKept(t *testing.T) {
	for _, name := range limitNames {
		for _, value := range limitValues {
			t.Run(name+"="+value, func(t *testing.T) {
				l := newLab(t, name+" = ''"+value+"''")
				l.watch.do("select pg_advisory_lock(" + fmt.Sprint(vectors["a"]) + ")")
				m := l.pool(1, "")
				want := l.setting(m.DB(), name)
				for _, level := range anyLevel {
					l.limitKeptDeclared(m, name, want, uow.Isolation(level))
				}
				l.limitKeptAcquired(m, name, want)
			})
		}
	}
}

// freeLocks are granted while a is held outside, barredLocks are not.
var (
	freeLocks = [][]applock.Lock{
		{applock.Exclusive("f")}, {applock.Update("f").Wait(time.Minute)}, {applock.Shared("f").NoWait()},
		{applock.Exclusive("f").Wait(time.Second), applock.Shared("g"), applock.Update("h").NoWait()},
	}
	barredLocks = [][]applock.Lock{
		{exclusive.NoWait()}, {exclusive.Wait(shortWait)}, {applock.Update("a").Wait(shortWait)},
		{applock.Exclusive("f"), applock.Shared("a").NoWait()},
	}
)

func (l *lab) limitKeptDeclared(m *uow.Manager, name, want string, level uow.Option) {
	l.Helper()
	look := func(_ context.Context, u *uow.UnitOfWork) error {
		l.wantSetting(u, name, want)
		return nil
	}
	for _, locks := range freeLocks {
		l.check(m.Do(l.ctx, look, applock.With(locks...), level))
		l.wantPooled(m, name, want)
	}
	for _, locks := range barredLocks {
		l.wantIs(m.Do(l.ctx, look, applock.With(locks...), level), applock.ErrTimeout)
		l.wantPooled(m, name, want)
	}
}

// limitKeptAcquired looks after locks taken late, beside a limit of the unit's
// own.
func (l *lab) limitKeptAcquired(m *uow.Manager, name, want string) {
	l.Helper()
	for _, local := range []string{"", "7s"} {
		l.check(m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			inUnit := want
			if local != "" {
				_, err := u.ExecContext(ctx, "set local "+name+" = '"+local+"'")
				l.check(err)
				inUnit = local
			}
			for _, locks := range freeLocks {
				l.check(applock.Acquire(ctx, u, locks...))
				l.wantSetting(u, name, inUnit)
			}
			for _, locks := range barredLocks {
				l.wantIs(applock.Acquire(ctx, u, locks...), applock.ErrTimeout)
				l.wantSetting(u, name, inUnit)
			}
			return nil
		}))
		l.wantPooled(m, name, want)
	}
}

func (l *lab) wantSetting(u *uow.UnitOfWork, name, want string) {
	l.Helper()
	if got := l.setting(u, name); got != want {
		l.Errorf("%s is %s in the unit, want %s", name, got, want)
	}
}

// wantPooled looks at the connection of a pool of one.
func (l *lab) wantPooled(m *uow.Manager, name, want string) {
	l.Helper()
	if got := l.setting(m.DB(), name); got != want {
		l.Errorf("%s is %s after the unit, want %s", name, got, want)
	}
}

// TestLimitsKeptAfterCancel has a wait cancelled in a unit that goes on.
func TestLimitsKeptAfterCancel(t *testing.T) {
	l := newLab(t, "lock_timeout = ''1min''")
	l.watch.do("select pg_advisory_lock(" + fmt.Sprint(vectors["a"]) + ")")
	m := l.pool(1, "")
	unit := l.hold(m)
	l.cancelAcquire(unit, applock.Update("f"), exclusive)
	l.wantSetting(unit.UnitOfWork, "lock_timeout", "1min")
	l.wantSetting(unit.UnitOfWork, "statement_timeout", "0")
	l.commit(unit)
	l.wantPooled(m, "lock_timeout", "1min")
}

// cancelAcquire has an acquire wait in the server's queue and cancels it.
func (l *lab) cancelAcquire(unit *uow.Scope, locks ...applock.Lock) {
	l.Helper()
	ctx, cancel := context.WithCancelCause(l.ctx)
	waiting := l.start(func() error { return applock.Acquire(ctx, unit.UnitOfWork, locks...) })
	l.watch.until(waiters, "1")
	cancel(errEnough)
	l.wantIs(l.ended(waiting), errEnough)
	l.watch.until(waiters, "0")
}

// tightLimit is a limit that the waits of the tests below outlast. It leaves all
// other statements of a session time enough on a busy machine.
const tightLimit = "2s"

// TestLimitsDoNotEndWaits has every kind of wait outlast the session's limits.
func TestLimitsDoNotEndWaits(t *testing.T) {
	for _, name := range limitNames {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, name+" = ''"+tightLimit+"''")
			var declared, acquired []func() error
			for _, level := range anyLevel {
				for _, lock := range []applock.Lock{applock.Shared("a"), applock.Update("a"), exclusive.Wait(time.Minute)} {
					m := l.pool(1, "")
					declared = append(declared, func() error {
						return m.Do(l.ctx, exec("select 1"), applock.With(lock), uow.Isolation(level))
					})
				}
			}
			l.outlast(declared...)
			l.outlast(declared...) // now the connections are known
			for _, locks := range [][]applock.Lock{{applock.Update("a")}, {applock.Exclusive("b"), exclusive.Wait(time.Minute)}} {
				unit := l.hold(l.pool(1, ""))
				acquired = append(acquired, func() error {
					err := applock.Acquire(l.ctx, unit.UnitOfWork, locks...)
					return errors.Join(err, unit.Commit(l.ctx))
				})
			}
			l.outlast(acquired...)
		})
	}
}

// outlast has all wait for lock a longer than tightLimit, and succeed.
func (l *lab) outlast(all ...func() error) {
	l.Helper()
	key := fmt.Sprint(vectors["a"])
	l.watch.do("select pg_advisory_lock(" + key + ")")
	var waiting []<-chan error
	for _, f := range all {
		waiting = append(waiting, l.start(func() error {
			err := f()
			if err != nil {
				l.Errorf("unexpected error: %v", err)
			}
			return err
		}))
	}
	l.watch.until("select count(*) from pg_locks k join pg_stat_activity a using (pid) where k.locktype='advisory' and not k.granted "+
		"and k.database="+ourDatabase+" and clock_timestamp()-a.query_start>interval '"+tightLimit+"'*1.2", fmt.Sprint(len(all)))
	l.watch.do("select pg_advisory_unlock(" + key + ")")
	for _, done := range waiting {
		_ = l.ended(done)
	}
}

// TestLimitsSetMeanwhile has an earlier unit change its session for good, after
// the library has come to know the connection.
func TestLimitsSetMeanwhile(t *testing.T) {
	for _, name := range limitNames {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			m := l.pool(1, "")
			l.check(m.Do(l.ctx, increment, lockA))
			l.check(m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
				_, err := u.ExecContext(ctx, "set "+name+" = '"+tightLimit+"'")
				return err
			}))
			l.outlast(func() error { return m.Do(l.ctx, increment, lockA) })
			l.wantPooled(m, name, tightLimit)
		})
	}
}

// TestLimitsInUnit has a unit limit its own statements before it asks for a lock.
func TestLimitsInUnit(t *testing.T) {
	l := newLab(t)
	unit := l.hold(l.pool(1, ""), uow.Isolation(sql.LevelReadCommitted))
	_, err := unit.ExecContext(l.ctx, "set local lock_timeout = '"+tightLimit+"'; set local statement_timeout = '"+tightLimit+"'")
	l.check(err)
	l.outlast(func() error { return applock.Acquire(l.ctx, unit.UnitOfWork, exclusive) })
	l.wantSetting(unit.UnitOfWork, "lock_timeout", tightLimit)
	l.wantSetting(unit.UnitOfWork, "statement_timeout", tightLimit)
	l.commit(unit)
}

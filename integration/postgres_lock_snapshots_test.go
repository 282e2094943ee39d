package integration

import (
	"context"
	"database/sql"
	"fmt"
	"testing"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect/postgres"
	"github.com/lockstep-go/lockstep/uow"
)

var snapshotLevels = []sql.IsolationLevel{sql.LevelRepeatableRead, sql.LevelSnapshot, sql.LevelSerializable}

// wantSnapshotTaken checks that a unit gets no lock any more, and goes on.
func (l *lab) wantSnapshotTaken(u *uow.UnitOfWork) {
	l.Helper()
	for _, lock := range []applock.Lock{exclusive, exclusive.NoWait(), applock.Shared("a"), applock.Update("a").Wait(shortWait)} {
		l.wantIs(applock.Acquire(l.ctx, u, lock), applock.ErrSnapshotTaken)
		_, err := applock.TryAcquire(l.ctx, u, lock)
		l.wantIs(err, applock.ErrSnapshotTaken)
	}
	if _, ok := applock.Held(u, "a"); ok {
		l.Error("a refused lock is held")
	}
	l.watch.wants(held, "0")
	l.check(increment(l.ctx, u))
}

func TestSnapshotTaken(t *testing.T) {
	l := newLab(t)
	m := l.pool(1, "")
	for _, level := range snapshotLevels {
		for _, reads := range []bool{false, true} {
			unit := l.hold(m, uow.Isolation(level))
			if reads {
				l.check(increment(l.ctx, unit.UnitOfWork))
			} else {
				_, err := unit.ExecContext(l.ctx, "set local work_mem = '1MB'")
				l.check(err)
			}
			l.wantSnapshotTaken(unit.UnitOfWork)
			l.commit(unit)
		}
	}
}

// TestSnapshotTakenBesideLocks allows what is held already, and nothing more.
func TestSnapshotTakenBesideLocks(t *testing.T) {
	l := newLab(t)
	unit := l.hold(l.pool(1, ""), lockA, uow.Isolation(sql.LevelSerializable))
	l.check(applock.Acquire(l.ctx, unit.UnitOfWork, applock.Shared("a")))
	l.wantIs(applock.Acquire(l.ctx, unit.UnitOfWork, exclusive, applock.Shared("b")), applock.ErrSnapshotTaken)
	l.check(increment(l.ctx, unit.UnitOfWork))
	l.commit(unit)
}

// TestSnapshotSetByStatement has the unit itself change its isolation, which the
// library does not see.
func TestSnapshotSetByStatement(t *testing.T) {
	l := newLab(t)
	m := l.pool(1, "")
	for _, statement := range []string{
		"set transaction isolation level repeatable read", "set transaction isolation level serializable",
		"set transaction_isolation = 'repeatable read'",
	} {
		unit := l.hold(m)
		_, err := unit.ExecContext(l.ctx, statement)
		l.check(err)
		l.wantSnapshotTaken(unit.UnitOfWork)
		l.commit(unit)
	}
}

// TestSnapshotByDefault has the database's own default read from a snapshot.
func TestSnapshotByDefault(t *testing.T) {
	for _, level := range []string{"repeatable read", "serializable"} {
		t.Run(level, func(t *testing.T) {
			l := newLab(t, "default_transaction_isolation = ''"+level+"''")
			m := l.pool(1, "")
			unit := l.hold(m)
			l.check(increment(l.ctx, unit.UnitOfWork))
			l.wantSnapshotTaken(unit.UnitOfWork)
			l.commit(unit)
			l.freshUnderDefault(l.pool(1, ""), m)
			// A level that the unit names itself is what counts.
			unit = l.hold(m, uow.Isolation(sql.LevelReadCommitted))
			l.check(increment(l.ctx, unit.UnitOfWork))
			l.check(applock.Acquire(l.ctx, unit.UnitOfWork, exclusive))
			l.commit(unit)
			l.watch.wants(held, "0")
		})
	}
}

// freshUnderDefault has declared locks waited for by units whose default
// isolation reads from a snapshot, and read what the holder wrote.
func (l *lab) freshUnderDefault(pools ...*uow.Manager) {
	l.Helper()
	for _, waits := range pools {
		for _, lock := range []applock.Lock{exclusive, applock.Update("a"), exclusive} {
			holder := l.hold(l.pool(1, ""), lockA, uow.Isolation(sql.LevelReadCommitted))
			waiting := l.startUnit(waits, applock.With(lock))
			l.watch.until(waiters, "1")
			l.check(increment(l.ctx, holder.UnitOfWork))
			l.commit(holder)
			l.check(l.ended(waiting))
		}
		unit := l.hold(waits, lockA)
		l.wantSetting(unit.UnitOfWork, "transaction_isolation", l.setting(unit, "default_transaction_isolation"))
		l.wantIs(applock.Acquire(l.ctx, unit.UnitOfWork, applock.Shared("b")), applock.ErrSnapshotTaken)
		l.commit(unit)
	}
}

// TestSnapshotSetMeanwhile has an earlier unit change its session's default
// after the library has come to know the connection.
func TestSnapshotSetMeanwhile(t *testing.T) {
	l := newLab(t)
	m := l.pool(1, "")
	l.check(m.Do(l.ctx, increment, lockA))
	l.check(m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		_, err := u.ExecContext(ctx, "set session characteristics as transaction isolation level serializable")
		return err
	}))
	l.freshUnderDefault(m)
}

// TestNoSessionLockStays holds a lock in a transaction that reads from a
// snapshot: taking it needs a lock of the session for a moment.
func TestNoSessionLockStays(t *testing.T) {
	l := newLab(t)
	m := l.pool(1, "")
	for _, level := range snapshotLevels {
		for _, lock := range []applock.Lock{applock.Shared("a"), applock.Update("a"), exclusive} {
			l.check(m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
				// Nothing is left to unlock, so the transaction alone holds it.
				l.wantNothingToUnlock(u)
				return nil
			}, applock.With(lock, applock.Exclusive("b")), uow.Isolation(level)))
			l.watch.wants(held, "0")
		}
	}
}

func (l *lab) wantNothingToUnlock(u *uow.UnitOfWork) {
	l.Helper()
	key := postgres.Key("a")
	var unlocked bool
	l.check(u.GetContext(l.ctx, &unlocked, fmt.Sprintf(
		"select pg_advisory_unlock(%[1]d::bigint) or pg_advisory_unlock_shared(%[1]d::bigint) or pg_advisory_unlock(%[2]d,%[3]d)",
		key, int32(key>>32), int32(key))))
	if unlocked {
		l.Error("the session held the lock beside the transaction")
	}
}

package integration

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/dialect/postgres"
	"github.com/lockstep-go/lockstep/integration/servers"
	"github.com/lockstep-go/lockstep/uow"
)

// TestEqualKeys takes two locks of one key in one transaction. No two names are
// known whose keys are equal, so one name stands for both below applock, which
// would have merged them.
func TestEqualKeys(t *testing.T) {
	l := newLab(t)
	m := l.pool(1, "")
	for _, level := range anyLevel {
		for _, limit := range []time.Duration{dialect.Forever, 0, time.Minute} {
			for _, first := range []dialect.Mode{dialect.Shared, dialect.Update, dialect.Exclusive} {
				for _, second := range []dialect.Mode{dialect.Shared, dialect.Update, dialect.Exclusive} {
					locks := []dialect.Lock{{Name: "a", Mode: first, Limit: limit}, {Name: "a", Mode: second, Limit: limit}}
					l.takeTogether(m, dialect.Begin{Isolation: level, Locks: locks})
				}
			}
		}
	}
}

// takeTogether begins with locks of one key, and looks that they bar others as
// the stronger one does, and end with the transaction.
func (l *lab) takeTogether(m *uow.Manager, b dialect.Begin) {
	l.Helper()
	conn, err := m.DB().Conn(l.ctx)
	l.check(err)
	defer conn.Close()
	tx, err := postgres.Dialect().Begin(l.ctx, conn, b)
	l.check(err)
	free := "t"
	if max(b.Locks[0].Mode, b.Locks[1].Mode) == dialect.Exclusive {
		free = "f"
	}
	l.watch.wants(fmt.Sprintf("begin; select pg_try_advisory_xact_lock_shared(%d)", postgres.Key("a")), free)
	l.watch.do("rollback")
	l.watch.wants(fmt.Sprintf("begin; select pg_try_advisory_xact_lock(%d)", postgres.Key("a")), "f")
	l.watch.do("rollback")
	outcome, err := tx.Commit(l.ctx)
	l.check(err)
	if outcome != dialect.Committed {
		l.Errorf("outcome %v", outcome)
	}
	l.watch.wants(held, "0")
}

// TestEqualKeyElsewhere has another program hold the key of a name under a name
// of its own: the unit waits for it, and no more.
func TestEqualKeyElsewhere(t *testing.T) {
	l := newLab(t)
	m := l.pool(2, "")
	key := fmt.Sprint(postgres.Key("a"))
	l.watch.do("begin; select pg_advisory_xact_lock(" + key + ")")
	waiting := l.startUnit(m, lockA)
	other := connectSession(t, l.dsn)
	other.until(waiters, "1")
	l.watch.do("commit")
	l.check(l.ended(waiting))
	l.watch.wants("select n from item", "1")
}

// TestLockMemoryExhausted fills the lock table of a server of its own: every
// locker of a server suffers.
func TestLockMemoryExhausted(t *testing.T) {
	t.Parallel()
	server, err := servers.PostgresFromBinaries(t.Context())
	if err != nil {
		if servers.MaySkip(err) {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	l := &lab{T: t, dsn: server.URL, ctx: t.Context(), watch: connectSession(t, server.URL)}
	l.watch.do("create table item (id int primary key, n int not null); insert into item values (1,0)")
	l.exhaustDeclared()
	l.exhaustAcquired()
}

// tooMany are more locks than the server has room for.
func tooMany() []applock.Lock {
	locks := make([]applock.Lock, 60_000)
	for i := range locks {
		locks[i] = applock.Shared(fmt.Sprint("name-", i))
	}
	return locks
}

func (l *lab) exhaustDeclared() {
	l.Helper()
	m := l.pool(2, "")
	err := m.Do(l.ctx, func(context.Context, *uow.UnitOfWork) error {
		l.Error("the function was called without its locks")
		return nil
	}, applock.With(tooMany()...))
	l.wantIs(err, dialect.OutOfLocks)
	if errors.Is(err, applock.ErrTimeout) || uow.IsRetryable(err) {
		l.Errorf("neither a timeout nor retryable: %v", err)
	}
	l.watch.wants(held, "0")
	l.check(m.Do(l.ctx, increment, lockA))
}

// exhaustAcquired leaves the unit usable, with what it held before.
func (l *lab) exhaustAcquired() {
	l.Helper()
	m := l.pool(2, "")
	unit := l.hold(m, lockA)
	l.wantIs(applock.Acquire(l.ctx, unit.UnitOfWork, tooMany()...), dialect.OutOfLocks)
	l.watch.wants(held, "1")
	l.check(increment(l.ctx, unit.UnitOfWork))
	l.commit(unit)
	l.watch.wants("select n from item", "2")
}

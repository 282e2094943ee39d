package uow

import (
	"context"
	"database/sql"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/internal/noopdb"
	"github.com/lockstep-go/lockstep/internal/pooltest"
)

// failing is a dialect that does not come back from the begin of a transaction, as
// one does not below which a hook of the caller's panics.
type failing struct {
	dialect.Dialect
	fail atomic.Pointer[func()]
}

func (f *failing) Begin(ctx context.Context, conn *sql.Conn, b dialect.Begin) (dialect.Tx, error) {
	if fail := f.fail.Load(); fail != nil {
		(*fail)()
	}
	return f.Dialect.Begin(ctx, conn, b)
}

// gone runs f to its end, however it ends.
func gone(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = recover() }()
		f()
	}()
	<-done
}

// TestBeginThatDoesNotComeBack has nothing left of a unit whose begin panics: no
// connection, nobody inside a gate, nobody who counts as waiting for an inner unit.
func TestBeginThatDoesNotComeBack(t *testing.T) {
	t.Parallel()
	set := exclusively("a")
	nothing := func(context.Context, *UnitOfWork) error { return nil }
	statement := func(ctx context.Context, u *UnitOfWork) error {
		_, err := u.ExecContext(ctx, "select")
		return err
	}
	for name, work := range map[string]func(ctx context.Context, m *Manager) error{
		"without locks":  func(ctx context.Context, m *Manager) error { return m.Do(ctx, statement) },
		"declared locks": func(ctx context.Context, m *Manager) error { return m.Do(ctx, nothing, Locks(set)) },
		"first lock": func(ctx context.Context, m *Manager) error {
			return m.Do(ctx, func(ctx context.Context, u *UnitOfWork) error { return u.AcquireLocks(ctx, set) })
		},
		"held locks": func(ctx context.Context, m *Manager) error {
			return m.HoldLocks(ctx, set, func(context.Context) error { return nil })
		},
		"a scope that is left open": func(ctx context.Context, m *Manager) error {
			_, _, err := m.Begin(ctx, Locks(set))
			return err
		},
	} {
		for how, fail := range map[string]func(){"panic": func() { panic("no") }, "Goexit": runtime.Goexit} {
			t.Run(name+", "+how, func(t *testing.T) {
				t.Parallel()
				db := noopdb.Open(2)
				defer db.Close()
				f := &failing{Dialect: noopdb.Dialect()}
				m := New(db, f)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // a gate that stays shut
				defer cancel()
				err := m.Do(ctx, func(ctx context.Context, u *UnitOfWork) error {
					if err := statement(ctx, u); err != nil {
						return err
					}
					f.fail.Store(&fail)
					gone(func() { t.Error("came back: ", work(Detach(ctx), m)) })
					gone(func() {
						t.Error("came back: ", m.Do(ctx, nothing, RequiresNew(), Locks(set)))
					})
					f.fail.Store(nil)
					if n := len(m.core.suspended.units); n != 0 {
						t.Errorf("%d units count as waiting for inner ones", n)
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
				pooltest.WantAllBack(t, db)
				set := set
				set.Locks = []dialect.Lock{{Name: "a", Mode: dialect.Exclusive}}
				if err := m.Do(t.Context(), nothing, Locks(set)); err != nil {
					t.Errorf("the lock is not to be had: %v", err)
				}
			})
		}
	}
}

// TestScopeThatDoesNotComeBack has the function around recover and go on: the unit
// does not take the inner scope for open, and commits.
func TestScopeThatDoesNotComeBack(t *testing.T) {
	t.Parallel()
	set := exclusively("a")
	fail := func() { panic("no") }
	for _, opts := range [][]Option{{Locks(set)}, {Locks(set), Nested()}} {
		db := noopdb.Open(2)
		f := &failing{Dialect: noopdb.Dialect()}
		m := New(db, f)
		err := m.Do(t.Context(), func(ctx context.Context, u *UnitOfWork) error {
			f.fail.Store(&fail)
			gone(func() {
				t.Error("came back: ", m.Do(ctx, func(context.Context, *UnitOfWork) error { return nil }, opts...))
			})
			f.fail.Store(nil)
			return m.Do(ctx, func(ctx context.Context, u *UnitOfWork) error {
				_, err := u.ExecContext(ctx, "select")
				return err
			})
		})
		if err != nil {
			t.Error(err)
		}
		pooltest.WantAllBack(t, db)
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

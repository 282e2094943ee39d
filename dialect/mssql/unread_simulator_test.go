package mssql_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect/mssql"
	"github.com/lockstep-go/lockstep/internal/tdstest"
	"github.com/lockstep-go/lockstep/internal/tdstest/engine"
	"github.com/lockstep-go/lockstep/uow"
)

// These tests leave goroutines of go-mssqldb behind that wait for themselves, by
// its issue 407: no other package's search for leaks would allow them.

// limit bounds a rollback that the driver would wait for without end.
const limit = 100 * time.Millisecond

// simulated starts a simulator with table item, and two pools on it: one of a
// single connection for units, and one to look on.
func simulated(t *testing.T) (server *tdstest.Server, db, watch *sqlx.DB) {
	t.Helper()
	t.Parallel()
	server, err := tdstest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	pools := make([]*sqlx.DB, 2)
	for i := range pools {
		if pools[i], err = mssql.Open(server.URL("sa", "secret", "master")); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = pools[i].Close() })
	}
	pools[0].SetMaxOpenConns(1)
	if _, err := pools[1].ExecContext(t.Context(), "create table item (id int not null primary key, n int not null)"); err != nil {
		t.Fatal(err)
	}
	return server, pools[0], pools[1]
}

func ask(t *testing.T, db *sqlx.DB, query, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var got string
	if err := db.GetContext(ctx, &got, query); err != nil || got != want && want != "" {
		t.Errorf("%s: %q, %v, want %q", query, got, err, want)
	}
}

// unread are queries that fail with much of their reply unread.
var unread = map[string]struct {
	query string
	fault tdstest.Fault
}{
	"raiserror before many results": {"raiserror('no', 16, 1);" + strings.Repeat("select 1;", 40), tdstest.Fault{}},
	"many tokens after an abort":    {"insert into item select 1/0, 1", tdstest.Fault{Trailing: 40}},
	"many tokens after an error":    {"select broken", tdstest.Fault{Trailing: 40}},
	"few tokens":                    {"insert into item select 1/0, 1", tdstest.Fault{}},
}

// TestSimulatorUnreadReply has a unit roll back with the driver stuck: the slot in
// the pool, the locks and the next user must not suffer.
func TestSimulatorUnreadReply(t *testing.T) {
	for name, c := range unread {
		for _, end := range []string{"", " nested"} {
			t.Run(name+end, func(t *testing.T) {
				server, db, watch := simulated(t)
				server.Inject(tdstest.Match{Text: c.query}, c.fault)
				m := uow.New(db, mssql.Dialect(), uow.RollbackTimeout(limit))
				fail := func(ctx context.Context, u *uow.UnitOfWork) error {
					return u.GetContext(ctx, new(int), c.query)
				}
				err := m.Do(t.Context(), func(ctx context.Context, u *uow.UnitOfWork) error {
					if _, err := u.ExecContext(ctx, "insert into item values (1,1)"); err != nil {
						return err
					}
					if end != "" {
						return m.Do(ctx, fail, uow.Nested())
					}
					return fail(ctx, u)
				}, applock.With(applock.Exclusive("a")))
				if err == nil {
					t.Error("no error")
				}
				if n := db.Stats().InUse; n != 0 {
					t.Errorf("%d connections in use", n)
				}
				ask(t, db, "select @@TRANCOUNT", "0")
				ask(t, watch, "select count(*) from item", "0")
				if err := m.Do(t.Context(), func(context.Context, *uow.UnitOfWork) error { return nil },
					applock.With(applock.Exclusive("a").Wait(10*time.Second))); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestSimulatorUnreadCommit swallows the error: the unit must not commit.
func TestSimulatorUnreadCommit(t *testing.T) {
	_, db, watch := simulated(t)
	m := uow.New(db, mssql.Dialect(), uow.RollbackTimeout(limit))
	err := m.Do(t.Context(), func(ctx context.Context, u *uow.UnitOfWork) error {
		_ = u.GetContext(ctx, new(int), "insert into item values (1,1);"+unread["raiserror before many results"].query)
		return nil
	})
	var unexpected *uow.UnexpectedRollbackError
	if !errors.As(err, &unexpected) {
		t.Errorf("error %v", err)
	}
	ask(t, db, "select @@TRANCOUNT", "0")
	ask(t, watch, "select count(*) from item", "0")
}

// TestSimulatorVanishedUnderAcquire has the unit's transaction end before a lock
// is asked for in it.
func TestSimulatorVanishedUnderAcquire(t *testing.T) {
	server, db, watch := simulated(t)
	m := uow.New(db, mssql.Dialect(), uow.RollbackTimeout(limit))
	server.Inject(tdstest.Match{Text: "sp_getapplock"}, tdstest.Fault{Rollback: true})
	err := m.Do(t.Context(), func(ctx context.Context, u *uow.UnitOfWork) error {
		if _, err := u.ExecContext(ctx, "insert into item values (1,1)"); err != nil {
			return err
		}
		if applock.Acquire(ctx, u, applock.Exclusive("a")) == nil {
			t.Error("acquired")
		}
		_, err := u.ExecContext(ctx, "insert into item values (2,2)")
		return err
	})
	if !errors.Is(err, uow.ErrRollbackOnly) {
		t.Errorf("error %v", err)
	}
	ask(t, db, "select @@TRANCOUNT", "0")
	ask(t, watch, "select count(*) from item", "0")
}

// TestSimulatorRefusedLocks has a lock batch that fails as a whole, with the rest
// of its reply unread.
func TestSimulatorRefusedLocks(t *testing.T) {
	server, db, watch := simulated(t)
	m := uow.New(db, mssql.Dialect(), uow.RollbackTimeout(limit))
	for _, declared := range []bool{true, false} {
		server.Inject(tdstest.Match{Text: "sp_getapplock"}, tdstest.Fault{
			Errors: []engine.Message{{Number: 1204, Class: 19, State: 1, Text: "no memory for locks"}}, Trailing: 3,
		})
		fn := func(ctx context.Context, u *uow.UnitOfWork) error {
			return applock.Acquire(ctx, u, applock.Exclusive("a"))
		}
		var opts []uow.Option
		if declared {
			opts = []uow.Option{applock.With(applock.Exclusive("a"))}
		}
		if err := m.Do(t.Context(), fn, opts...); mssql.Dialect().Classify(err).Error() != "server out of lock memory" {
			t.Errorf("error %v", err)
		}
	}
	ask(t, db, "select @@TRANCOUNT", "0")
	ask(t, watch, "select count(*) from sys.dm_tran_locks where resource_type = 'APPLICATION'", "0")
}

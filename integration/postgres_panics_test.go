package integration

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect/postgres"
	"github.com/lockstep-go/lockstep/integration/servers/serverstest"
	"github.com/lockstep-go/lockstep/uow"
)

// A hook is the caller's code that the driver calls.
type hook struct{ fails atomic.Pointer[func()] }

func (h *hook) call() {
	if fail := h.fails.Load(); fail != nil {
		(*fail)()
	}
}

// gone runs f, which does not come back, to its end.
func gone(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = recover() }()
		f()
		t.Error("came back")
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("hangs")
	}
}

// TestHookThatDoesNotComeBack has a notice's hook panic in the middle of what the
// server answers: nothing of the unit is committed, and nobody gets its connection,
// a pgxpool that has no other included.
func TestHookThatDoesNotComeBack(t *testing.T) {
	t.Parallel()
	add := func(id int) uow.Func {
		return func(ctx context.Context, u *uow.UnitOfWork) error {
			_, err := u.ExecContext(ctx, "insert into item values ($1)", id)
			return err
		}
	}
	for name, open := range map[string]func(t *testing.T, dsn string, h *hook) *sqlx.DB{
		"database/sql": func(t *testing.T, dsn string, h *hook) *sqlx.DB {
			config, err := pgx.ParseConfig(dsn)
			if err != nil {
				t.Fatal(err)
			}
			config.OnNotice = func(*pgconn.PgConn, *pgconn.Notice) { h.call() }
			return sqlx.NewDb(stdlib.OpenDB(*config), "pgx")
		},
		"pgxpool": func(t *testing.T, dsn string, h *hook) *sqlx.DB {
			config, err := pgxpool.ParseConfig(dsn)
			if err != nil {
				t.Fatal(err)
			}
			config.MaxConns = 1
			config.ConnConfig.OnNotice = func(*pgconn.PgConn, *pgconn.Notice) { h.call() }
			return fromPgxpool(t, config)
		},
	} {
		for how, fail := range map[string]func(){"panic": func() { panic("no") }, "Goexit": runtime.Goexit} {
			t.Run(name+", "+how, func(t *testing.T) {
				t.Parallel()
				h := &hook{}
				db := open(t, serverstest.PostgresDatabase(t), h)
				t.Cleanup(func() { _ = db.Close() }) // before that of the pgxpool
				db.SetMaxOpenConns(1)
				db.MustExec(`create table item (id int);
					create function tell() returns trigger language plpgsql as 'begin raise notice ''told''; return new; end';
					create trigger tell before insert on item for each row execute function tell()`)
				m := uow.New(db, postgres.Dialect())
				for i := range 5 { // the first time, and with what is kept prepared
					h.fails.Store(&fail)
					ctx, cancel := context.WithCancel(t.Context())
					gone(t, func() { _ = m.Do(ctx, add(100+i)) })
					gone(t, func() {
						_ = m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
							if _, err := u.ExecContext(ctx, "select 1"); err != nil {
								return err
							}
							return add(200+i)(ctx, u)
						}, applock.With(applock.Exclusive("a")))
					})
					h.fails.Store(nil)
					cancel() // nothing of those who are gone may hear of it
					if err := m.Do(t.Context(), add(i), applock.With(applock.Exclusive("a").Wait(10*time.Second))); err != nil {
						t.Fatal(err)
					}
				}
				var ids []int
				if err := db.Select(&ids, "select id from item order by id"); err != nil || len(ids) != 5 || ids[4] != 4 {
					t.Errorf("items %v, error %v", ids, err)
				}
			})
		}
	}
}

// TestWrapperThatDoesNotComeBack has a driver wrapper panic when the server has
// granted a lock: the session ends, and the lock with it, although database/sql
// waits for the query that panicked without end.
func TestWrapperThatDoesNotComeBack(t *testing.T) {
	t.Parallel()
	dsn := serverstest.PostgresDatabase(t)
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	h := &hook{}
	db := sqlx.NewDb(sql.OpenDB(hookedConnector{wrappingConnector{stdlib.GetConnector(*config)}, h}), "pgx")
	t.Cleanup(func() { _ = db.Close() })
	m := uow.New(db, postgres.Dialect())
	lock := applock.With(applock.Exclusive("a").Wait(10 * time.Second))
	if err := m.Do(t.Context(), nothing, lock); err != nil {
		t.Fatal(err)
	}
	fail := func() { panic("no") }
	h.fails.Store(&fail)
	gone(t, func() { _ = m.Do(t.Context(), nothing, lock) })
	h.fails.Store(nil)
	if err := m.Do(t.Context(), nothing, lock); err != nil {
		t.Errorf("in this process: %v", err)
	}
	other, _ := openPool(t, dsn)
	if err := other.Do(t.Context(), nothing, lock); err != nil {
		t.Errorf("in another: %v", err)
	}
}

type hookedConnector struct {
	wrappingConnector
	hook *hook
}

func (c hookedConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.wrappingConnector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return hookedConn{conn.(wrappedConn), c.hook}, nil
}

// hookedConn calls its hook after each query for a lock.
type hookedConn struct {
	wrappedConn
	hook *hook
}

func (c hookedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.wrappedConn.QueryContext(ctx, query, args)
	if strings.Contains(query, "pg_advisory") {
		c.hook.call()
	}
	return rows, err
}

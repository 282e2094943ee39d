package integration

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/dialect/postgres"
	"github.com/lockstep-go/lockstep/integration/servers"
	"github.com/lockstep-go/lockstep/integration/servers/serverstest"
	"github.com/lockstep-go/lockstep/internal/pooltest"
	"github.com/lockstep-go/lockstep/uow"
)

// Databases that cannot do what is asked say so by a kind, before anything is
// written, and nothing of the pool is kept.

func nothing(context.Context, *uow.UnitOfWork) error { return nil }

// exec is a unit of one statement.
func exec(query string) uow.Func {
	return func(ctx context.Context, u *uow.UnitOfWork) error {
		_, err := u.ExecContext(ctx, query)
		return err
	}
}

func openPool(t *testing.T, dsn string) (*uow.Manager, *sqlx.DB) {
	t.Helper()
	db, err := postgres.Open(dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		pooltest.WantAllBack(t, db)
		_ = db.Close()
	})
	return uow.New(db, postgres.Dialect()), db
}

func wantKind(t *testing.T, err error, kind dialect.Kind) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("error %v, want one that is %q", err, kind)
	}
}

func TestDatabaseDown(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	m, _ := openPool(t, "postgres://nobody@"+address+"/none?sslmode=disable")
	wantKind(t, m.Do(t.Context(), exec("select 1")), dialect.Unavailable)
	wantKind(t, m.Do(t.Context(), nothing, applock.With(applock.Exclusive("a"))), dialect.Unavailable)
	_, err = applock.Inspect(t.Context(), m, "a")
	wantKind(t, err, dialect.Unavailable)
}

func TestDatabaseReadOnly(t *testing.T) {
	t.Parallel()
	dsn := serverstest.PostgresDatabase(t)
	_, admin := openPool(t, dsn)
	admin.MustExec("create table item (id int)")
	admin.MustExec("do $$ begin execute format('alter database %I set default_transaction_read_only = on', current_database()); end $$")
	m, db := openPool(t, dsn)
	wantKind(t, m.Do(t.Context(), exec("insert into item values (1)")), dialect.ReadOnly)
	wantKind(t, m.Do(t.Context(), func(ctx context.Context, u *uow.UnitOfWork) error {
		return u.QueryRowContext(ctx, "insert into item values (1) returning id").Scan(new(int))
	}), dialect.ReadOnly)
	if err := m.Do(t.Context(), nothing, applock.With(applock.Exclusive("a"))); err != nil {
		t.Errorf("locks need no writing: %v", err)
	}
	var n int
	if err := db.Get(&n, "select count(*) from item"); err != nil || n != 0 {
		t.Errorf("%d items, error %v", n, err)
	}
}

func TestStandby(t *testing.T) {
	t.Parallel()
	standby, err := servers.StandbyFromBinaries(t.Context())
	if err != nil {
		if servers.MaySkip(err) {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := standby.Stop(); err != nil {
			t.Error(err)
		}
	})
	m, _ := openPool(t, standby.URL)
	if err := m.Do(t.Context(), exec("select 1")); err != nil {
		t.Errorf("a standby can be read: %v", err)
	}
	wantKind(t, m.Do(t.Context(), exec("create table item (id int)")), dialect.ReadOnly)
	lock := applock.Exclusive("a")
	for _, level := range []sql.IsolationLevel{sql.LevelReadCommitted, sql.LevelRepeatableRead} {
		err := m.Do(t.Context(), nothing, applock.With(lock), uow.Isolation(level))
		wantKind(t, err, dialect.Unsupported)
	}
	err = m.Do(t.Context(), func(ctx context.Context, u *uow.UnitOfWork) error {
		if _, err := u.ExecContext(ctx, "select 1"); err != nil {
			return err
		}
		return applock.Acquire(ctx, u, lock)
	})
	wantKind(t, err, dialect.Unsupported)
}

// TestLocksThatDoNothing stands for engines that speak PostgreSQL's protocol
// and grant every advisory lock.
func TestLocksThatDoNothing(t *testing.T) {
	t.Parallel()
	dsn := serverstest.PostgresDatabase(t)
	_, admin := openPool(t, dsn)
	for _, name := range []string{"pg_advisory_xact_lock", "pg_advisory_lock", "pg_advisory_unlock"} {
		returns, body := "void", "select"
		if name == "pg_advisory_unlock" {
			returns, body = "boolean", "select true"
		}
		_, err := admin.Exec("set allow_system_table_mods = on;" +
			"alter function pg_catalog." + name + "(bigint) rename to real_" + name + ";" +
			"create function pg_catalog." + name + "(bigint) returns " + returns + " language sql as '" + body + "'")
		if err != nil {
			t.Skipf("the role may not replace functions of the server: %v", err)
		}
	}
	m, _ := openPool(t, dsn)
	for _, level := range []sql.IsolationLevel{sql.LevelDefault, sql.LevelSerializable} {
		err := m.Do(t.Context(), nothing, applock.With(applock.Exclusive("a")), uow.Isolation(level))
		wantKind(t, err, dialect.Unsupported)
	}
}

func TestUnknownIsolation(t *testing.T) {
	t.Parallel()
	m, _ := openPool(t, serverstest.PostgresDatabase(t))
	for _, level := range []sql.IsolationLevel{sql.LevelWriteCommitted, sql.LevelLinearizable} {
		wantKind(t, m.Do(t.Context(), exec("select 1"), uow.Isolation(level)), dialect.Unsupported)
	}
}

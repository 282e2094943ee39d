package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect/postgres"
	"github.com/lockstep-go/lockstep/integration/servers/serverstest"
	"github.com/lockstep-go/lockstep/uow"
)

// keeping opens a pool of one connection that has the library's statements
// prepared already: the first units of a connection are begun in another way.
func keeping(t *testing.T, dsn string) (*uow.Manager, *sqlx.DB) {
	t.Helper()
	m, db := openPool(t, dsn)
	db.SetMaxOpenConns(1)
	db.MustExec("create table item (id int, note text)")
	for range 3 {
		saveItem(t, m, 0, "warm", applock.With(applock.Exclusive("warm")))
		saveItem(t, m, 0, "warm")
	}
	if kept := keptStatements(t, db); kept == 0 {
		t.Fatal("no statement is kept prepared: the tests below would prove nothing")
	}
	return m, db
}

func saveItem(t *testing.T, m *uow.Manager, id int, note string, opts ...uow.Option) {
	t.Helper()
	err := m.Do(t.Context(), func(ctx context.Context, u *uow.UnitOfWork) error {
		_, err := u.ExecContext(ctx, "insert into item values ($1, $2)", id, note)
		return err
	}, opts...)
	if err != nil {
		t.Fatal(err)
	}
}

// keptStatements counts those that the library has prepared on the connection.
func keptStatements(t *testing.T, db *sqlx.DB) int {
	t.Helper()
	var n int
	if err := db.Get(&n, "select count(*) from pg_prepared_statements where name like 'lockstep%'"); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestKeptStatementsVanish has the session's statements dropped behind the
// library's back, as DISCARD ALL does.
func TestKeptStatementsVanish(t *testing.T) {
	t.Parallel()
	m, db := keeping(t, serverstest.PostgresDatabase(t))
	for i, opts := range [][]uow.Option{
		nil,
		{applock.With(applock.Exclusive("a"), applock.Update("b"))},
		{uow.Label("whose")},
	} {
		db.MustExec("deallocate all")
		saveItem(t, m, i+1, "after deallocate", opts...)
	}
	var n int
	if err := db.Get(&n, "select count(*) from item where note = 'after deallocate'"); err != nil || n != 3 {
		t.Errorf("%d items, error %v, want 3", n, err)
	}
}

// TestLostBeginRunsNothing takes BEGIN alone out of the statements that are kept:
// what follows it in the same flush must not run by itself.
func TestLostBeginRunsNothing(t *testing.T) {
	t.Parallel()
	m, db := keeping(t, serverstest.PostgresDatabase(t))
	for _, opts := range [][]uow.Option{nil, {applock.With(applock.Exclusive("a"))}} {
		var begin string
		if err := db.Get(&begin, "select name from pg_prepared_statements where statement = 'begin'"); err != nil {
			t.Fatal(err)
		}
		db.MustExec("deallocate " + begin)
		err := m.Do(t.Context(), func(ctx context.Context, u *uow.UnitOfWork) error {
			_, err := u.ExecContext(ctx, "insert into item values ($1, $2)", 1, "never")
			return errors.Join(err, errUndo)
		}, opts...)
		if !errors.Is(err, errUndo) {
			t.Errorf("error %v, want the function's own", err)
		}
		saveItem(t, m, 1, "after", opts...) // prepares BEGIN anew
	}
	var notes []string
	if err := db.Select(&notes, "select note from item where id = 1"); err != nil || len(notes) != 2 {
		t.Errorf("items %v, error %v, want those saved after", notes, err)
	}
}

// TestKeptStatementsOutlivedByTables changes what a statement means after it was
// prepared. The statement fails once, as it does with pgx, and not for ever.
func TestKeptStatementsOutlivedByTables(t *testing.T) {
	t.Parallel()
	m, db := keeping(t, serverstest.PostgresDatabase(t))
	save := func() error {
		return m.Do(t.Context(), func(ctx context.Context, u *uow.UnitOfWork) error {
			_, err := u.ExecContext(ctx, "insert into item values ($1, 'returned') returning *", 1)
			return err
		})
	}
	if err := save(); err != nil {
		t.Fatal(err)
	}
	db.MustExec("alter table item alter column id type bigint")
	t.Logf("first: %v", save())
	if err := save(); err != nil {
		t.Errorf("still refused: %v", err)
	}
}

// TestKeptStatementsAreBounded runs more statements than pgx would keep.
func TestKeptStatementsAreBounded(t *testing.T) {
	t.Parallel()
	dsn := serverstest.PostgresDatabase(t)
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	config.StatementCacheCapacity = 8
	db := postgres.OpenConfig(config)
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1)
	db.MustExec("create table item (id int, note text)")
	m := uow.New(db, postgres.Dialect())
	for i := range 40 {
		err := m.Do(t.Context(), func(ctx context.Context, u *uow.UnitOfWork) error {
			_, err := u.ExecContext(ctx, fmt.Sprintf("insert into item values ($1, 'note %d')", i), i)
			return err
		}, applock.With(applock.Exclusive("a")))
		if err != nil {
			t.Fatal(err)
		}
	}
	if kept := keptStatements(t, db); kept == 0 || kept > 8+4 { // those dropped last are still to be closed
		t.Errorf("%d statements are kept prepared", kept)
	}
}

// TestKeptStatementsAreNotPreparedTwice asks for many locks at once, whose
// statements are the same.
func TestKeptStatementsAreNotPreparedTwice(t *testing.T) {
	t.Parallel()
	m, db := keeping(t, serverstest.PostgresDatabase(t))
	var locks []applock.Lock
	for i := range 100 {
		locks = append(locks, applock.Update(fmt.Sprint("name ", i)))
	}
	if err := m.Do(t.Context(), nothing, applock.With(locks...)); err != nil {
		t.Fatal(err)
	}
	if kept := keptStatements(t, db); kept > 12 {
		t.Errorf("%d statements are kept prepared", kept)
	}
}

// TestKeptStatementsOfWiderTables saves what only fits since a column was widened.
func TestKeptStatementsOfWiderTables(t *testing.T) {
	t.Parallel()
	m, db := keeping(t, serverstest.PostgresDatabase(t))
	db.MustExec("alter table item alter column id type bigint")
	save := func() error {
		return m.Do(t.Context(), func(ctx context.Context, u *uow.UnitOfWork) error {
			_, err := u.ExecContext(ctx, "insert into item values ($1, $2)", int64(1)<<40, "wide")
			return err
		})
	}
	t.Logf("first: %v", save())
	if err := save(); err != nil {
		t.Errorf("still refused: %v", err)
	}
}

// TestRewrittenArguments uses pgx's named arguments, which rewrite the statement.
func TestRewrittenArguments(t *testing.T) {
	t.Parallel()
	m, _ := keeping(t, serverstest.PostgresDatabase(t))
	for range 2 {
		err := m.Do(t.Context(), func(ctx context.Context, u *uow.UnitOfWork) error {
			_, err := u.ExecContext(ctx, "insert into item values (@id, @note)", pgx.NamedArgs{"id": 1, "note": "named"})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestIdleHolderKeepsNoSnapshot looks at a unit that holds a lock and does
// nothing: a snapshot would hold back vacuum, and keep an index that is built
// concurrently waiting.
func TestIdleHolderKeepsNoSnapshot(t *testing.T) {
	t.Parallel()
	dsn := serverstest.PostgresDatabase(t)
	m, _ := keeping(t, dsn)
	_, other := openPool(t, dsn)
	err := m.Do(t.Context(), func(ctx context.Context, u *uow.UnitOfWork) error {
		var snapshots int
		err := other.Get(&snapshots, `select count(backend_xmin) from pg_stat_activity
			where datname = current_database() and state = 'idle in transaction'`)
		if snapshots != 0 {
			t.Error("an idle holder keeps a snapshot")
		}
		return err
	}, applock.With(applock.Exclusive("a")))
	if err != nil {
		t.Fatal(err)
	}
}

// TestPoolDropsStatements has a pool that drops all statements of a connection
// whenever it gives it out, as pgx can.
func TestPoolDropsStatements(t *testing.T) {
	t.Parallel()
	config, err := pgx.ParseConfig(serverstest.PostgresDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	db := sqlx.NewDb(stdlib.OpenDB(*config, stdlib.OptionResetSession(func(ctx context.Context, c *pgx.Conn) error {
		return c.DeallocateAll(ctx)
	})), "pgx")
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1)
	db.MustExec("create table item (id int, note text)")
	m := uow.New(db, postgres.Dialect())
	for i := range 8 {
		var opts []uow.Option
		if i%3 == 2 {
			opts = append(opts, applock.With(applock.Exclusive("a")))
		}
		err := m.Do(t.Context(), func(ctx context.Context, u *uow.UnitOfWork) error {
			var n int
			if err := u.GetContext(ctx, &n, "select count(*) from item where id = $1", i); err != nil {
				return err
			}
			_, err := u.ExecContext(ctx, "insert into item values ($1, $2)", i, "kept")
			return err
		}, opts...)
		if err != nil {
			t.Errorf("unit %d: %v", i, err)
		}
	}
}

// TestLargeArguments sends more than the buffers of both ends hold.
func TestLargeArguments(t *testing.T) {
	t.Parallel()
	m, db := keeping(t, serverstest.PostgresDatabase(t))
	note := strings.Repeat("note", 4<<20)
	saveItem(t, m, 7, note)
	saveItem(t, m, 7, note, applock.With(applock.Exclusive("a")), uow.Label("large"))
	var notes [][]byte
	if err := db.Select(&notes, "select note from item where id = 7"); err != nil {
		t.Fatal(err)
	}
	if len(notes) != 2 || !bytes.Equal(notes[0], []byte(note)) || !bytes.Equal(notes[1], []byte(note)) {
		t.Errorf("%d notes, or not as they were sent", len(notes))
	}
}

// TestKeptStatementsSeen has the label and the locks of a unit whose statements
// are prepared show on the server.
func TestKeptStatementsSeen(t *testing.T) {
	t.Parallel()
	m, _ := keeping(t, serverstest.PostgresDatabase(t))
	err := m.Do(t.Context(), func(ctx context.Context, u *uow.UnitOfWork) error {
		var label string
		if err := u.GetContext(ctx, &label, "select current_setting('application_name')"); err != nil || label != "whose" {
			t.Errorf("label %q, error %v", label, err)
		}
		for lock, want := range map[applock.Lock]string{
			applock.Exclusive("a"): "ExclusiveLock", applock.Shared("b"): "ShareLock", applock.Update("c"): "ShareLock",
		} {
			var modes []string
			err := u.SelectContext(ctx, &modes, `select mode from pg_locks
				where locktype = 'advisory' and pid = pg_backend_pid() and objsubid = 1
				and (classid::bigint << 32 | objid::bigint) = $1`, postgres.Key(lock.Name()))
			if err != nil || len(modes) != 1 || modes[0] != want {
				t.Errorf("%s: held as %v, error %v, want %s", lock.Name(), modes, err, want)
			}
		}
		return nil
	}, uow.Label("whose"), applock.With(applock.Exclusive("a"), applock.Shared("b"), applock.Update("c")))
	if err != nil {
		t.Fatal(err)
	}
}

// TestTracerSeesStatements has pgx's tracer see what the unit sends.
func TestTracerSeesStatements(t *testing.T) {
	t.Parallel()
	config, err := pgx.ParseConfig(serverstest.PostgresDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	seen := &tracer{}
	config.Tracer = seen
	db := sqlx.NewDb(stdlib.OpenDB(*config), "pgx")
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1)
	db.MustExec("create table item (id int, note text)")
	m := uow.New(db, postgres.Dialect())
	for i := range 4 {
		seen.statements = nil
		saveItem(t, m, i, "traced")
		if !strings.Contains(strings.Join(seen.statements, ";"), "insert into item") {
			t.Errorf("unit %d: the tracer saw %q", i, seen.statements)
		}
	}
}

// tracer is a pgx.QueryTracer and pgx.BatchTracer. Its pool has one connection.
type tracer struct{ statements []string }

func (r *tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	r.statements = append(r.statements, data.SQL)
	return ctx
}
func (r *tracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
func (r *tracer) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}
func (r *tracer) TraceBatchQuery(_ context.Context, _ *pgx.Conn, data pgx.TraceBatchQueryData) {
	r.statements = append(r.statements, data.SQL)
}
func (r *tracer) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	sqlite "modernc.org/sqlite"

	"github.com/lockstep-go/lockstep/dialect"
)

// begin begins a transaction on a connection of its own, that is rolled back when
// the test ends, if it has not ended by then.
func begin(t *testing.T, db *sqlx.DB, b dialect.Begin, opts ...Option) (dialect.Tx, *sql.Conn) {
	t.Helper()
	conn, err := db.Conn(t.Context())
	check(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	tx, err := Dialect(opts...).Begin(t.Context(), conn, b)
	check(t, err)
	return tx, conn
}

func exclusively(name string) []dialect.Lock {
	return []dialect.Lock{{Name: name, Mode: dialect.Exclusive, Limit: dialect.Forever}}
}

func run(t *testing.T, tx dialect.Tx, statement string) error {
	t.Helper()
	_, err := tx.Exec(t.Context(), statement)
	return err
}

func commit(t *testing.T, tx dialect.Tx) (dialect.Outcome, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	return tx.Commit(ctx)
}

func wantIs(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("error %v, want one that is %q", err, target)
	}
}

func wantRows(t *testing.T, db *sqlx.DB, want int) {
	t.Helper()
	var n int
	check(t, db.Get(&n, "select count(*) from t"))
	if n != want {
		t.Errorf("%d rows, want %d", n, want)
	}
}

// withTable opens a database with a table t.
func withTable(t *testing.T, params string) *sqlx.DB {
	t.Helper()
	db := openTest(t, params)
	mustExec(t, db, "create table t (id integer primary key)")
	return db
}

func TestTransactionTextIsRefused(t *testing.T) {
	t.Parallel()
	db := withTable(t, "")
	for _, statement := range []string{
		"commit", "END", "rollback", "begin", "savepoint a", "release a", "rollback to a",
		"/* */ -- x\n commit", "pragma query_only = 1", "PRAGMA main.query_only(on)",
	} {
		tx, _ := begin(t, db, dialect.Begin{})
		check(t, run(t, tx, "insert into t default values"))
		wantIs(t, run(t, tx, statement), dialect.Unsupported)
		if state := tx.State(); state != dialect.Active {
			t.Errorf("%s: state %v", statement, state)
		}
		check(t, run(t, tx, "insert into t default values"))
		check(t, tx.Rollback(t.Context()))
	}
	wantRows(t, db, 0)
	// Of several statements some may have been run.
	tx, _ := begin(t, db, dialect.Begin{})
	wantIs(t, run(t, tx, "insert into t default values; commit"), dialect.Unsupported)
	wantIs(t, run(t, tx, "insert into t default values"), dialect.Aborted)
	outcome, err := commit(t, tx)
	if outcome != dialect.RolledBack || err == nil {
		t.Error(outcome, err)
	}
	wantRows(t, db, 0)
}

// TestDriversOwnConnection commits past the library: the engine makes a rollback
// of it.
func TestDriversOwnConnection(t *testing.T) {
	t.Parallel()
	db := withTable(t, "")
	tx, conn := begin(t, db, dialect.Begin{})
	check(t, run(t, tx, "insert into t default values"))
	check(t, conn.Raw(func(pooled any) error {
		own := d{}.DriverConn(pooled).(engine)
		check(t, own.(sqlite.AuthorizerRegisterer).RegisterAuthorizer(nil))
		_, err := own.ExecContext(t.Context(), "commit", nil)
		if err == nil {
			t.Error("committed past the library")
		}
		return nil
	}))
	if state := tx.State(); state != dialect.Failed {
		t.Errorf("state %v", state)
	}
	wantIs(t, run(t, tx, "insert into t default values"), dialect.Aborted)
	if outcome, err := commit(t, tx); outcome != dialect.RolledBack || !errors.Is(err, dialect.NotCommitted) {
		t.Error(outcome, err)
	}
	wantRows(t, db, 0)
}

// TestEngineRollsBack has the engine undo the whole transaction for an error.
func TestEngineRollsBack(t *testing.T) {
	t.Parallel()
	db := withTable(t, "")
	tx, _ := begin(t, db, dialect.Begin{})
	check(t, run(t, tx, "insert into t values (1)"))
	check(t, tx.Savepoint(t.Context(), "a"))
	if run(t, tx, "insert or rollback into t values (2), (1)") == nil {
		t.Error("a duplicate key was taken")
	}
	if err := tx.RollbackTo(t.Context(), "a"); err == nil {
		t.Error("returned to a savepoint that is gone")
	}
	wantIs(t, run(t, tx, "insert into t values (3)"), dialect.Aborted)
	check(t, tx.Rollback(t.Context()))
	wantRows(t, db, 0)
	mustExec(t, db, "insert into t values (4)")
	wantRows(t, db, 1)
}

func TestReadOnly(t *testing.T) {
	t.Parallel()
	db := withTable(t, "")
	db.SetMaxOpenConns(1)
	for _, statement := range []string{
		"insert into t default values", "delete from t", "drop table t", "create table u (id int)", "pragma user_version = 7",
	} {
		tx, conn := begin(t, db, dialect.Begin{ReadOnly: true})
		check(t, run(t, tx, "select count(*) from t"))
		wantIs(t, run(t, tx, "pragma query_only = 0"), dialect.Unsupported)
		if err := run(t, tx, statement); Dialect().Classify(err) != dialect.ReadOnly {
			t.Errorf("%s: %v", statement, err)
		}
		check(t, tx.Rollback(t.Context()))
		check(t, conn.Close())
		mustExec(t, db, "insert into t default values") // as the next user of the connection
	}
}

// TestReadersDoNotWait has a writer and readers side by side.
func TestReadersDoNotWait(t *testing.T) {
	t.Parallel()
	db := withTable(t, "")
	writer, _ := begin(t, db, dialect.Begin{})
	check(t, run(t, writer, "insert into t default values"))
	reader, conn := begin(t, db, dialect.Begin{ReadOnly: true})
	var n int
	check(t, conn.QueryRowContext(t.Context(), "select count(*) from t").Scan(&n))
	outcome, err := commit(t, writer)
	if outcome != dialect.Committed || err != nil {
		t.Error(outcome, err)
	}
	check(t, conn.QueryRowContext(t.Context(), "select count(*) from t").Scan(&n))
	if n != 0 {
		t.Error("a reader's snapshot has changed")
	}
	check(t, reader.Rollback(t.Context()))
	wantRows(t, db, 1)
}

func TestWaitToWrite(t *testing.T) {
	t.Parallel()
	db := withTable(t, "")
	writer, _ := begin(t, db, dialect.Begin{})
	waiting, err := db.Conn(t.Context())
	check(t, err)
	defer waiting.Close()

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = Dialect().Begin(ctx, waiting, dialect.Begin{})
	wantIs(t, err, context.DeadlineExceeded)

	_, err = Dialect(WriteWait(20*time.Millisecond)).Begin(t.Context(), waiting, dialect.Begin{})
	wantIs(t, err, dialect.LockTimeout)
	_, err = Dialect(WriteWait(0)).Begin(t.Context(), waiting, dialect.Begin{})
	wantIs(t, err, dialect.Unsupported)

	time.AfterFunc(30*time.Millisecond, func() { _, _ = writer.Commit(context.Background()) })
	tx, err := Dialect().Begin(t.Context(), waiting, dialect.Begin{})
	check(t, err)
	check(t, tx.Rollback(t.Context()))
	if wait := pragma(t, db, "busy_timeout"); wait != "10000" {
		t.Errorf("the connection is left with a wait of %s", wait)
	}
}

// TestWriterAndHolder has who writes wait for a lock, and who has the lock wait
// to write: one of them is told, and the other goes on.
func TestWriterAndHolder(t *testing.T) {
	t.Parallel()
	db := withTable(t, "")
	holder, _ := begin(t, db, dialect.Begin{Locks: exclusively("a")})
	writer, _ := begin(t, db, dialect.Begin{})
	check(t, run(t, writer, "insert into t default values"))
	results := make(chan error, 2)
	go func() {
		err := writer.Lock(context.Background(), exclusively("a"))
		results <- errors.Join(err, writer.Rollback(context.Background()))
	}()
	go func() {
		_, err := holder.Exec(context.Background(), "insert into t default values")
		results <- errors.Join(err, holder.Rollback(context.Background()))
	}()
	first, second := <-results, <-results
	if (first == nil) == (second == nil) {
		t.Fatalf("%v and %v, want one deadlock", first, second)
	}
	wantIs(t, errors.Join(first, second), dialect.Deadlock)
}

func TestCommitRefused(t *testing.T) {
	t.Parallel()
	db := withTable(t, "")
	mustExec(t, db, "create table child (id int references t deferrable initially deferred)")
	tx, _ := begin(t, db, dialect.Begin{})
	check(t, run(t, tx, "insert into child values (1)"))
	outcome, err := commit(t, tx)
	if outcome != dialect.RolledBack || Dialect().Classify(err) != dialect.Refused {
		t.Error(outcome, err)
	}
	mustExec(t, db, "insert into t default values") // nothing is left open
}

// TestCommitBusy has a reader bar COMMIT, as in a database without a log.
func TestCommitBusy(t *testing.T) {
	t.Parallel()
	db := withTable(t, "?_journal_mode=delete&_busy_timeout=0")
	reader, conn := begin(t, db, dialect.Begin{ReadOnly: true})
	rows, err := conn.QueryContext(t.Context(), "select 1 from t union all select 2")
	check(t, err)
	tx, _ := begin(t, db, dialect.Begin{Locks: exclusively("a")})
	check(t, run(t, tx, "insert into t default values"))
	outcome, err := commit(t, tx)
	if outcome != dialect.RolledBack || Dialect().Classify(err) != dialect.LockTimeout {
		t.Error(outcome, err)
	}
	check(t, rows.Close())
	check(t, reader.Rollback(t.Context()))
	tx, _ = begin(t, db, dialect.Begin{Locks: exclusively("a")})
	check(t, run(t, tx, "insert into t default values"))
	if outcome, err = commit(t, tx); outcome != dialect.Committed {
		t.Error(outcome, err)
	}
	wantRows(t, db, 1)
}

// TestRemovedLockFile has somebody remove what a unit has locked: it must not
// commit, for others can hold the lock now.
func TestRemovedLockFile(t *testing.T) {
	t.Parallel()
	db := withTable(t, "")
	tx, _ := begin(t, db, dialect.Begin{Locks: exclusively("a")})
	check(t, run(t, tx, "insert into t default values"))
	check(t, os.Remove(LockFile(fileOf(t, db), "a")))
	outcome, err := commit(t, tx)
	wantIs(t, err, dialect.ConnectionLost)
	if outcome != dialect.RolledBack {
		t.Error(outcome)
	}
	wantRows(t, db, 0)

	idle, _ := begin(t, db, dialect.Begin{Locks: exclusively("b"), Idle: true})
	check(t, run(t, idle, "select 1"))
	check(t, os.Remove(LockFile(fileOf(t, db), "b")))
	wantIs(t, run(t, idle, "select 1"), dialect.ConnectionLost)
	if state := idle.State(); state != dialect.Broken {
		t.Errorf("state %v", state)
	}
}

// TestLocksAloneLetOthersWrite has units that hold locks and have run nothing.
func TestLocksAloneLetOthersWrite(t *testing.T) {
	t.Parallel()
	db := withTable(t, "?_busy_timeout=0")
	holder, _ := begin(t, db, dialect.Begin{Locks: exclusively("a")})
	idle, _ := begin(t, db, dialect.Begin{Locks: exclusively("b"), Idle: true})
	check(t, run(t, idle, "select 1"))
	check(t, holder.Savepoint(t.Context(), "s"))
	check(t, holder.Lock(t.Context(), exclusively("c")))
	mustExec(t, db, "insert into t default values")
	check(t, run(t, holder, "insert into t default values"))
	check(t, holder.RollbackTo(t.Context(), "s"))
	status, err := newPlace(fileOf(t, db)).locks.Inspect(t.Context(), []string{"a", "b", "c"})
	check(t, err)
	if len(status[0].Holders) != 1 || len(status[1].Holders) != 1 || len(status[2].Holders) != 0 {
		t.Errorf("%+v", status)
	}
	if outcome, err := commit(t, holder); outcome != dialect.Committed {
		t.Error(outcome, err)
	}
	wantRows(t, db, 1)
}

func TestForeignPool(t *testing.T) {
	t.Parallel()
	db, err := sqlx.Open("sqlite", ":memory:")
	check(t, err)
	defer db.Close()
	conn, err := db.Conn(t.Context())
	check(t, err)
	defer conn.Close()
	_, err = Dialect().Begin(t.Context(), conn, dialect.Begin{})
	wantIs(t, err, dialect.Unsupported)
}

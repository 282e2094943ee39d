package tdstest

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	mssql "github.com/microsoft/go-mssqldb"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine"
)

// The tests of this file run on the engine, with nothing in between replaced.

// startEngine returns a server and a pool that is logged in to it.
func startEngine(t *testing.T) (*Server, *sql.DB) {
	t.Helper()
	s, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	db, err := sql.Open("sqlserver", s.URL("sa", "any", ""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return s, db
}

type executor interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
}

// lock asks for an exclusive lock of the transaction.
func lock(ctx context.Context, on executor, resource string) (mssql.ReturnStatus, error) {
	var status mssql.ReturnStatus
	_, err := on.ExecContext(ctx, "sp_getapplock", sql.Named("Resource", resource), sql.Named("LockMode", "Exclusive"),
		sql.Named("LockOwner", "Transaction"), sql.Named("LockTimeout", int32(-1)), &status)
	return status, err
}

func mustLock(t *testing.T, on executor, resource string, want mssql.ReturnStatus) {
	t.Helper()
	if status, err := lock(testContext(t), on, resource); err != nil || status != want {
		t.Fatalf("lock %s: status %d, %v; want %d", resource, status, err, want)
	}
}

// waits reports whether some session waits for an application lock.
func waits(t *testing.T, db *sql.DB) bool {
	t.Helper()
	var count int
	err := db.QueryRowContext(testContext(t),
		"SELECT COUNT(*) FROM sys.dm_tran_locks WHERE resource_type = 'APPLICATION' AND request_status = 'WAIT'").Scan(&count)
	if err != nil {
		t.Fatal(err)
	}
	return count > 0
}

func TestEngineRowsAndParameters(t *testing.T) {
	t.Parallel()
	_, db := startEngine(t)
	mustExec(t, db, "CREATE TABLE orders (id int NOT NULL PRIMARY KEY, name nvarchar(40) NULL)")
	tx := begin(t, db)
	mustExec(t, tx, "INSERT INTO orders (id, name) VALUES (@p1, @p2)", 1, "früh")
	mustExec(t, tx, "INSERT INTO orders (id, name) VALUES (@p1, @p2)", 2, nil)
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	undone := begin(t, db)
	mustExec(t, undone, "INSERT INTO orders (id, name) VALUES (3, 'never')")
	if err := undone.Rollback(); err != nil {
		t.Fatal(err)
	}
	rows, err := db.QueryContext(testContext(t), "SELECT id, name FROM orders WHERE id > @p1 ORDER BY id", 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []sql.NullString
	for rows.Next() {
		var id int
		var name sql.NullString
		if err := rows.Scan(&id, &name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if rows.Err() != nil || len(names) != 2 || names[0].String != "früh" || names[1].Valid {
		t.Error(names, rows.Err())
	}
}

func TestEngineLockWaitAndGrant(t *testing.T) {
	t.Parallel()
	_, db := startEngine(t)
	holder, waiter := begin(t, db), begin(t, db)
	mustLock(t, holder, "r", 0)
	granted := make(chan mssql.ReturnStatus, 1)
	go func() {
		status, err := lock(testContext(t), waiter, "r")
		if err != nil {
			t.Error(err)
		}
		granted <- status
	}()
	eventually(t, "the other waits", func() bool { return waits(t, db) })
	if err := holder.Commit(); err != nil {
		t.Fatal(err)
	}
	if status := <-granted; status != 1 {
		t.Errorf("status %d after a wait", status)
	}
}

func TestEngineAttentionDuringALockWait(t *testing.T) {
	t.Parallel()
	for _, abort := range []bool{false, true} {
		_, db := startEngine(t)
		holder, waiter := begin(t, db), begin(t, db)
		mustLock(t, holder, "r", 0)
		mustLock(t, waiter, "own", 0)
		if abort {
			mustExec(t, waiter, "SET XACT_ABORT ON")
		}
		ctx, cancel := context.WithCancel(testContext(t))
		failed := make(chan error, 1)
		go func() {
			_, err := lock(ctx, waiter, "r")
			failed <- err
		}()
		eventually(t, "the other waits", func() bool { return waits(t, db) })
		cancel()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if waits(t, db) {
			t.Error("the wait goes on after the attention")
		}
		_, err := waiter.ExecContext(testContext(t), "SELECT 1")
		if abort {
			wantNumber(t, err, 0)
			mustLock(t, holder, "own", 0)
		} else if err != nil {
			t.Error(err)
		}
	}
}

func TestEngineClientThatVanishesInALockWait(t *testing.T) {
	t.Parallel()
	s, db := startEngine(t)
	holder := begin(t, db)
	mustLock(t, holder, "r", 0)
	c := dialRaw(t, s)
	c.loginTo("master")
	descriptor := c.begin()
	c.send(packetBatch, 0, batch(descriptor, "EXEC sp_getapplock 'own', 'Exclusive'; EXEC sp_getapplock 'r', 'Exclusive'"))
	eventually(t, "the client waits", func() bool { return waits(t, db) })
	_ = c.socket.Close()
	eventually(t, "the client's wait ends", func() bool { return !waits(t, db) })
	// The lock that it held may outlive its wait a little.
	if status, err := lock(testContext(t), holder, "own"); err != nil || status < 0 {
		t.Error(status, err)
	}
}

func TestEngineKillDuringALockWait(t *testing.T) {
	t.Parallel()
	s, db := startEngine(t)
	holder, waiter := begin(t, db), begin(t, db)
	mustLock(t, holder, "r", 0)
	var session int
	if err := waiter.QueryRowContext(testContext(t), "SELECT @@SPID").Scan(&session); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() {
		_, err := lock(testContext(t), waiter, "r")
		failed <- err
	}()
	eventually(t, "the other waits", func() bool { return waits(t, db) })
	if !s.Engine().Kill(session) {
		t.Fatal("no such session")
	}
	if err := <-failed; err == nil {
		t.Error("no error")
	}
	if _, err := waiter.ExecContext(testContext(t), "SELECT 1"); err == nil {
		t.Error("the killed connection goes on")
	}
}

func TestEngineTransactionsInText(t *testing.T) {
	t.Parallel()
	s, _ := startEngine(t)
	c := dialRaw(t, s)
	c.loginTo("master")
	c.send(packetBatch, 0, batch(0, "BEGIN TRAN"))
	tokens := c.receive()
	if tokens[0] != tokenEnvChange || tokens[3] != 8 {
		t.Fatalf("% x", tokens)
	}
	c.send(packetBatch, 0, batch(0, "COMMIT"))
	c.wantErrors(3989)
}

// TestEngineApplockInBytes holds the captured reply to sp_getapplock with a
// timeout: DONEINPROC, RETURNSTATUS and DONEPROC.
func TestEngineApplockInBytes(t *testing.T) {
	t.Parallel()
	s, _ := startEngine(t)
	c := dialRaw(t, s)
	c.loginTo("master")
	c.send(packetBatch, 0, batch(0, "EXEC sp_getapplock @Resource = 'r', @LockMode = 'Exclusive', @LockOwner = 'Session', @LockTimeout = 0"))
	type inProc struct{ status, command, rows uint64 }
	var got []inProc
	tokens := &cursor{rest: c.receive()}
	for tokens.more() && engine.DoneKind(tokens.rest[0]) == engine.DoneInProc {
		tokens.uint8()
		got = append(got, inProc{uint64(tokens.uint16()), uint64(tokens.uint16()), tokens.uint64()})
	}
	want := []inProc{
		{17, 193, 1}, {1, 192, 0}, {17, 193, 1}, {1, 192, 0}, {1, 192, 0},
		{17, 193, 1}, {1, 192, 0}, {1, 224, 0}, {17, 193, 1},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if end := hex.EncodeToString(tokens.rest); end != "7900000000"+"fe0000e0000000000000000000" {
		t.Errorf("got %s at the end", end)
	}
}

func TestEngineDeadlockVictimAndCommitInDoubt(t *testing.T) {
	t.Parallel()
	s, db := startEngine(t)
	mustExec(t, db, "CREATE TABLE done (id int NOT NULL PRIMARY KEY)")
	s.Inject(Match{Text: "VALUES (1)"}, Fault{Rollback: true, Errors: []engine.Message{deadlock}})
	victim := begin(t, db)
	mustLock(t, victim, "r", 0)
	_, err := victim.ExecContext(testContext(t), "INSERT INTO done (id) VALUES (1)")
	wantNumber(t, err, 1205)
	other := begin(t, db)
	mustLock(t, other, "r", 0)
	mustExec(t, other, "INSERT INTO done (id) VALUES (2)")
	s.Inject(Match{Operation: OperationCommit}, Fault{Cut: CutBeforeReply})
	wantLost(t, other.Commit())
	var count int
	if err := db.QueryRowContext(testContext(t), "SELECT COUNT(*) FROM done").Scan(&count); err != nil || count != 1 {
		t.Error(count, err)
	}
}

func TestEngineManyAtOnce(t *testing.T) {
	t.Parallel()
	_, db := startEngine(t)
	mustExec(t, db, "CREATE TABLE counter (n int NOT NULL)")
	mustExec(t, db, "INSERT INTO counter (n) VALUES (0)")
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 5 {
				tx, err := db.BeginTx(context.Background(), &sql.TxOptions{Isolation: sql.LevelReadCommitted})
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := lock(testContext(t), tx, "counter"); err != nil {
					t.Error(err)
				}
				if _, err := tx.ExecContext(testContext(t), "UPDATE counter SET n = n + 1"); err != nil {
					t.Error(err)
				}
				if err := tx.Commit(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	var n int
	if err := db.QueryRowContext(testContext(t), "SELECT n FROM counter").Scan(&n); err != nil || n != 40 {
		t.Error(n, err)
	}
}

func TestVersionIsTheEngines(t *testing.T) {
	t.Parallel()
	v := serverVersion
	if got := fmt.Sprintf("%d.%d.%d.%d", v[0], v[1], int(v[2])<<8|int(v[3]), int(v[4])<<8|int(v[5])); got != engine.Version {
		t.Errorf("%s tells its version as %s", engine.Version, got)
	}
}

// TestErrorsInProcedures has errors that end the batch reach the client, however the
// procedure is called.
func TestErrorsInProcedures(t *testing.T) {
	t.Parallel()
	_, db := startEngine(t)
	for name, body := range map[string]string{"conversion": "select convert(int, 'x')", "thrown": "throw 50000, 'x', 1", "raised": "raiserror('x', 16, 1)"} {
		if _, err := db.ExecContext(testContext(t), "create procedure "+name+" as begin "+body+" end"); err != nil {
			t.Fatal(err)
		}
		for _, call := range []string{name, "exec " + name, "exec sp_executesql N'exec " + name + "'"} {
			_, err := db.ExecContext(testContext(t), call)
			var answer mssql.Error
			if !errors.As(err, &answer) {
				t.Errorf("%s: error %v", call, err)
			}
		}
	}
}

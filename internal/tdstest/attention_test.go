package tdstest

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	mssql "github.com/microsoft/go-mssqldb"
)

// errLater is the cause of a context that a test cancels.
var errLater = errors.New("changed its mind")

// cancelled runs query, cancels it once it waits, and returns its error.
func cancelled(t *testing.T, b *fakeBackend, run func(context.Context) error) error {
	t.Helper()
	ctx, cancel := context.WithCancelCause(testContext(t))
	defer cancel(nil)
	go func() {
		<-b.waiting
		cancel(errLater)
	}()
	return run(ctx)
}

func TestAttentionKeepsTheConnection(t *testing.T) {
	t.Parallel()
	s, b := startFake(t)
	db := open(t, s, "")
	conn, err := db.Conn(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for range 3 {
		err := cancelled(t, b, func(ctx context.Context) error {
			_, err := conn.ExecContext(ctx, "wait;")
			return err
		})
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		mustExec(t, conn, "go on;")
	}
	if c := s.Connections(); len(c) != 1 || c[0].Attentions != 3 || c[0].RoundTrips != 6 {
		t.Errorf("%+v", c)
	}
}

func TestAttentionWithoutXactAbortKeepsTheTransaction(t *testing.T) {
	t.Parallel()
	s, b := startFake(t)
	tx := begin(t, open(t, s, ""))
	if err := cancelled(t, b, func(ctx context.Context) error {
		_, err := tx.ExecContext(ctx, "wait;")
		return err
	}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	mustExec(t, tx, "go on;")
	if err := tx.Commit(); err != nil {
		t.Error(err)
	}
}

func TestAttentionWithXactAbortEndsTheTransaction(t *testing.T) {
	t.Parallel()
	s, b := startFake(t)
	tx := begin(t, open(t, s, ""))
	mustExec(t, tx, "abort on")
	if err := cancelled(t, b, func(ctx context.Context) error {
		_, err := tx.ExecContext(ctx, "wait;")
		return err
	}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	var e mssql.Error
	if _, err := tx.ExecContext(testContext(t), "must not run;"); !errors.As(err, &e) || e.Number != 0 {
		t.Errorf("got %v, want the driver's guard", err)
	}
	if err := tx.Commit(); !errors.As(err, &e) {
		t.Errorf("got %v, want the driver's guard", err)
	}
	for _, r := range s.Requests() {
		if r.Text == "must not run;" || r.Operation == OperationCommit {
			t.Errorf("%+v", r)
		}
	}
}

func TestDeadlineDropsTheConnection(t *testing.T) {
	t.Parallel()
	s, b := startFake(t)
	db := open(t, s, "")
	mustExec(t, db, "go on;") // the login shall not take of the time
	ctx, cancel := context.WithTimeout(testContext(t), 300*time.Millisecond)
	defer cancel()
	if _, err := db.ExecContext(ctx, "wait;"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	mustExec(t, db, "go on;")
	if c := s.Connections(); len(c) != 2 || c[0].Attentions != 1 {
		t.Errorf("%+v", c)
	}
	eventually(t, "the first session ends", func() bool { return b.open() == 1 })
}

func TestRowsClosedEarly(t *testing.T) {
	t.Parallel()
	s, _ := startFake(t)
	db := open(t, s, "&packet+size=512")
	db.SetMaxOpenConns(1)
	for range 5 {
		rows, err := db.QueryContext(testContext(t), "many;")
		if err != nil {
			t.Fatal(err)
		}
		if !rows.Next() {
			t.Fatal(rows.Err())
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
		mustExec(t, db, "go on;")
	}
	if c := s.Connections(); len(c) != 1 {
		t.Errorf("%+v", c)
	}
}

func TestKilledSessionDropsTheConnection(t *testing.T) {
	t.Parallel()
	s, b := startFake(t)
	db := open(t, s, "")
	failed := make(chan error, 1)
	go func() {
		_, err := db.ExecContext(testContext(t), "wait;")
		failed <- err
	}()
	<-b.waiting
	if !b.kill(51) {
		t.Fatal("no session 51")
	}
	var serverSaid mssql.Error
	if err := <-failed; err == nil || errors.As(err, &serverSaid) {
		t.Errorf("got %v, want a dropped connection", err)
	}
	eventually(t, "the session ends", func() bool { return b.open() == 0 })
	mustExec(t, db, "go on;")
}

func TestIdleSessionKilled(t *testing.T) {
	t.Parallel()
	s, b := startFake(t)
	db := open(t, s, "")
	mustExec(t, db, "go on;")
	b.kill(51)
	eventually(t, "the session ends", func() bool { return b.open() == 0 })
	_, _ = db.ExecContext(testContext(t), "may find a dead connection;")
	mustExec(t, db, "go on;")
}

func TestFatalErrorDropsTheConnection(t *testing.T) {
	t.Parallel()
	s, b := startFake(t)
	db := open(t, s, "")
	var e mssql.Error
	if _, err := db.ExecContext(testContext(t), "fatal;"); !errors.As(err, &e) || e.Number != 596 {
		t.Errorf("got %v", err)
	}
	eventually(t, "the session ends", func() bool { return b.open() == 0 })
}

func TestClientThatVanishesFreesItsSession(t *testing.T) {
	t.Parallel()
	s, b := startFake(t)
	c := dialRaw(t, s)
	c.login()
	c.send(packetBatch, 0, batch(0, "wait"))
	<-b.waiting
	_ = c.socket.Close()
	eventually(t, "the session ends", func() bool { return b.open() == 0 })
}

func TestCloseDuringARequest(t *testing.T) {
	t.Parallel()
	s, b := startFake(t)
	db := open(t, s, "")
	failed := make(chan error, 1)
	go func() {
		_, err := db.ExecContext(testContext(t), "wait;")
		failed <- err
	}()
	<-b.waiting
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-failed; err == nil {
		t.Error("no error")
	}
	if b.open() != 0 {
		t.Error("a session is open after Close")
	}
	if _, err := s.DialContext(context.Background(), "", ""); err == nil {
		t.Error("a closed server was dialled")
	}
}

func TestInMemory(t *testing.T) {
	t.Parallel()
	s, b := startFake(t)
	connector, err := mssql.NewConnector(s.URL("sa", "secret", "shop"))
	if err != nil {
		t.Fatal(err)
	}
	connector.Dialer = s
	db := sql.OpenDB(connector)
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(testContext(t), "many;")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for rows.Next() {
		count++
	}
	if count != 5000 {
		t.Error(count, rows.Err())
	}
	if err := cancelled(t, b, func(ctx context.Context) error {
		_, err := db.ExecContext(ctx, "wait;")
		return err
	}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

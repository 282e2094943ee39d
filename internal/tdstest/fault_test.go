package tdstest

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"

	mssql "github.com/microsoft/go-mssqldb"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine"
)

var deadlock = engine.Message{Number: 1205, State: 45, Class: 13, Text: "Transaction was deadlocked on lock resources with another process and has been chosen as the deadlock victim. Rerun the transaction."}

// begin begins a transaction whose context is never cancelled.
func begin(t *testing.T, db *sql.DB) *sql.Tx {
	t.Helper()
	tx, err := db.BeginTx(context.Background(), &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

func wantNumber(t *testing.T, err error, number int32) {
	t.Helper()
	var e mssql.Error
	if !errors.As(err, &e) || e.Number != number {
		t.Fatalf("got %v, want error %d", err, number)
	}
}

// wantLost checks for a connection that ended without a word.
func wantLost(t *testing.T, err error) {
	t.Helper()
	var e mssql.Error
	if err == nil || errors.As(err, &e) {
		t.Fatalf("got %v, want a lost connection", err)
	}
}

func TestCommitCutBeforeAndAfter(t *testing.T) {
	t.Parallel()
	for cut, committed := range map[Cut]int32{CutBeforeRun: 0, CutBeforeReply: 1, CutInReply: 1} {
		s, b := startFake(t)
		rule := s.Inject(Match{Operation: OperationCommit}, Fault{Cut: cut, CutAt: 11})
		tx := begin(t, open(t, s, ""))
		b.mu.Lock()
		session := b.sessions[51]
		b.mu.Unlock()
		wantLost(t, tx.Commit())
		if got := session.committed.Load(); got != committed {
			t.Errorf("cut %d: %d commits", cut, got)
		}
		if b.open() != 0 {
			t.Errorf("cut %d: the session outlives its connection", cut)
		}
		<-rule.Fired()
		if rule.Count() != 1 {
			t.Error(rule.Count())
		}
		eventually(t, "the connection ends", func() bool {
			c := s.Connections()[0]
			return !c.Open && errors.Is(c.Err, errCut)
		})
	}
}

func TestCutInTheMiddleOfRows(t *testing.T) {
	t.Parallel()
	s, _ := startFake(t)
	s.Inject(Match{Text: "many"}, Fault{Cut: CutInReply, CutAt: 10_000})
	rows, err := open(t, s, "").QueryContext(testContext(t), "many;")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for rows.Next() {
		count++
	}
	if count == 0 || count >= 5000 {
		t.Errorf("%d rows", count)
	}
	wantLost(t, rows.Err())
}

func TestDeadlockVictim(t *testing.T) {
	t.Parallel()
	s, _ := startFake(t)
	db := open(t, s, "")
	for _, query := range []string{"update;", "update"} { // a batch and an RPC
		s.Inject(Match{Where: func(r Request) bool { return r.Text == query || r.Procedure == query }},
			Fault{Rollback: true, Errors: []engine.Message{deadlock}})
		tx := begin(t, db)
		_, err := tx.ExecContext(testContext(t), query)
		wantNumber(t, err, 1205)
		_, err = tx.ExecContext(testContext(t), "must not run;")
		wantNumber(t, err, 0)
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
	}
	mustExec(t, db, "go on;")
	if c := s.Connections(); len(c) != 1 {
		t.Errorf("%+v", c)
	}
}

func TestErrorsAndThenTheEnd(t *testing.T) {
	t.Parallel()
	s, _ := startFake(t)
	s.Inject(Match{Nth: 2}, Fault{
		Errors: []engine.Message{{Number: 40501, State: 1, Class: 20, Text: "The service is currently busy."}},
		Cut:    CutAfterReply,
	})
	db := open(t, s, "")
	mustExec(t, db, "go on;")
	_, err := db.ExecContext(testContext(t), "busy;")
	wantNumber(t, err, 40501)
	eventually(t, "the connection ends", func() bool { return !s.Connections()[0].Open })
}

func TestServerErrorBit(t *testing.T) {
	t.Parallel()
	s, _ := startFake(t)
	s.Inject(Match{Text: "update"}, Fault{ServerError: true, Errors: []engine.Message{{Number: 3989, Class: 16}}})
	db := open(t, s, "")
	_, err := db.ExecContext(testContext(t), "update;")
	var e mssql.ServerError
	if !errors.As(err, &e) {
		t.Fatalf("got %T %v", err, err)
	}
	mustExec(t, db, "go on;")
	if c := s.Connections(); len(c) != 2 {
		t.Errorf("the driver kept the connection: %+v", c)
	}
}

// TestUnreadTokensBlockTheDriver shows what go-mssqldb does, and so that the
// fault brings it about. It runs in a process of its own, because what blocks in
// the driver does so for ever.
func TestUnreadTokensBlockTheDriver(t *testing.T) {
	t.Parallel()
	if os.Getenv(leakyVariable) == "" {
		child := exec.Command(os.Args[0], "-test.run=^TestUnreadTokensBlockTheDriver$")
		child.Env = append(os.Environ(), leakyVariable+"=1")
		if output, err := child.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, output)
		}
		return
	}
	for _, c := range []struct {
		trailing int
		patience time.Duration
		blocks   bool
	}{{3, 20 * time.Second, false}, {20, time.Second / 2, true}} {
		s, _ := startFake(t)
		s.Inject(Match{Text: "select"}, Fault{Errors: []engine.Message{{Number: 245, Class: 16}}, Trailing: c.trailing})
		tx := begin(t, open(t, s, ""))
		if rows, err := tx.QueryContext(testContext(t), "select;"); err == nil {
			_ = rows.Close()
			t.Fatal("no error")
		}
		after := make(chan error, 1)
		go func() { after <- tx.Rollback() }()
		select {
		case err := <-after:
			if err != nil || c.blocks {
				t.Errorf("%d tokens: Rollback returned %v", c.trailing, err)
			}
		case <-time.After(c.patience):
			if !c.blocks {
				t.Errorf("%d tokens: Rollback blocks", c.trailing)
			}
		}
	}
}

func TestTrailingTokens(t *testing.T) {
	t.Parallel()
	s, _ := startFake(t)
	s.Inject(Match{}, Fault{Trailing: 2, ServerError: true})
	c := dialRaw(t, s)
	c.login()
	c.send(packetBatch, 0, batch(0, "go on"))
	want := "fd1100c1000100000000000000" + "fd1100c1000000000000000000" + "fd1201c1000000000000000000"
	if got := hex.EncodeToString(c.receive()); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestKillFault(t *testing.T) {
	t.Parallel()
	s, b := startFake(t)
	s.Inject(Match{Kind: KindBatch, Text: "update"}, Fault{Kill: true})
	tx := begin(t, open(t, s, ""))
	_, err := tx.ExecContext(testContext(t), "update;")
	wantLost(t, err)
	if b.open() != 0 {
		t.Error("the session outlives its connection")
	}
}

func TestHoldAndDelay(t *testing.T) {
	t.Parallel()
	s, _ := startFake(t)
	db := open(t, s, "")
	run, reply := make(chan struct{}), make(chan struct{})
	rule := s.Inject(Match{Text: "held"}, Fault{HoldRun: run, DelayRun: time.Millisecond, HoldReply: reply, DelayReply: time.Millisecond, Times: -1})
	answered := make(chan error, 1)
	go func() {
		_, err := db.ExecContext(testContext(t), "held;")
		answered <- err
	}()
	<-rule.Fired()
	close(run)
	select {
	case err := <-answered:
		t.Fatal("answered while held", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(reply)
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	mustExec(t, db, "held;")
	if rule.Count() != 2 {
		t.Error(rule.Count())
	}
	rule.Remove()
	mustExec(t, db, "held;")
	if rule.Count() != 2 {
		t.Error(rule.Count())
	}
}

func TestAttentionEndsAHold(t *testing.T) {
	t.Parallel()
	s, _ := startFake(t)
	db := open(t, s, "")
	for _, fault := range []Fault{{HoldRun: make(chan struct{})}, {HoldReply: make(chan struct{})}, {DelayRun: time.Hour}} {
		rule := s.Inject(Match{Text: "held"}, fault)
		ctx, cancel := context.WithCancel(testContext(t))
		go func() {
			<-rule.Fired()
			cancel()
		}()
		if _, err := db.ExecContext(ctx, "held;"); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		rule.Remove()
		mustExec(t, db, "go on;")
	}
	if c := s.Connections(); len(c) != 1 {
		t.Errorf("%+v", c)
	}
}

func TestObservation(t *testing.T) {
	t.Parallel()
	s, _ := startFake(t)
	db := open(t, s, "")
	tx := begin(t, db)
	mustExec(t, tx, "insert @p1", 5)
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	requests := s.Requests()
	if len(requests) != 3 {
		t.Fatalf("%+v", requests)
	}
	begun, inserted, committed := requests[0], requests[1], requests[2]
	if begun.Kind != KindTransaction || begun.Operation != OperationBegin || begun.Isolation != 2 || begun.Descriptor != 0 || !begun.Reset {
		t.Errorf("%+v", begun)
	}
	if inserted.Kind != KindRPC || inserted.Text != "insert @p1" || inserted.Params[2].Value != int64(5) || inserted.Descriptor == 0 || inserted.Reset {
		t.Errorf("%+v", inserted)
	}
	if committed.Operation != OperationCommit || committed.Connection != 1 || committed.Session != 51 {
		t.Errorf("%+v", committed)
	}
	s.Forget()
	mustExec(t, db, "go on;")
	if requests := s.Requests(); len(requests) != 1 || !requests[0].Reset || requests[0].KeepTransaction || s.RoundTrips() != 1 {
		t.Errorf("%+v", requests)
	}
	if got := KindTransaction.String() + " " + Kind(9).String(); got != "transaction Kind(9)" {
		t.Error(got)
	}
}

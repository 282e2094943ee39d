package tdstest

import (
	"context"
	"database/sql"
	"os"
	"testing"
	"time"

	_ "github.com/microsoft/go-mssqldb"
	"go.uber.org/goleak"
)

// leakyVariable is set in the environment of a process whose test leaves
// goroutines behind.
const leakyVariable = "TDSTEST_LEAKY"

func TestMain(m *testing.M) {
	if os.Getenv(leakyVariable) != "" {
		os.Exit(m.Run())
	}
	goleak.VerifyTestMain(m)
}

func withBackend(b backend) Option {
	return func(o *options) { o.backend = b }
}

// startFake returns a server in front of a fake engine.
func startFake(t *testing.T) (*Server, *fakeBackend) {
	t.Helper()
	b := newFakeBackend()
	s, err := Start(withBackend(b))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, b
}

// open returns a pool of the real driver. What is appended to the URL begins
// with &.
func open(t *testing.T, s *Server, more string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlserver", s.URL("sa", "secret", "shop")+more)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits for what happens on another goroutine.
func eventually(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !happened(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never happened: " + what)
		}
	}
}

func mustExec(t *testing.T, db interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
}, query string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(testContext(t), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

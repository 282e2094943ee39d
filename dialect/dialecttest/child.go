package dialecttest

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/lockstep-go/lockstep/uow"
)

// childVariable holds the order of a process that the suite has started.
const childVariable = "LOCKSTEP_DIALECTTEST_CHILD"

// order tells a process what to do.
type order struct {
	Part  string
	DSN   string
	Level sql.IsolationLevel
	// How many goroutines run how many units each.
	Goroutines, Units int
}

// What a process is told, and says.
const (
	commitNow = "commit"
	exitNow   = "exit"
	saysAsks  = "asks"
	saysHolds = "holds"
	saysDone  = "done"
)

// Child runs the part of another process, if the suite started this process for
// one, and does not return then. It is called first thing in TestMain.
func Child(h Harness) {
	text := os.Getenv(childVariable)
	if text == "" {
		return
	}
	var o order
	err := json.Unmarshal([]byte(text), &o)
	if err == nil {
		err = o.run(uow.New(h.Open(childTB{}, o.DSN, ""), h.Dialect()))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(saysDone)
	os.Exit(0)
}

func (o order) run(m *uow.Manager) error {
	switch o.Part {
	case partHold:
		return holdAsTold(m)
	case partCount:
		go exitWithParent()
		return o.count(m)
	}
	return fmt.Errorf("unknown part %q", o.Part)
}

// The parts of a process.
const (
	partHold  = "hold"  // take lock a, write, and end as told
	partCount = "count" // increment item 1 many times
)

func holdAsTold(m *uow.Manager) error {
	fmt.Println(saysAsks)
	return m.Do(context.Background(), func(ctx context.Context, u *uow.UnitOfWork) error {
		if err := increment(ctx, u); err != nil {
			return err
		}
		fmt.Println(saysHolds)
		told := bufio.NewScanner(os.Stdin)
		if told.Scan() && told.Text() == commitNow {
			return nil
		}
		os.Exit(0) // as a process does that unlocks nothing
		return nil
	}, lockA)
}

// exitWithParent keeps a process from outliving the test that started it.
func exitWithParent() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(1)
}

// count runs its units without any policy of retry.
func (o order) count(m *uow.Manager) error {
	var all []<-chan error
	for range o.Goroutines {
		all = append(all, start(func() error {
			for range o.Units {
				err := m.Do(context.Background(), increment, lockA, uow.Isolation(o.Level))
				if err != nil {
					return err
				}
			}
			return nil
		}))
	}
	var failed []error
	for _, done := range all {
		failed = append(failed, <-done)
	}
	return errors.Join(failed...)
}

// childTB is the testing.TB of a process that runs no tests: as much of it as a
// Harness's Open may use. Other methods panic.
type childTB struct{ testing.TB }

func (childTB) Helper()                  {}
func (childTB) Name() string             { return "child" }
func (childTB) Context() context.Context { return context.Background() }
func (childTB) Cleanup(func())           {}
func (childTB) Log(args ...any)          { fmt.Fprintln(os.Stderr, args...) }
func (childTB) Logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

func (c childTB) Error(args ...any)                 { c.Fatal(args...) }
func (c childTB) Errorf(format string, args ...any) { c.Fatalf(format, args...) }
func (c childTB) Skip(args ...any)                  { c.Fatal(args...) }
func (c childTB) Skipf(format string, args ...any)  { c.Fatalf(format, args...) }
func (c childTB) Fatal(args ...any)                 { c.Log(args...); os.Exit(1) }
func (c childTB) Fatalf(format string, args ...any) { c.Logf(format, args...); os.Exit(1) }

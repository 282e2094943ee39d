package filelock

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lockstep-go/lockstep/dialect"
)

// childVariable holds the directory whose lock "a" a process is to take.
const childVariable = "LOCKSTEP_FILELOCK_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		if err := holdUntilTold(Dir(dir)); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// holdUntilTold takes the lock "a", says so, and gives it back when its input
// ends.
func holdUntilTold(d Dir) error {
	narrowUmask()
	s, err := d.Open(context.Background(), Owner{Label: "child", User: "somebody", Host: "here"})
	if err != nil {
		return err
	}
	if err := s.Acquire(context.Background(), []dialect.Lock{exclusively("a")}, false); err != nil {
		return err
	}
	fmt.Println("holds")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return s.Close()
}

// child is another process that holds the lock "a".
type child struct {
	*exec.Cmd
	stdin io.WriteCloser
	said  *bufio.Scanner
}

// spawn starts a process that takes the lock "a"; prepare may change how.
func spawn(t *testing.T, d Dir, prepare func(*exec.Cmd)) *child {
	t.Helper()
	program, err := os.Executable()
	check(t, err)
	c := &child{Cmd: exec.Command(program, "-test.run=^$")}
	c.Env = append(os.Environ(), childVariable+"="+string(d))
	if prepare != nil {
		prepare(c.Cmd)
	}
	c.stdin, err = c.StdinPipe()
	check(t, err)
	stdout, err := c.StdoutPipe()
	check(t, err)
	check(t, c.Start())
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	c.said = bufio.NewScanner(stdout)
	return c
}

func (c *child) holds(t *testing.T) {
	t.Helper()
	if !c.said.Scan() || c.said.Text() != "holds" {
		t.Fatalf("a process said %q", c.said.Text())
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newDir is a directory that is not there yet.
func newDir(t *testing.T) Dir { return Dir(filepath.Join(t.TempDir(), "test.db.locks")) }

func open(t *testing.T, d Dir, label string) *Session {
	t.Helper()
	s, err := d.Open(t.Context(), Owner{Label: label, User: "tester", Host: "here"})
	check(t, err)
	t.Cleanup(func() {
		if s.file != nil {
			_ = s.Close()
		}
	})
	return s
}

func exclusively(name string) dialect.Lock {
	return dialect.Lock{Name: name, Mode: dialect.Exclusive, Limit: dialect.Forever}
}

func lock(name string, mode dialect.Mode, limit time.Duration) dialect.Lock {
	return dialect.Lock{Name: name, Mode: mode, Limit: limit}
}

func (s *Session) take(t *testing.T, l dialect.Lock) {
	t.Helper()
	check(t, s.Acquire(t.Context(), []dialect.Lock{l}, false))
}

// takes reports whether the session gets a lock at once.
func (s *Session) takes(t *testing.T, name string, mode dialect.Mode) bool {
	t.Helper()
	err := s.Acquire(t.Context(), []dialect.Lock{lock(name, mode, 0)}, false)
	if err != nil && !errors.Is(err, dialect.LockTimeout) {
		t.Fatal(err)
	}
	return err == nil
}

// waits runs Acquire on a goroutine and returns once others see it wait.
func (s *Session) waits(t *testing.T, l dialect.Lock) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- s.Acquire(t.Context(), []dialect.Lock{l}, false) }()
	for !isWaiting(t, s.dir, l.Name, s.ID()) {
		time.Sleep(time.Millisecond)
	}
	return done
}

// waitForWaiter waits until somebody waits for the lock "a".
func waitForWaiter(t *testing.T, d Dir) {
	t.Helper()
	for !isWaiting(t, d, "a", "") {
		time.Sleep(time.Millisecond)
	}
}

// isWaiting reports whether a session waits for a lock; with no id, whether any
// does.
func isWaiting(t *testing.T, d Dir, name, id string) bool {
	t.Helper()
	status, err := d.Inspect(t.Context(), []string{name})
	check(t, err)
	return slices.ContainsFunc(status[0].Waiters, func(w dialect.Session) bool { return id == "" || w.ID == id })
}

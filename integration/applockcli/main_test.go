//go:build unix

package applockcli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lockstep-go/lockstep/dialect/sqlite"
	"github.com/lockstep-go/lockstep/integration/servers"
	"github.com/lockstep-go/lockstep/integration/servers/serverstest"
)

// builtIn is the folder of the program, for the tests of one run.
const builtIn = "LOCKSTEP_TEST_APPLOCK"

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run builds the program once.
func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "applock")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	if err := os.Chmod(folder, 0o755); err != nil { // other users run it, too
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	build := exec.Command("go", "build", "-o", folder, "github.com/lockstep-go/lockstep/cmd/applock")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building applock:", err)
		return 1
	}
	// The default database is the tests' own.
	err = errors.Join(os.Setenv(builtIn, folder), os.Setenv("XDG_STATE_HOME", folder), os.Unsetenv("LOCKSTEP_DB"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return serverstest.Main(m, servers.Postgres, servers.MSSQL)
}

// program is the path of applock.
func program() string { return filepath.Join(os.Getenv(builtIn), "applock") }

// onEach runs a test on every database.
func onEach(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	for name, database := range map[string]func(testing.TB) string{
		"PostgreSQL": serverstest.PostgresDatabase,
		"SQLServer":  serverstest.MSSQLDatabase,
		"SQLite":     func(tb testing.TB) string { return "sqlite:" + filepath.Join(tb.TempDir(), "locks.db") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, database(t))
		})
	}
}

// A call is one run of applock.
type call struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout lines
	stderr lines
	done   chan struct{}
}

// patience bounds what a test waits for.
const patience = 2 * time.Minute

// start starts applock with the database in its environment.
func start(t *testing.T, url string, args ...string) *call {
	t.Helper()
	return startWith(t, url, "", args...)
}

// startWith is start with something on the standard input.
func startWith(t *testing.T, url, input string, args ...string) *call {
	t.Helper()
	c := &call{t: t, done: make(chan struct{})}
	c.cmd = exec.Command(program(), args...)
	c.cmd.Env = append(os.Environ(), "LOCKSTEP_DB="+url)
	c.cmd.Stdin = strings.NewReader(input)
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // the terminal of who runs the tests is none of its business
	c.run()
	return c
}

// run starts the process, which is killed when the test ends.
func (c *call) run() {
	c.t.Helper()
	c.cmd.Stdout, c.cmd.Stderr = &c.stdout, &c.stderr
	c.cmd.WaitDelay = time.Second
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	go func() {
		_ = c.cmd.Wait()
		close(c.done)
	}()
	c.t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-c.done
	})
}

// code waits for the end and returns the exit code.
func (c *call) code() int {
	c.t.Helper()
	select {
	case <-c.done:
	case <-time.After(patience):
		c.t.Fatalf("%v does not end; it has written %q and %q", c.cmd.Args, c.stdout.String(), c.stderr.String())
	}
	return c.cmd.ProcessState.ExitCode()
}

// signal sends a signal to applock.
func (c *call) signal(s syscall.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

// printed waits until the output has the text.
func (c *call) printed(text string) {
	c.t.Helper()
	eventually(c.t, fmt.Sprintf("%v prints %q", c.cmd.Args, text), func() bool {
		return strings.Contains(c.stdout.String(), text)
	})
}

// matched waits until the output has what the expression describes.
func (c *call) matched(expression string) {
	c.t.Helper()
	pattern := regexp.MustCompile(expression)
	eventually(c.t, fmt.Sprintf("%v prints %s", c.cmd.Args, expression), func() bool {
		return pattern.MatchString(c.stdout.String())
	})
}

// want checks how a call ended.
func (c *call) want(code int) *call {
	c.t.Helper()
	if got := c.code(); got != code {
		c.t.Errorf("%v: exit code %d, want %d; it has written %q and %q",
			c.cmd.Args[1:], got, code, c.stdout.String(), c.stderr.String())
	}
	return c
}

// wantIn checks that a text has all parts.
func wantIn(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in %q", part, text)
		}
	}
}

// eventually waits until a condition is met.
func eventually(t *testing.T, what string, met func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for !met() {
		select {
		case <-ctx.Done():
			t.Fatalf("not in %v: %s", patience, what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// hold starts a run that holds the lock until its input ends or it is ended.
func hold(t *testing.T, url, name string, flags ...string) *call {
	t.Helper()
	args := append([]string{"run"}, flags...)
	c := start(t, url, append(args, name, "--", "sh", "-c", "echo held; sleep 1000")...)
	c.printed("held")
	return c
}

// lose takes a lock away from its holder: the session is ended, or the file that
// is the lock is removed.
func lose(t *testing.T, url, name string) {
	t.Helper()
	path, isFile := strings.CutPrefix(url, "sqlite:")
	if !isFile {
		start(t, url, "end", "--yes", name).want(0)
		return
	}
	if err := os.Remove(sqlite.LockFile(path, name)); err != nil {
		t.Fatal(err)
	}
}

// lines is what a process has written so far.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String returns all of it.
func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

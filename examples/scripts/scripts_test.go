//go:build unix

package scripts

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lockstep-go/lockstep/integration/servers"
	"github.com/lockstep-go/lockstep/integration/servers/serverstest"
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run puts applock, built from this module, on the path of the scripts.
func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "scripts")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	build := exec.Command("go", "build", "-o", folder, "github.com/lockstep-go/lockstep/cmd/applock")
	build.Stderr = os.Stderr
	err = errors.Join(build.Run(), os.Unsetenv("LOCKSTEP_DB"), os.Unsetenv("DEPLOY_HAS_LOCK"),
		os.Setenv("PATH", folder+string(os.PathListSeparator)+os.Getenv("PATH")))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return serverstest.Main(m, servers.Postgres, servers.MSSQL)
}

// A host is where scripts run: a place for locks, and a target of deployments.
type host struct {
	t       *testing.T
	env     []string
	release string
	target  string
}

func newHost(t *testing.T, database string) *host {
	t.Helper()
	h := &host{t: t, release: t.TempDir(), target: filepath.Join(t.TempDir(), "target")}
	h.env = append(os.Environ(), "XDG_STATE_HOME="+t.TempDir())
	if database != "" {
		h.env = append(h.env, "LOCKSTEP_DB="+database)
	}
	return h
}

// prepare gives the release a program that prepares it.
func (h *host) prepare(lines string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.release, "prepare"), []byte("#!/bin/sh\n"+lines), 0o755); err != nil {
		h.t.Fatal(err)
	}
}

// command is a call of a script.
func (h *host) command(script string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(h.t.Context(), "./"+script, args...)
	cmd.Env = h.env
	return cmd
}

// script runs a script and returns what it wrote, errors included, and its code.
func (h *host) script(name string, args ...string) (string, int) {
	h.t.Helper()
	cmd := h.command(name, args...)
	output, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		h.t.Fatal(err)
	}
	return string(output), cmd.ProcessState.ExitCode()
}

// detector is a preparation that tells whether another is inside, too.
const detector = `
mkdir ../../inside || { echo overlap >>../../overlaps; exit 1; }
sleep 0.02
rmdir ../../inside
`

// overlaps counts what the detector has found.
func (h *host) overlaps() int {
	h.t.Helper()
	found, err := os.ReadFile(filepath.Join(h.target, "overlaps"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		h.t.Fatal(err)
	}
	return bytes.Count(found, []byte("overlap\n"))
}

func TestCopiesOfDeployNeverOverlap(t *testing.T) {
	t.Parallel()
	for name, database := range map[string]func(testing.TB) string{
		"Default":    func(testing.TB) string { return "" },
		"PostgreSQL": serverstest.PostgresDatabase,
		"SQLServer":  serverstest.MSSQLDatabase,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, database(t))
			h.prepare(detector)
			const copies = 24
			var all sync.WaitGroup
			for range copies {
				all.Go(func() {
					time.Sleep(rand.N(time.Second)) // starts at random moments
					if output, code := h.script("deploy.sh", h.release, h.target); code != 0 {
						t.Errorf("exit code %d: %s", code, output)
					}
				})
			}
			all.Wait()
			if n := h.overlaps(); n > 0 {
				t.Errorf("%d deployments met another", n)
			}
			if current, err := os.Readlink(filepath.Join(h.target, "current")); current != fmt.Sprintf("releases/%d", copies) {
				t.Errorf("current is %s, error %v; want release %d", current, err, copies)
			}
		})
	}
}

// Without its lock the script does overlap, and the test above would see it.
func TestDetectorDetects(t *testing.T) {
	t.Parallel()
	h := newHost(t, "")
	h.prepare("mkdir ../../inside && touch ../../first || { echo overlap >>../../overlaps; exit 1; }\nread -r line\n")
	h.env = append(h.env, "DEPLOY_HAS_LOCK=yes")
	first := h.command("deploy.sh", h.release, h.target)
	input, err := first.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	h.await("first")
	if output, code := h.script("deploy.sh", h.release, h.target); code == 0 {
		t.Errorf("the second copy went through: %s", output)
	}
	if n := h.overlaps(); n != 1 {
		t.Errorf("%d overlaps detected, want 1", n)
	}
	input.Close()
	_ = first.Wait() // what it did meanwhile is lost
}

// await waits for a file in the target.
func (h *host) await(name string) {
	h.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(h.target, name)); err == nil {
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("there is no %s", name)
		}
	}
}

// A deployment that is killed half-way leaves neither its lock nor its half.
func TestDeployAfterOneWasKilled(t *testing.T) {
	t.Parallel()
	h := newHost(t, "")
	h.prepare("touch ../../begun\nexec sleep 1000\n")
	killed := h.command("deploy.sh", h.release, h.target)
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	h.await("begun")
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait() // it was killed
	h.prepare("test ! -e leftover\n")
	if output, code := h.script("deploy.sh", h.release, h.target); code != 0 || !strings.Contains(output, "release 1 is current") {
		t.Errorf("exit code %d: %s", code, output)
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	h := newHost(t, "")
	h.prepare("exit 7\n")
	if output, code := h.script("deploy.sh", h.release, h.target); code != 7 {
		t.Errorf("prepare failed with 7, deploy.sh with %d: %s", code, output)
	}
	if _, err := os.Lstat(filepath.Join(h.target, "current")); err == nil {
		t.Error("a release that failed is current")
	}
	if output, code := h.script("deploy.sh", filepath.Join(h.release, "missing"), h.target); code != 64 {
		t.Errorf("no release: %d: %s", code, output)
	}
	if output, code := h.script("cron.sh", "job", "sh", "-c", "echo out; exit 9"); code != 9 || output != "out\n" {
		t.Errorf("a job that fails with 9: %d: %s", code, output)
	}
	if output, code := h.script("cron.sh", "job", "sh", "-c", "exit 75"); code != 1 {
		t.Errorf("a job that fails with applock's code for a lock that is held: %d: %s", code, output)
	}
	if output, code := h.script("cron.sh", "job"); code != 64 {
		t.Errorf("no job: %d: %s", code, output)
	}
}

// What a deployment starts does not pass for one that has the lock.
func TestLockIsNotInherited(t *testing.T) {
	t.Parallel()
	h := newHost(t, "")
	h.prepare(`test -z "${DEPLOY_HAS_LOCK-}"`)
	if output, code := h.script("deploy.sh", h.release, h.target); code != 0 {
		t.Errorf("exit code %d: %s", code, output)
	}
}

func TestCronSkipsWhatIsStillRunning(t *testing.T) {
	t.Parallel()
	h := newHost(t, "")
	output, code := h.script("cron.sh", "job", "./cron.sh", "job", "echo", "twice at once")
	if code != 0 || strings.Contains(output, "twice at once") || !strings.Contains(output, "was not obtained: held by") {
		t.Errorf("exit code %d: %s", code, output)
	}
	output, code = h.script("cron.sh", "job", "./cron.sh", "other", "echo", "another job")
	if code != 0 || !strings.Contains(output, "another job") {
		t.Errorf("exit code %d: %s", code, output)
	}
}

// What a deployment leaves running in the background does not keep the lock, as
// a descriptor with flock on it would.
func TestBackgroundDoesNotKeepTheLock(t *testing.T) {
	t.Parallel()
	h := newHost(t, "")
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	// It ends when the test opens the other end.
	h.prepare("cat " + fifo + " >/dev/null 2>&1 &\n")
	for range 2 {
		if output, code := h.script("deploy.sh", h.release, h.target); code != 0 {
			t.Errorf("exit code %d: %s", code, output)
		}
		end := open(t, fifo)
		defer end.Close()
	}
}

// open opens a fifo for writing as soon as somebody reads it.
func open(t *testing.T, fifo string) *os.File {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		end, err := os.OpenFile(fifo, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err == nil {
			return end
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing runs in the background: %v", err)
		}
	}
}

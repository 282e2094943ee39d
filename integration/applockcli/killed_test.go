//go:build unix

package applockcli

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lockstep-go/lockstep/applock"
)

func TestKilledLeavesNothing(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		c := start(t, url, "run", "a", "--", "sh", "-c", "sleep 1000 & echo $$ $!; wait")
		c.printed("\n")
		pids := strings.Fields(c.stdout.String())
		c.signal(syscall.SIGKILL)
		c.code()
		for _, pid := range pids {
			eventually(t, "no orphan is left", func() bool { return gone(number(t, pid)) })
		}
		start(t, url, "run", "--wait", "10s", "a", "--", "true").want(0)
	})
}

// markVariable marks a run and all that comes of it.
const markVariable = "LOCKSTEP_TEST_MARK"

// marked returns the command lines of the processes that have a mark.
func marked(t *testing.T, mark string) (found []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		// It cannot be read where the process has ended, or is another user's.
		text, _ := os.ReadFile(path)
		if bytes.Contains(text, []byte(markVariable+"="+mark)) {
			line, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
			found = append(found, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

// startMarked starts a run under a mark.
func startMarked(t *testing.T, url, mark, name, script string) *call {
	t.Helper()
	c := &call{t: t, done: make(chan struct{})}
	c.cmd = exec.Command(program(), "run", name, "--", "sh", "-c", script)
	c.cmd.Env = append(os.Environ(), "LOCKSTEP_DB="+url, markVariable+"="+mark)
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	c.run()
	return c
}

// TestKilledAtAnyTime kills applock while it starts, waits, starts its command,
// and runs it. Every third time the command itself does so, with its first
// breath.
func TestKilledAtAnyTime(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux shows the processes by their environment")
	}
	const atOnce = 4
	kills, names := 200, []string{"a", "b", "c"}
	if testing.Short() {
		kills = 30
	}
	onEach(t, func(t *testing.T, url string) {
		mark := filepath.Base(filepath.Dir(t.TempDir())) + t.Name()
		began := time.Now()
		first := startMarked(t, url, mark, "a", "echo up; sleep 1000 & sleep 1000 & wait")
		first.printed("up")
		usual := time.Since(began) // until the command runs
		first.signal(syscall.SIGKILL)

		slots := make(chan struct{}, atOnce)
		var done sync.WaitGroup
		for i := range kills {
			slots <- struct{}{}
			script := "sleep 1000 & sleep 1000 & wait"
			if i%3 == 0 {
				script = "sleep 1000 & kill -KILL $PPID; wait"
			}
			c := startMarked(t, url, mark, names[rand.N(len(names))], script)
			done.Go(func() {
				defer func() { <-slots }()
				select {
				case <-c.done:
					return
				case <-time.After(rand.N(2 * usual)):
				}
				_ = c.cmd.Process.Kill() // fails where it has killed itself
				<-c.done
			})
		}
		done.Wait()
		eventually(t, "no process is left of those that were killed", func() bool { return len(marked(t, mark)) == 0 })
		m := manager(t, url)
		eventually(t, "all locks are free", func() bool {
			all, err := applock.Inspect(t.Context(), m, names...)
			if err != nil {
				t.Error(err)
			}
			for _, s := range all {
				if len(s.Holders)+len(s.Waiters) > 0 {
					return false
				}
			}
			return true
		})
		for _, name := range names {
			start(t, url, "run", "--no-wait", name, "--", "true").want(0)
		}
	})
}

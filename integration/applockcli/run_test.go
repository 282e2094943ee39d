//go:build unix

package applockcli

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestCommandIsItself(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		c := startWith(t, url, "a line\n", "run", "one", "two", "--", "sh", "-c", `cat; echo "$0 $1" >&2; exit 7`, "zero", "--wait")
		c.want(7)
		if c.stdout.String() != "a line\n" || c.stderr.String() != "zero --wait\n" {
			t.Errorf("the command's output is %q and %q", c.stdout.String(), c.stderr.String())
		}
		start(t, url, "run", "one", "--", "true").want(0)
		start(t, url, "run", "one", "--", "sh", "-c", "kill -KILL $$").want(128 + 9)
		wantIn(t, start(t, url, "run", "one", "--", "no-such-command").want(127).stderr.String(), "no-such-command", "not found")
		start(t, url, "run", "one", "--", "/").want(126)
	})
}

func TestCommandGetsSignals(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		for name, signal := range map[string]syscall.Signal{
			"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP,
			"QUIT": syscall.SIGQUIT, "USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2,
		} {
			script := fmt.Sprintf("trap 'echo got; exit 3' %s; echo ready; while :; do sleep 0.02; done", name)
			c := start(t, url, "run", name, "--", "sh", "-c", script)
			c.printed("ready")
			c.signal(signal)
			c.want(3).printed("got")
		}
		c := hold(t, url, "untrapped")
		c.signal(syscall.SIGTERM)
		c.want(128 + 15)
	})
}

func TestSuspended(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		c := start(t, url, "run", "a", "--", "sh", "-c", "echo $$; exec sleep 1000")
		c.printed("\n")
		child := number(t, c.stdout.String())
		c.signal(syscall.SIGTSTP)
		for _, pid := range []int{child, c.cmd.Process.Pid} {
			eventually(t, "both stop", func() bool { return state(pid) == "T" })
		}
		start(t, url, "status", "-q", "a").want(1)
		c.signal(syscall.SIGCONT)
		for _, pid := range []int{child, c.cmd.Process.Pid} {
			eventually(t, "both go on", func() bool { return state(pid) != "T" })
		}
		c.signal(syscall.SIGINT)
		c.want(128 + 2)
	})
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// state is the kernel's letter for what a process does, empty where there is
// none.
func state(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	return strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))[0]
}

// gone reports whether a process has ended.
func gone(pid int) bool { return state(pid) == "" || state(pid) == "Z" }

func TestNotObtained(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		hold(t, url, "deploy", "--label", "the holder")
		for _, flags := range [][]string{{"--no-wait"}, {"--wait", "200ms"}, {"--wait=0"}, {"--shared", "--no-wait"}} {
			args := append(append([]string{"run"}, flags...), "other", "deploy", "--", "echo", "ran")
			c := start(t, url, args...).want(75)
			wantIn(t, c.stderr.String(), `"deploy" was not obtained`, "the holder", "session ")
			if c.stdout.String() != "" || strings.Count(c.stderr.String(), "\n") != 1 {
				t.Errorf("%v: output %q and %q", flags, c.stdout.String(), c.stderr.String())
			}
		}
	})
}

func TestShared(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		hold(t, url, "a", "--shared")
		start(t, url, "run", "--shared", "--no-wait", "a", "--", "true").want(0)
		start(t, url, "run", "--no-wait", "a", "--", "true").want(75)
	})
}

func TestLostLockEndsTheCommand(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		c := start(t, url, "run", "--grace", "5s", "a", "--", "sh", "-c",
			"(trap '' TERM; exec sleep 1000) & sleep 1000 & echo $$ $!; trap 'echo ending; exit 0' TERM; while :; do sleep 0.02; done")
		c.printed("\n")
		pids := strings.Fields(c.stdout.String())
		lose(t, url, "a")
		c.want(74).printed("ending")
		wantIn(t, c.stderr.String(), `lost "a"`, "terminated")
		for _, pid := range pids {
			if !gone(number(t, pid)) {
				t.Errorf("process %s is left", pid)
			}
		}

		c = start(t, url, "run", "--grace", "100ms", "a", "--", "sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.02; done")
		c.printed("deaf")
		lose(t, url, "a")
		c.want(74)
	})
}

func TestLostLockIgnored(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		told := filepath.Join(t.TempDir(), "told")
		c := start(t, url, "run", "--on-lost", "ignore", "a", "--", "sh", "-c", `echo held; until test -e "$0"; do sleep 0.1; done; exit 5`, told)
		c.printed("held")
		lose(t, url, "a")
		eventually(t, "the loss is told", func() bool { return strings.Contains(c.stderr.String(), `lost "a"`) })
		if err := os.WriteFile(told, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		wantIn(t, c.want(5).stderr.String(), `lost "a"`, "goes on")
	})
}

// TestNeverTwice starts scripts at random, each of which would notice another.
func TestNeverTwice(t *testing.T) {
	t.Parallel()
	starts, atOnce := 200, 6
	if testing.Short() {
		starts = 30
	}
	onEach(t, func(t *testing.T, url string) {
		folder := t.TempDir()
		script := fmt.Sprintf(`mkdir %[1]s/inside || { echo overlap; exit 9; }; echo x >> %[1]s/ran; sleep 0.01; rmdir %[1]s/inside`, folder)
		slots := make(chan struct{}, atOnce)
		var done sync.WaitGroup
		var mu sync.Mutex
		codes := make(map[int]int)
		for range starts {
			slots <- struct{}{}
			time.Sleep(rand.N(10 * time.Millisecond))
			args := []string{"run"}
			if rand.N(4) == 0 {
				args = append(args, "--no-wait")
			}
			c := start(t, url, append(args, "script", "--", "sh", "-c", script)...)
			done.Go(func() {
				<-c.done
				<-slots
				mu.Lock()
				defer mu.Unlock()
				codes[c.cmd.ProcessState.ExitCode()]++
				if text := c.stdout.String(); text != "" {
					t.Error(text)
				}
				if code := c.cmd.ProcessState.ExitCode(); code != 0 && code != 75 {
					t.Errorf("exit code %d: %s", code, c.stderr.String())
				}
			})
		}
		done.Wait()
		ran, err := os.ReadFile(filepath.Join(folder, "ran"))
		if err != nil || codes[0]*2 != len(ran) || codes[0]+codes[75] != starts || codes[0] < starts/2 {
			t.Errorf("%d scripts ran of %d, exit codes %v, error %v", len(ran)/2, starts, codes, err)
		}
		t.Logf("exit codes %v", codes)
	})
}

//go:build unix

package process

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// run runs a shell's script in a group of its own.
func run(t *testing.T, script string, stop <-chan struct{}, grace time.Duration) int {
	t.Helper()
	shell, err := Find("sh")
	if err != nil {
		t.Fatal(err)
	}
	code, err := Command{Path: shell, Args: []string{"sh", "-c", script}, Stop: stop, Grace: grace}.Run()
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func TestExitCodes(t *testing.T) {
	defer goleak.VerifyNone(t)
	for script, want := range map[string]int{"true": 0, "exit 7": 7, "kill -s KILL $$": 137, "kill -s TERM $$": 143} {
		if got := run(t, script, nil, 0); got != want {
			t.Errorf("%s: exit code %d, want %d", script, got, want)
		}
	}
}

// TestNothingIsLeftAfterTheGrace stops a program that will not be told, and what
// it has started, which shows signs of life.
func TestNothingIsLeftAfterTheGrace(t *testing.T) {
	defer goleak.VerifyNone(t)
	sign := filepath.Join(t.TempDir(), "alive")
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		for {
			if _, err := os.Stat(sign); err == nil || t.Context().Err() != nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	run(t, `trap '' TERM; (trap '' TERM; while :; do : >`+sign+`; sleep 0.05; done) & wait`, stop, 100*time.Millisecond)
	if err := os.Remove(sign); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond) // what must not happen takes its time
	if _, err := os.Stat(sign); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what the program had started went on: %v", err)
	}
}

func TestFindTellsWhy(t *testing.T) {
	t.Parallel()
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, found := range map[string]bool{"no-such-program": false, "/no/such/program": false, plain: true, "/": true} {
		_, err := Find(name)
		var notStarted *NotStartedError
		if !errors.As(err, &notStarted) || notStarted.Found != found {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestDescendantsAreFound(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux shows them")
	}
	script := exec.Command("sh", "-c", "sh -c 'sleep 1000; true' & echo started; wait")
	out, err := script.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := script.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	c := newChild(script.Process, SameGroup, 0)
	for deadline := time.Now().Add(10 * time.Second); len(descendants(script.Process.Pid)) < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the program's processes are not found")
		}
	}
	c.terminate()
	_ = script.Wait()
	for deadline := time.Now().Add(10 * time.Second); c.leftovers(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("they are not ended")
		}
	}
}

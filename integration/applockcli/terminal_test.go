//go:build unix

package applockcli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
)

// terminal is a program that runs in a terminal of its own.
type terminal struct {
	call
	keyboard *os.File
}

// inTerminal starts a program in a terminal of that width.
func inTerminal(t *testing.T, width uint16, url string, args ...string) *terminal {
	t.Helper()
	c := &terminal{call: call{t: t, done: make(chan struct{})}}
	c.cmd = exec.Command(args[0], args[1:]...)
	c.cmd.Env = append(os.Environ(), "LOCKSTEP_DB="+url, "TERM=xterm")
	screen, err := pty.StartWithSize(c.cmd, &pty.Winsize{Rows: 24, Cols: width})
	if err != nil {
		t.Fatal(err)
	}
	c.keyboard = screen
	go func() {
		_, _ = io.Copy(&c.stdout, screen) // ends when the last program has left the terminal
		_ = c.cmd.Wait()
		close(c.done)
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		_ = screen.Close()
		<-c.done
	})
	return c
}

// types presses keys.
func (c *terminal) types(keys string) {
	c.t.Helper()
	if _, err := io.WriteString(c.keyboard, keys); err != nil {
		c.t.Fatal(err)
	}
}

// Keys: to interrupt, to end the input, to empty the line, to stop.
const ctrlC, ctrlD, ctrlU, ctrlZ = "\x03", "\x04", "\x15", "\x1a"

// erased begins a line anew.
const erased = "\r\x1b[K"

func TestTerminalShowsTheHolder(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		holder := hold(t, url, "a", "--label", "the holder")
		wide := inTerminal(t, 120, url, program(), "run", "a", "--", "sh", "-c", "echo started; exit 3")
		narrow := inTerminal(t, 30, url, program(), "run", "--wait", "1m", "a", "--", "echo", "started")
		wide.matched(regexp.QuoteMeta(erased) + `applock: waiting \d+s for "a", held by the holder \(session `)
		wide.printed(" since ")
		narrow.matched(`applock: waiting \d+s for "a",? ?` + regexp.QuoteMeta(erased)) // cut to 29 characters, and then drawn again
		holder.signal(syscall.SIGTERM)
		wide.want(3)
		narrow.want(0)
		for _, c := range []*terminal{wide, narrow} {
			if !strings.HasSuffix(c.stdout.String(), erased+"started\r\n") {
				t.Errorf("the screen has %q", c.stdout.String())
			}
		}
	})
}

func TestTerminalInterruptsTheWait(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		hold(t, url, "a")
		c := inTerminal(t, 80, url, program(), "run", "a", "--", "echo", "started")
		c.printed("waiting")
		c.types(ctrlC)
		c.want(128 + 2)
		if strings.Contains(c.stdout.String(), "started") {
			t.Error("the command was run")
		}
		c = inTerminal(t, 80, url, program(), "run", "a", "--", "echo", "started")
		c.printed("waiting")
		c.signal(syscall.SIGTERM)
		c.want(128 + 15)
	})
}

func TestTerminalInterruptsTheCommand(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		c := inTerminal(t, 80, url, program(), "run", "a", "--", "sh", "-c",
			"trap 'echo got' INT; trap 'exit 4' TERM; echo ready; while :; do sleep 0.02; done")
		c.printed("ready")
		c.types(ctrlC)
		c.printed("got")
		c.signal(syscall.SIGTERM)
		c.want(4)
		if n := strings.Count(c.stdout.String(), "got"); n != 1 {
			t.Errorf("the command was interrupted %d times", n)
		}
	})
}

func TestTerminalLosesTheLock(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		c := inTerminal(t, 80, url, program(), "run", "--grace", "200ms", "a", "--", "sh", "-c",
			"(trap '' TERM; while :; do sleep 1000; done) & echo pids $$ $!.; wait")
		c.printed(".")
		_, pids, _ := strings.Cut(strings.TrimSpace(c.stdout.String()), "pids ")
		lose(t, url, "a")
		c.want(74).printed(`lost "a"`)
		for _, pid := range strings.Fields(strings.TrimSuffix(pids, ".")) {
			eventually(t, "what the command has started ends", func() bool { return gone(number(t, pid)) })
		}
	})
}

func TestTerminalAsksBeforeTheEnd(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		if strings.HasPrefix(url, "sqlite:") {
			t.Skip("SQLite ends nothing")
		}
		holder := hold(t, url, "a", "--label", "the holder")
		for answer, code := range map[string]int{"n\n": 1, "\n": 1, ctrlC: -1} {
			c := inTerminal(t, 80, url, program(), "end", "a")
			c.printed("the holder")
			c.printed("[y/N]")
			c.types(answer)
			c.want(code)
		}
		start(t, url, "status", "a").want(1)
		c := inTerminal(t, 80, url, program(), "end", "a")
		c.printed("[y/N]")
		c.types("y\n")
		c.want(0).printed("ended the holder")
		holder.want(74)
	})
}

// shell starts an interactive bash whose prompt is $.
func shell(t *testing.T, url, rc string) *terminal {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip(err)
	}
	file := filepath.Join(t.TempDir(), "bashrc")
	if err := os.WriteFile(file, []byte("PS1='$ '; bind 'set enable-bracketed-paste off'\nPATH="+os.Getenv(builtIn)+":$PATH\n"+rc), 0o600); err != nil {
		t.Fatal(err)
	}
	c := inTerminal(t, 200, url, bash, "--rcfile", file, "-i")
	c.printed("$ ")
	return c
}

func TestTerminalJobControl(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		c := shell(t, url, "")
		c.types("applock run a -- sh -c 'trap \"echo ended; exit 9\" INT; echo re''ady; read line; echo read=$line; while :; do sleep 0.02; done'\n")
		c.printed("ready")
		c.types(ctrlZ)
		c.printed("Stopped")
		start(t, url, "status", "-q", "a").want(1)
		c.types("fg\nsome''thing\n")
		c.printed("read=some''thing")
		c.types(ctrlC)
		c.printed("ended")
		c.types("echo code=$?\n")
		c.printed("code=9")
		c.types("applock run a -- sh -c 'echo up; cat' | tr a-z A-Z\n")
		c.printed("UP")
		c.types("in a pipe\n")
		c.printed("IN A PIPE")
		c.types(ctrlD)
		c.types("exit 0\n")
		c.want(0)
	})
}

// words stands in for the function of bash-completion that cobra's script needs.
const words = `_get_comp_words_by_ref() { cur=${COMP_WORDS[COMP_CWORD]}; prev=${COMP_WORDS[COMP_CWORD-1]}; words=("${COMP_WORDS[@]}"); cword=$COMP_CWORD; }
source <(applock completion bash)
`

func TestTerminalCompletes(t *testing.T) {
	t.Parallel()
	c := shell(t, "", words)
	c.types("applock sta\t")
	c.printed("applock status ")
	c.types(ctrlU)
	c.types("applock run --on-lost ter\t")
	c.printed("applock run --on-lost terminate")
	c.types(ctrlU)
	file := filepath.Join(t.TempDir(), "some-script")
	if err := os.WriteFile(file, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	c.types(fmt.Sprintf("applock run a -- %s\t", strings.TrimSuffix(file, "script")))
	c.printed(file)
	c.types(ctrlU + "exit 0\n")
	c.want(0)
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		wantIn(t, start(t, "", "completion", shell).want(0).stdout.String(), "applock")
	}
	if text := start(t, "", "__complete", "run", "--db", "").want(0).stdout.String(); !strings.Contains(text, "postgres://") {
		t.Error(errors.New(text))
	}
}

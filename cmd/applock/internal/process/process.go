// Package process runs a command as if its caller had been that command: with
// the same streams, signals and exit code. It ends the command, and what the
// command has started, when it is told to.
package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"time"
)

// A Command is a program to be run.
type Command struct {
	Path string   // as Find has found it
	Args []string // with the name of the program in front
	Mode Mode

	// Signals are passed on to the program while it runs.
	Signals <-chan os.Signal

	// Stop, when it is closed, ends the program and what it has started: by
	// SIGTERM, and after Grace by SIGKILL. Nil never does.
	Stop  <-chan struct{}
	Grace time.Duration
}

// Mode says how the program stands to the terminal.
type Mode int

// The modes.
const (
	// OwnGroup puts the program in a process group of its own, which can be
	// ended as a whole. It is the mode of scripts and jobs.
	OwnGroup Mode = iota

	// SameGroup leaves it in the group of its caller, as the terminal's job
	// control wants it.
	SameGroup
)

// NotStartedError is returned when a program could not be started.
type NotStartedError struct {
	Name  string
	Found bool // there is such a file
	Err   error
}

// Error names the program and the reason.
func (e *NotStartedError) Error() string {
	var path *os.PathError
	if reason := e.Err; errors.As(reason, &path) {
		return fmt.Sprintf("cannot run %q: %v", e.Name, path.Err)
	}
	if errors.Is(e.Err, exec.ErrNotFound) {
		return fmt.Sprintf("cannot run %q: command not found", e.Name)
	}
	return fmt.Sprintf("cannot run %q: %v", e.Name, e.Err)
}

// Unwrap returns the reason.
func (e *NotStartedError) Unwrap() error { return e.Err }

// Find looks for the program of that name as a shell would. The error is a
// *NotStartedError.
func Find(name string) (path string, err error) {
	path, err = exec.LookPath(name)
	if err == nil || errors.Is(err, exec.ErrDot) {
		return path, nil
	}
	missing := errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist)
	return "", &NotStartedError{Name: name, Found: !missing, Err: errors.Unwrap(err)}
}

// signalBase is added to the number of a signal that ended a program.
const signalBase = 128

// Run runs the command with the streams and the environment of this process and
// returns its exit code, or 128 and the number of the signal that ended it. The
// error is a *NotStartedError.
func (c Command) Run() (code int, err error) {
	started, ended := make(chan error, 1), make(chan error, 1)
	g := startGuard(c.Mode)
	defer g.dismiss()
	program := exec.Command(c.Path)
	program.Args = c.Args
	program.Stdin, program.Stdout, program.Stderr = os.Stdin, os.Stdout, os.Stderr
	program.SysProcAttr = attributes(c.Mode, g.group())
	go func() {
		// The kernel ends the program with the thread that has started it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := program.Start()
		started <- err
		if err == nil {
			ended <- program.Wait()
		}
	}()
	err = <-started
	g.watch()
	if err != nil {
		return 0, &NotStartedError{Name: c.Args[0], Found: !errors.Is(err, os.ErrNotExist), Err: err}
	}
	p := newChild(program.Process, c.Mode, g.group())
	c.attend(p, ended)
	return exitCode(program.ProcessState), nil
}

// attend passes on signals until the program has ended, and ends it when it is
// told to.
func (c Command) attend(p *child, ended <-chan error) {
	var patience <-chan time.Time
	stop := c.Stop
	for {
		select {
		case s := <-c.Signals:
			p.pass(s)
		case <-stop:
			stop = nil
			p.terminate()
			patience = time.After(c.Grace)
		case <-patience:
			p.kill()
		case <-ended:
			// Whatever its end was, what it had started must not outlive the grace.
			if patience != nil {
				c.outlast(p, patience)
			}
			return
		}
	}
}

// outlast waits for what the program has left behind, and kills it in the end.
func (c Command) outlast(p *child, patience <-chan time.Time) {
	const pause = 20 * time.Millisecond
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for p.leftovers() {
		select {
		case <-patience:
			p.kill()
			return
		case <-ticker.C:
		}
	}
}

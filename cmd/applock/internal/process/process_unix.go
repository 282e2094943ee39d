//go:build unix

package process

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// DetectMode returns the mode for this process: that of a terminal's job, if one
// of its streams is the controlling terminal or it has that one's foreground.
func DetectMode() Mode {
	if _, found := terminal(unix.Stdin, unix.Stdout, unix.Stderr); found || InForeground() {
		return SameGroup
	}
	return OwnGroup
}

// terminal returns the group in the foreground of the controlling terminal, if
// one of the files is that.
func terminal(files ...int) (foreground int, found bool) {
	for _, file := range files {
		if group, err := unix.IoctlGetInt(file, unix.TIOCGPGRP); err == nil {
			return group, true
		}
	}
	return 0, false
}

// InForeground reports whether the controlling terminal, if there is one, sends
// its signals to this process, which may then write to it without disturbing
// another job.
func InForeground() bool {
	controlling, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(controlling) }()
	foreground, found := terminal(controlling)
	return found && foreground == unix.Getpgrp()
}

// Subscribe asks for the signals that a Command passes on. Those that were
// ignored when this process began, as by nohup, stay so. A stop by the terminal
// reaches all of its job without help.
func Subscribe(mode Mode) (signals chan os.Signal, cancel func()) {
	signals = make(chan os.Signal, 16)
	wanted := []os.Signal{
		syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT,
		syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGCONT,
		syscall.SIGPIPE, // else a message to a closed stream would end this process
	}
	if mode == OwnGroup {
		wanted = append(wanted, syscall.SIGTSTP)
	}
	for _, s := range wanted {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	return signals, func() { signal.Stop(signals) }
}

// Ends reports whether a signal is meant to end whoever receives it, and is not
// just a message for the program.
func Ends(s os.Signal) bool {
	switch s {
	case syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT:
		return true
	}
	return false
}

// Suspend stops this process for a signal that asks for that.
func Suspend(s os.Signal) {
	if s == syscall.SIGTSTP {
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	}
}

// SignalCode is the exit code for the end by a signal.
func SignalCode(s os.Signal) int {
	if number, ok := s.(syscall.Signal); ok {
		return signalBase + int(number)
	}
	return signalBase
}

// exitCode tells how the program ended.
func exitCode(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return signalBase + int(status.Signal())
	}
	return state.ExitCode()
}

// child is the running program.
type child struct {
	process *os.Process
	mode    Mode
	group   int        // its number, if it is the program's own
	family  []relative // what it had started when it was told to end
}

// newChild is the program that was started in a group; in one of its own if that
// is 0.
func newChild(p *os.Process, mode Mode, group int) *child {
	if group == 0 {
		group = p.Pid
	}
	return &child{process: p, mode: mode, group: group}
}

// pass passes a signal on. To a group of its own it goes as a terminal would
// send it: to all, but for the signals that have a meaning only to the program.
func (c *child) pass(s os.Signal) {
	number, ok := s.(syscall.Signal)
	if !ok || number == syscall.SIGPIPE {
		return
	}
	switch {
	case number == syscall.SIGUSR1 || number == syscall.SIGUSR2:
		_ = c.process.Signal(number)
	case c.mode == OwnGroup:
		c.all(number)
		Suspend(number)
	case (number == syscall.SIGINT || number == syscall.SIGQUIT) && InForeground():
		// It is the terminal's, which sends it to the whole job.
	default:
		_ = c.process.Signal(number)
	}
}

// all sends a signal to the program's own group.
func (c *child) all(s syscall.Signal) { _ = syscall.Kill(-c.group, s) }

// terminate asks the program, and what it has started, to end.
func (c *child) terminate() {
	if c.mode == OwnGroup {
		c.all(syscall.SIGTERM)
		c.all(syscall.SIGCONT) // who is stopped does not hear
		return
	}
	c.family = descendants(c.process.Pid)
	c.each(syscall.SIGTERM)
	c.each(syscall.SIGCONT)
}

// each sends a signal to the program and to what it had started.
func (c *child) each(s syscall.Signal) {
	_ = c.process.Signal(s)
	for _, r := range c.family {
		if r.alive() {
			_ = syscall.Kill(r.pid, s)
		}
	}
}

// kill ends whatever is left.
func (c *child) kill() {
	if c.mode == OwnGroup {
		c.all(syscall.SIGKILL)
		return
	}
	c.family = append(c.family, descendants(c.process.Pid)...)
	c.each(syscall.SIGKILL)
}

// leftovers reports whether something that the program has started is there
// after its end.
func (c *child) leftovers() bool {
	if c.mode == OwnGroup {
		return syscall.Kill(-c.group, 0) == nil
	}
	for _, r := range c.family {
		if r.alive() {
			return true
		}
	}
	return false
}

//go:build !unix

package process

import (
	"os"
	"os/signal"
	"syscall"
)

// DetectMode returns the mode for the streams of this process.
func DetectMode() Mode { return SameGroup }

// InForeground reports whether this process may write to its terminal.
func InForeground() bool { return true }

// Subscribe asks for the signals that this system has.
func Subscribe(Mode) (signals chan os.Signal, cancel func()) {
	signals = make(chan os.Signal, 16)
	signal.Notify(signals, os.Interrupt)
	return signals, func() { signal.Stop(signals) }
}

// Ends reports whether a signal is meant to end whoever receives it.
func Ends(os.Signal) bool { return true }

// Suspend does nothing: there is no such signal.
func Suspend(os.Signal) {}

// SignalCode is the exit code for the end by a signal.
func SignalCode(os.Signal) int { return signalBase + int(syscall.SIGINT) }

func attributes(Mode, int) *syscall.SysProcAttr { return nil }

func exitCode(state *os.ProcessState) int { return state.ExitCode() }

// child is the running program.
type child struct{ process *os.Process }

func newChild(p *os.Process, _ Mode, _ int) *child { return &child{process: p} }

// pass does nothing: the console sends its interrupt to all its programs.
func (c *child) pass(os.Signal) {}

// terminate and kill are the same where no signal asks for an end.
func (c *child) terminate() { c.kill() }

func (c *child) kill() { _ = c.process.Kill() }

func (c *child) leftovers() bool { return false }

// guard would end the program when this process is killed.
type guard struct{}

func startGuard(Mode) *guard { return nil }

func (*guard) group() int { return 0 }

func (*guard) watch() {}

func (*guard) dismiss() {}

//go:build unix

package process

import (
	"io"
	"os/exec"
	"strconv"
	"syscall"
)

// guardScript kills the group that it is given, unless it is told that all is
// well before its input ends.
const guardScript = `read -r well || kill -s KILL -- "-$1"`

// A guard is a process that outlives this one to end the program's group: the
// kernel ends no more than the program itself, if that.
//
// There is no moment in which the program runs unguarded. The group is made
// before it, by a leader that does nothing, and the guard knows it by then. The
// guard's input cannot end between fork and exec, as the program has it open
// until exec, and is in the group by then.
type guard struct {
	leader, script *exec.Cmd
	line           io.WriteCloser
}

// startGuard starts a guard. Where there is no shell there is none: its methods
// do nothing then.
func startGuard(mode Mode) *guard {
	if mode != OwnGroup {
		return nil // whose group is not the program's alone
	}
	// Its number is the group's until it is waited for, though it has ended.
	leader := exec.Command("/bin/sh", "-c", ":")
	leader.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if leader.Start() != nil {
		return nil
	}
	script := exec.Command("/bin/sh", "-c", guardScript, "sh", strconv.Itoa(leader.Process.Pid))
	script.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // out of reach of the terminal's signals
	line, err := script.StdinPipe()
	if err == nil {
		err = script.Start()
	}
	if err != nil {
		_ = leader.Wait()
		return nil
	}
	return &guard{leader, script, line}
}

// group is the group that the program is to be in; 0 stands for one of its own.
func (g *guard) group() int {
	if g == nil {
		return 0
	}
	return g.leader.Process.Pid
}

// watch leaves the group to the program, which is in it, or could not be started.
func (g *guard) watch() {
	if g != nil {
		_ = g.leader.Wait()
	}
}

// dismiss ends the guard.
func (g *guard) dismiss() {
	if g != nil {
		_, _ = io.WriteString(g.line, "well\n")
		_ = g.line.Close()
		_ = g.script.Wait()
	}
}

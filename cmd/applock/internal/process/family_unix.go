//go:build unix && !linux

package process

import "syscall"

// attributes cannot ask these kernels to end the program with this process.
func attributes(mode Mode, group int) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: mode == OwnGroup, Pgid: group}
}

// A relative is a process that descends from the program. There is no way to
// find them that all these systems share.
type relative struct{ pid int }

func (relative) alive() bool { return false }

func descendants(int) []relative { return nil }

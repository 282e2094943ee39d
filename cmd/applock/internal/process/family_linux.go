package process

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// attributes make the kernel end the program when this process is killed.
func attributes(mode Mode, group int) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: mode == OwnGroup, Pgid: group, Pdeathsig: syscall.SIGKILL}
}

// A relative is a process that descends from the program. Numbers of processes
// are used again; the time of the start tells one from the next.
type relative struct {
	pid, parent int
	start       string
}

// alive reports whether the process has not ended.
func (r relative) alive() bool {
	now, zombie, found := readRelative(r.pid)
	return found && !zombie && now.start == r.start
}

// descendants returns the processes that descend from pid, without itself.
func descendants(pid int) []relative {
	all := processes()
	family := []int{pid}
	var found []relative
	for i := 0; i < len(family); i++ {
		for _, r := range all {
			if r.parent == family[i] && !slices.Contains(family, r.pid) {
				family = append(family, r.pid)
				found = append(found, r)
			}
		}
	}
	return found
}

// processes returns all that the kernel shows.
func processes() []relative {
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	var all []relative
	for _, folder := range folders {
		pid, err := strconv.Atoi(filepath.Base(folder))
		if err != nil {
			continue
		}
		if r, _, found := readRelative(pid); found {
			all = append(all, r)
		}
	}
	return all
}

// readRelative reads a process's line in /proc, whose fields are counted from
// the end of the program's name: that may hold anything.
func readRelative(pid int) (r relative, zombie, found bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return r, false, false
	}
	const state, parent, start = 0, 1, 19
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) <= start {
		return r, false, false
	}
	r = relative{pid: pid, start: string(fields[start])}
	r.parent, err = strconv.Atoi(string(fields[parent]))
	return r, string(fields[state]) == "Z", err == nil
}

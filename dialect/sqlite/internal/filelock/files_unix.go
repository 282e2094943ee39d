//go:build unix

package filelock

import (
	"io/fs"
	"syscall"
)

// cautious are flags of open against what others may have put in a file's
// place: a link, and a pipe that would make open wait.
const cautious = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

func worldWritable(info fs.FileInfo) bool { return info.Mode().Perm()&0o002 != 0 }

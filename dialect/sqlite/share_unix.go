//go:build unix

package sqlite

import (
	"io/fs"
	"os"
	"syscall"
)

// inherit gives a file the group of its directory, and if root does it the owner
// as well. Who is not in the group leaves it.
func inherit(file *os.File, folder fs.FileInfo) {
	of, ok := folder.Sys().(*syscall.Stat_t)
	if !ok {
		return
	}
	owner := -1
	if os.Geteuid() == 0 {
		owner = int(of.Uid)
	}
	_ = file.Chown(owner, int(of.Gid))
}

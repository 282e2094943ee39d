//go:build unix

package database

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// makeFolder makes a folder of this user's own, and those above it. What root
// makes in the home of another belongs to that user, whom it would lock out.
func makeFolder(path string) error {
	var missing []string
	above := path
	for {
		if _, err := os.Stat(above); !errors.Is(err, fs.ErrNotExist) || filepath.Dir(above) == above {
			break
		}
		missing = append(missing, above)
		above = filepath.Dir(above)
	}
	if err := os.MkdirAll(path, 0o700); err != nil || os.Geteuid() != 0 {
		return err
	}
	info, err := os.Stat(above)
	if err != nil {
		return err
	}
	if of, ok := info.Sys().(*syscall.Stat_t); ok {
		for _, made := range missing {
			err = errors.Join(err, os.Lchown(made, int(of.Uid), int(of.Gid)))
		}
	}
	return err
}

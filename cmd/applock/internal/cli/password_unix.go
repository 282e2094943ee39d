//go:build unix

package cli

import (
	"os"
	"syscall"
)

// again starts this program anew in this process. It returns only if it fails.
func again(args, environment []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(self, args, environment)
}

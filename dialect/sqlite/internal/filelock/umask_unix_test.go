//go:build unix

package filelock

import "syscall"

func narrowUmask() { syscall.Umask(0o077) }

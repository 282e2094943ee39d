//go:build !unix

package filelock

func narrowUmask() {}

//go:build !unix

package database

import "os"

// makeFolder makes a folder of this user's own, and those above it.
func makeFolder(path string) error { return os.MkdirAll(path, 0o700) }

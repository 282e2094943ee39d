//go:build !unix

package sqlite

import (
	"io/fs"
	"os"
)

// inherit leaves to the system what a file has of its directory.
func inherit(*os.File, fs.FileInfo) {}

package filelock

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
)

// What is in the directory beside the locks' own files.
const (
	stateFile   = "state"    // its lock guards the records; its content changes when they do
	sessionsDir = "sessions" // the records
	updateExt   = ".update"
)

// Dir is a directory of lock files. It need not exist yet.
type Dir string

// File returns the file whose lock is the named lock.
func (d Dir) File(name string) string { return d.file(keyOf(name)) }

// keyOf hashes a name: names are of any length and hold any character.
func keyOf(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}

func (d Dir) file(key string) string { return filepath.Join(string(d), key) }
func (d Dir) state() string          { return filepath.Join(string(d), stateFile) }
func (d Dir) sessions() string       { return filepath.Join(string(d), sessionsDir) }

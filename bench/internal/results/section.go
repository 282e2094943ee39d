package results

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// Begin and End mark the part of a document that runs write.
const (
	Begin = "<!-- measured: begin -->"
	End   = "<!-- measured: end -->"
)

// Publish replaces the marked part of the document at path by what write
// writes. It changes nothing where the marks are missing.
func Publish(path, begin, end string, write func(*bytes.Buffer)) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	from, to := bytes.Index(old, []byte(begin)), bytes.Index(old, []byte(end))
	if from < 0 || to < from {
		return fmt.Errorf("%s has no part between %s and %s", filepath.Base(path), begin, end)
	}
	var text bytes.Buffer
	text.Write(old[:from])
	fmt.Fprintf(&text, "%s\n", begin)
	write(&text)
	text.Write(old[to:])
	return os.WriteFile(path, text.Bytes(), 0o644)
}

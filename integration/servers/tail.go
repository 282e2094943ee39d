package servers

import (
	"fmt"
	"strings"
	"sync"
)

// tailSize is enough for the line that says why a server did not start.
const tailSize = 4096

// tail is a writer that keeps the last bytes written to it. It may be used by
// several goroutines.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	t.kept = t.kept[max(0, len(t.kept)-tailSize):]
	return len(p), nil
}

// explain adds the last line written, if there is one, to err.
func (t *tail) explain(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return withLastLine(err, string(t.kept))
}

// withLastLine adds the last line of a program's output to err.
func withLastLine(err error, output string) error {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return fmt.Errorf("%w: %s", err, last)
	}
	return err
}

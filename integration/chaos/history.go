package chaos

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/lockstep-go/lockstep/dialect"
)

// What an event tells.
const (
	began     = "began"     // a unit begins
	ticked    = "ticked"    // the server answered a tick
	letGo     = "letGo"     // a nested scope was undone; what is still held
	voted     = "voted"     // the function is about to return nil, so COMMIT may follow
	ended     = "ended"     // the library reported an outcome
	resolved  = "resolved"  // Resolve told the outcome
	puzzled   = "puzzled"   // Resolve did not tell it in time
	breached  = "breached"  // the worker itself saw a promise broken
	injected  = "injected"  // the worker itself did a fault
	departed  = "departed"  // the worker ends as it was told to
	heldFully = "heldFully" // Hold returned nil: its locks were held from its first tick to its last
)

// event is one line of a history.
type event struct {
	At      int64         `json:"at"` // microseconds of the worker's clock, for statistics alone
	What    string        `json:"e"`
	Unit    string        `json:"u,omitempty"`
	Kind    string        `json:"k,omitempty"` // of the unit or the fault
	Attempt int           `json:"a,omitempty"`
	Tick    int64         `json:"t,omitempty"`
	Epoch   string        `json:"ep,omitempty"`
	Held    []heldLock    `json:"h,omitempty"`
	Effects []effect      `json:"fx,omitempty"`
	Outcome string        `json:"o,omitempty"`
	Cause   string        `json:"c,omitempty"` // what kind of error
	Text    string        `json:"x,omitempty"`
	Hooks   hookSightings `json:"hk,omitzero"`
}

// heldLock is a lock that the library says the unit holds.
type heldLock struct {
	Name string       `json:"n"`
	Mode dialect.Mode `json:"m"`
}

// effect is one row that a unit writes.
type effect struct {
	Seq     int    `json:"s" db:"seq"`
	Lock    string `json:"l,omitempty" db:"lockname"`
	N       int64  `json:"n,omitempty" db:"n"`
	Counted bool   `json:"c,omitempty" db:"counted"`
	Account int    `json:"ac,omitempty" db:"account"`
	Delta   int64  `json:"d,omitempty" db:"delta"`
}

// hookSightings are what the hooks of the last run of a unit were told.
type hookSightings struct {
	Commits int    `json:"c,omitempty"` // how often AfterCommit ran
	Outcome string `json:"o,omitempty"` // what AfterCompletion was told
}

// outcomeUnknown is that of a hold, and of a unit whose process was killed.
const outcomeUnknown = "unknown"

// history is the file that a worker writes. Each event is one write, so that
// what was written survives the process.
type history struct {
	mu   sync.Mutex
	file *os.File
}

// write appends an event. A worker that cannot write its history must not go on.
func (h *history) write(e event) {
	e.At = time.Now().UnixMicro()
	line, err := json.Marshal(e)
	if err == nil {
		h.mu.Lock()
		_, err = h.file.Write(append(line, '\n'))
		h.mu.Unlock()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos: history:", err)
		os.Exit(exitTrouble)
	}
}

// readHistory passes the events of a file to each in their order. A last line
// without end was cut off by a kill and announces nothing that was done; a
// process that was killed at once has left no file.
func readHistory(path string, each func(event)) error {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	for reader := bufio.NewReaderSize(file, 1<<20); ; {
		line, err := reader.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		each(e)
	}
}

package filelock

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/lockstep-go/lockstep/dialect"
)

// Owner is who a session belongs to, as others are shown it.
type Owner struct {
	Label string `json:"label,omitempty"`
	User  string `json:"user,omitempty"`
	Host  string `json:"host,omitempty"`
}

// record is what a session tells of itself.
type record struct {
	Owner
	ID     string    `json:"id"`
	Since  time.Time `json:"since"`
	Writes writing   `json:"writes,omitempty"`
	Locks  []entry   `json:"locks"`
}

// writing is how a session stands to the database's only write lock. It is told
// only by those who wait for one lock and hold another.
type writing string

const (
	mayWrite  writing = "holds"
	wantWrite writing = "wants"
)

// entry is a session's part in one lock.
type entry struct {
	Key    string       `json:"key"`
	Name   string       `json:"name,omitempty"` // if it is short
	Held   dialect.Mode `json:"held,omitempty"`
	Wanted dialect.Mode `json:"wanted,omitempty"`
	Asked  int64        `json:"asked,omitempty"` // when, by the host's clock
}

// shownName is the longest name that a record tells.
const shownName = 255

// of returns the session's part in a lock.
func (r *record) of(key string) entry {
	for _, e := range r.Locks {
		if e.Key == key {
			return e
		}
	}
	return entry{Key: key}
}

// set replaces the session's part in a lock, or drops it if it is none.
func (r *record) set(e entry) {
	for i := range r.Locks {
		if r.Locks[i].Key == e.Key {
			if e.Held == 0 && e.Wanted == 0 {
				r.Locks = append(r.Locks[:i:i], r.Locks[i+1:]...)
				return
			}
			r.Locks[i] = e
			return
		}
	}
	if e.Held != 0 || e.Wanted != 0 {
		r.Locks = append(r.Locks, e)
	}
}

// session is how dialects show it.
func (r *record) session(mode dialect.Mode) dialect.Session {
	return dialect.Session{ID: r.ID, Label: r.Label, User: r.User, Host: r.Host, Mode: mode, Since: r.Since}
}

// write puts the record into its file, in place of what was there.
func (r *record) write(f *os.File) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(text, 0); err != nil {
		return err
	}
	return f.Truncate(int64(len(text)))
}

// maxRecord bounds what is read of a file that anybody may have put there.
const maxRecord = 8 << 20

// readRecord reads a record; nil if it is none.
func readRecord(path string) *record {
	f, err := os.OpenFile(path, os.O_RDONLY|cautious, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(f, maxRecord))
	r := &record{}
	if err != nil || json.Unmarshal(text, r) != nil || r.ID != filepath.Base(path) {
		return nil
	}
	return r
}

// isDead reports whether the session of a record is gone, and removes what it
// has left behind if this user may. The caller holds the directory's lock, under
// which sessions begin.
func isDead(path string) bool {
	lock := flock.New(path, flock.SetFlag(os.O_RDONLY|cautious))
	ok, err := lock.TryRLock()
	if !ok {
		return errors.Is(err, os.ErrNotExist)
	}
	_ = os.Remove(path)
	_ = lock.Unlock()
	return true
}

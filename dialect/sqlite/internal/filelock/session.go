package filelock

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/lockstep-go/lockstep/dialect"
)

// settleLimit bounds what must be put right although the caller's ctx has ended.
const settleLimit = 10 * time.Second

// Session holds locks for one transaction. It is used by one goroutine at a time.
type Session struct {
	dir     Dir
	guard   *guard
	record  record
	file    *os.File     // the record's
	life    *flock.Flock // locked while the session lives
	handles map[string]*handle
	grants  []grant
}

// grant is one step by which the session came to hold what it does.
type grant struct {
	key           string
	before, after dialect.Mode
}

// Open begins a session that holds nothing. It makes the directory if need be.
// ctx governs the wait.
func (d Dir) Open(ctx context.Context, owner Owner) (*Session, error) {
	if err := d.ensure(); err != nil {
		return nil, err
	}
	g, err := d.openGuard()
	if err != nil {
		return nil, err
	}
	var id [6]byte
	_, _ = rand.Read(id[:])
	s := &Session{
		dir: d, guard: g, handles: make(map[string]*handle),
		record: record{Owner: owner, ID: fmt.Sprintf("%d-%s", os.Getpid(), hex.EncodeToString(id[:])), Since: time.Now()},
	}
	if err := g.enter(ctx); err != nil {
		g.close()
		return nil, err
	}
	defer g.leave()
	if err := s.begin(); err != nil {
		g.close()
		return nil, unavailable(err)
	}
	return s, nil
}

// begin makes the session's record and locks it, under the directory's lock:
// nobody can find it unlocked and take it for a dead one's.
func (s *Session) begin() error {
	path := s.path()
	err := create(path, recordMode)
	if err != nil {
		return err
	}
	s.life = flock.New(path, flock.SetFlag(os.O_RDONLY|cautious))
	ok, err := s.life.TryLock()
	if err == nil && ok {
		s.file, err = os.OpenFile(path, os.O_WRONLY|cautious, 0)
	}
	if err == nil && !ok {
		err = errors.New("filelock: a new record is locked by another")
	}
	if err == nil {
		err = s.record.write(s.file)
	}
	if err != nil {
		_ = s.life.Unlock()
		_ = os.Remove(path)
	}
	return err
}

func (s *Session) path() string { return filepath.Join(s.dir.sessions(), s.record.ID) }

// ID is how the session is shown to others.
func (s *Session) ID() string { return s.record.ID }

// Mark is a point to return to with UndoTo.
func (s *Session) Mark() int { return len(s.grants) }

// UndoTo gives back what was granted since the mark. On failure the session may
// hold less than it believes and is of no use any more.
func (s *Session) UndoTo(mark int) error {
	if mark >= len(s.grants) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), settleLimit)
	defer cancel()
	if err := s.guard.enter(ctx); err != nil {
		return err
	}
	defer s.guard.leave()
	return s.undo(mark)
}

// undo is UndoTo under the directory's lock.
func (s *Session) undo(mark int) error {
	var failed []error
	for i := len(s.grants) - 1; i >= mark; i-- {
		g := s.grants[i]
		if ok, err := s.put(g.key, g.before); !ok || err != nil {
			failed = append(failed, lost(g.key, err))
		}
		e := s.record.of(g.key)
		e.Held = g.before
		s.record.set(e)
	}
	s.grants = s.grants[:mark]
	return errors.Join(append(failed, s.publish())...)
}

func lost(key string, err error) error {
	return &dialect.Error{Kind: dialect.ConnectionLost, Detail: "lock file " + key, Err: err, Poisoned: true}
}

// publish shows the record to others, under the directory's lock.
func (s *Session) publish() error {
	err := s.record.write(s.file)
	s.guard.changed()
	return err
}

// Intact reports whether the locks that were granted are still what others would
// find: somebody may have removed their files.
func (s *Session) Intact() error {
	for _, h := range s.handles {
		if err := h.intact(); err != nil {
			return err
		}
	}
	return nil
}

// Close gives everything back. The session must not be used any more.
func (s *Session) Close() error {
	var failed []error
	for _, h := range s.handles {
		failed = append(failed, h.unlock())
	}
	_ = os.Remove(s.path())
	failed = append(failed, s.file.Close(), s.life.Unlock())
	s.guard.changed()
	s.guard.close()
	return errors.Join(failed...)
}

// put brings the files of a lock from what they are to what a mode needs, if
// that needs no waiting. It is called under the directory's lock, so that nobody
// of this package can come between giving up a weaker lock and taking a stronger.
func (s *Session) put(key string, mode dialect.Mode) (bool, error) {
	main, update := s.handle(s.dir.file(key)), s.handle(s.dir.file(key)+updateExt)
	had := update.has
	wantMain, wantUpdate := free, free
	switch mode {
	case dialect.Shared:
		wantMain = shared
	case dialect.Update:
		wantMain, wantUpdate = shared, exclusive
	case dialect.Exclusive:
		wantMain, wantUpdate = exclusive, had
	}
	// A stronger lock is taken from the update file on, a weaker is given back to it.
	if wantUpdate > had {
		if ok, err := update.try(wantUpdate); !ok || err != nil {
			return false, err
		}
	}
	ok, err := change(main, wantMain)
	if ok && wantUpdate < update.has {
		err = update.unlock()
	} else if !ok && had < update.has {
		err = errors.Join(err, update.unlock())
	}
	return ok && err == nil, err
}

// change locks a file otherwise than before, or leaves it as it was. A program
// that heeds the file's lock alone may come between: then it is lost.
func change(h *handle, want strength) (bool, error) {
	before := h.has
	ok, err := h.try(want)
	if ok || before == free {
		return ok, err
	}
	if back, again := h.try(before); !back {
		return false, lost(filepath.Base(h.path), errors.Join(err, again))
	}
	return false, err
}

func (s *Session) handle(path string) *handle {
	h := s.handles[path]
	if h == nil {
		h = newHandle(path)
		s.handles[path] = h
	}
	return h
}

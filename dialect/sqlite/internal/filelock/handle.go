package filelock

import (
	"errors"
	"io/fs"
	"os"

	"github.com/gofrs/flock"

	"github.com/lockstep-go/lockstep/dialect"
)

// strength is how a file is locked.
type strength int

const (
	free strength = iota
	shared
	exclusive
)

// handle is one lock file as one session has it open. It is opened for reading
// and without O_CREAT: a lock needs no more, a file of another user may allow no
// more, and fs.protected_regular forbids O_CREAT on it.
type handle struct {
	path string
	lock *flock.Flock
	has  strength
}

func newHandle(path string) *handle {
	return &handle{path: path, lock: flock.New(path, flock.SetFlag(os.O_RDONLY|cautious))}
}

// try locks the file if that needs no waiting. What it had before is given up
// first, for a lock cannot be strengthened in one step: the caller must know that
// nobody can come between.
func (h *handle) try(want strength) (bool, error) {
	if h.has == want {
		return true, nil
	}
	if err := h.unlock(); err != nil || want == free {
		return err == nil, err
	}
	for range 10 {
		ok, err := h.open(want)
		if !ok || err != nil {
			return false, err
		}
		h.has = want
		if err = h.intact(); err == nil {
			return true, nil
		}
		// Removed between open and lock: what was locked is nobody's lock any more.
		undone := h.unlock()
		if undone != nil || !errors.Is(err, dialect.ConnectionLost) {
			return false, errors.Join(err, undone)
		}
	}
	return false, unsafe(h.path, "is removed again and again")
}

func (h *handle) open(want strength) (bool, error) {
	take := h.lock.TryRLock
	if want == exclusive {
		take = h.lock.TryLock
	}
	ok, err := take()
	if errors.Is(err, fs.ErrNotExist) {
		if err := create(h.path, sharedMode); err != nil && !errors.Is(err, fs.ErrExist) {
			return false, unavailable(err)
		}
		ok, err = take()
	}
	if err != nil {
		return false, unavailable(err)
	}
	return ok, nil
}

// unlock gives the lock back.
func (h *handle) unlock() error {
	h.has = free
	return h.lock.Unlock()
}

// intact reports whether the file that is locked is still the one that others
// would find.
func (h *handle) intact() error {
	if h.has == free {
		return nil
	}
	mine, err := h.lock.Stat()
	if err != nil {
		return err
	}
	if !mine.Mode().IsRegular() {
		return unsafe(h.path, "is not a regular file")
	}
	found, err := os.Lstat(h.path)
	if err == nil && os.SameFile(mine, found) {
		return nil
	}
	return &dialect.Error{Kind: dialect.ConnectionLost, Detail: "the lock file was removed: " + h.path, Err: err, Poisoned: true}
}

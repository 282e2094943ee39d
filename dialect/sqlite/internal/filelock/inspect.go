package filelock

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"github.com/lockstep-go/lockstep/dialect"
)

// Inspect tells who holds and who waits for the named locks, in the order given;
// without names, for all that are held or waited for.
func (d Dir) Inspect(ctx context.Context, names []string) ([]dialect.LockStatus, error) {
	records, err := d.records(ctx)
	if err != nil {
		return nil, err
	}
	if len(names) > 0 {
		all := make([]dialect.LockStatus, len(names))
		for i, name := range names {
			all[i] = status(records, keyOf(name))
			all[i].Name, all[i].Key = name, d.File(name)
		}
		return all, nil
	}
	var keys []string
	var all []dialect.LockStatus
	for _, r := range records {
		for _, e := range r.Locks {
			if !slices.Contains(keys, e.Key) {
				keys = append(keys, e.Key)
				s := status(records, e.Key)
				s.Name, s.Key = nameOf(e), d.file(e.Key)
				all = append(all, s)
			}
		}
	}
	return all, nil
}

// records reads those of all sessions that live.
func (d Dir) records(ctx context.Context) ([]*record, error) {
	if err := d.check(); errors.Is(err, fs.ErrNotExist) {
		return nil, nil // nobody has asked for a lock yet
	} else if err != nil {
		return nil, err
	}
	g, err := d.openGuard()
	if err != nil {
		return nil, err
	}
	defer g.close()
	if err := g.enter(ctx); err != nil {
		return nil, err
	}
	defer g.leave()
	t, err := d.readTable("")
	if err != nil {
		return nil, err
	}
	return t.living(func(*record) bool { return true }), nil
}

func status(records []*record, key string) (s dialect.LockStatus) {
	for _, r := range records {
		e := r.of(key)
		if e.Held != 0 {
			s.Holders = append(s.Holders, r.session(e.Held))
		}
		if e.Wanted != 0 {
			s.Waiters = append(s.Waiters, r.session(e.Wanted))
		}
	}
	return s
}

// nameOf returns the name that a record tells of a lock, if it is one.
func nameOf(e entry) string {
	if keyOf(e.Name) != e.Key {
		return ""
	}
	return e.Name
}

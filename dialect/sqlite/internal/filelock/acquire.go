package filelock

import (
	"context"
	"errors"
	"time"

	"github.com/lockstep-go/lockstep/dialect"
)

// How waiters look: first often, then less so, at a number that tells of changes;
// and now and then at the locks themselves, for nobody tells of a death.
const (
	lookFirst = 200 * time.Microsecond
	lookMost  = 5 * time.Millisecond
	lookClose = 100 * time.Millisecond
)

// Acquire takes locks in the order given. Limits count from the call. When it
// fails none of them is held; a lock that was not granted is a *dialect.LockError.
// A session that can write the database says so by writes.
func (s *Session) Acquire(ctx context.Context, locks []dialect.Lock, writes bool) error {
	began := time.Now()
	mark := s.Mark()
	s.record.Writes = ""
	if writes {
		s.record.Writes = mayWrite
	}
	for _, l := range locks {
		err := s.acquire(ctx, l, began)
		if err == nil {
			continue
		}
		if undone := s.UndoTo(mark); undone != nil {
			err = &dialect.Error{Kind: dialect.ConnectionLost, Err: errors.Join(err, undone), Poisoned: true}
		}
		return &dialect.LockError{Lock: l, Waited: time.Since(began), Holders: holdersIn(err), Err: reason(err)}
	}
	return nil
}

// refused is a lock that was not granted.
type refused struct {
	kind    dialect.Kind
	holders []dialect.Session
}

func (r *refused) Error() string { return r.kind.Error() }

func holdersIn(err error) []dialect.Session {
	var r *refused
	if errors.As(err, &r) {
		return r.holders
	}
	return nil
}

func reason(err error) error {
	var r *refused
	switch {
	case !errors.As(err, &r):
		return err
	case err == r:
		return &dialect.Error{Kind: r.kind}
	}
	return &dialect.Error{Kind: r.kind, Err: err, Poisoned: dialect.IsPoisoned(err)}
}

// with is err beside what went wrong after it.
func with(err, after error) error {
	if after == nil {
		return err
	}
	return errors.Join(err, after)
}

func (s *Session) acquire(ctx context.Context, l dialect.Lock, began time.Time) error {
	e := s.record.of(keyOf(l.Name))
	if e.Held >= l.Mode {
		return nil
	}
	if len(l.Name) <= shownName {
		e.Name = l.Name
	}
	e.Wanted, e.Asked = l.Mode, time.Now().UnixNano()
	for first := true; ; first = false {
		version := s.guard.version()
		left := l.Limit
		if left > 0 {
			left = max(0, l.Limit-time.Since(began))
		}
		granted, err := s.attempt(ctx, e, first, left == 0)
		if granted || err != nil {
			return err
		}
		if err := s.watch(ctx, version, left); err != nil {
			return with(err, s.withdraw(e))
		}
	}
}

// attempt grants e if nobody is in the way. If somebody is, it waits in line, or
// if it is the last time gives up.
func (s *Session) attempt(ctx context.Context, e entry, first, last bool) (granted bool, err error) {
	if err := s.guard.enter(ctx); err != nil {
		if first {
			return false, err
		}
		return false, with(err, s.withdraw(e))
	}
	defer s.guard.leave()
	t, err := s.dir.readTable(s.record.ID)
	if err == nil && len(t.blockers(s.record.ID, e)) == 0 {
		// Programs that heed the file's lock alone keep no records.
		granted, err = s.put(e.Key, e.Wanted)
	}
	switch {
	case granted:
		s.grants = append(s.grants, grant{e.Key, e.Held, e.Wanted})
		e.Held, e.Wanted, e.Asked = e.Wanted, 0, 0
		s.record.set(e)
		return true, s.publish()
	case err != nil:
		return false, with(err, s.leaveLine(e))
	case last:
		holders := sessionsOf(t.holders(s.record.ID, e), e.Key)
		return false, with(&refused{dialect.LockTimeout, holders}, s.leaveLine(e))
	}
	s.record.set(e)
	if t.deadlocked(&s.record) {
		return false, with(&refused{dialect.Deadlock, sessionsOf(t.holders(s.record.ID, e), e.Key)}, s.leaveLine(e))
	}
	if first {
		return false, s.publish()
	}
	return false, nil
}

// leaveLine takes back a request, under the directory's lock.
func (s *Session) leaveLine(e entry) error {
	if s.record.of(e.Key).Wanted == 0 {
		return nil
	}
	e.Wanted, e.Asked = 0, 0
	s.record.set(e)
	return s.publish()
}

// withdraw takes back a request whose ctx has ended.
func (s *Session) withdraw(e entry) error {
	ctx, cancel := context.WithTimeout(context.Background(), settleLimit)
	defer cancel()
	if err := s.guard.enter(ctx); err != nil {
		return &dialect.Error{Kind: dialect.ConnectionLost, Detail: "a request could not be taken back", Err: err, Poisoned: true}
	}
	defer s.guard.leave()
	return s.leaveLine(e)
}

// watch waits until another attempt is worth while, at most for limit unless
// that is negative.
func (s *Session) watch(ctx context.Context, version uint64, limit time.Duration) error {
	until := time.Now().Add(lookClose)
	if limit >= 0 && limit < lookClose {
		until = time.Now().Add(limit)
	}
	for pause := lookFirst; ; pause = min(pause*3/2, lookMost) {
		left := time.Until(until)
		if left <= 0 || s.guard.version() != version {
			return nil
		}
		if err := sleep(ctx, min(pause, left)); err != nil {
			return err
		}
	}
}

package filelock

import (
	"context"

	"github.com/lockstep-go/lockstep/dialect"
)

// WaitToWrite tells others that the session waits for the database's write lock.
// It fails with a deadlock if who writes waits for this session's locks; as that
// may come about later, it is to be called again now and then.
func (s *Session) WaitToWrite(ctx context.Context) error {
	if err := s.guard.enter(ctx); err != nil {
		return err
	}
	defer s.guard.leave()
	before := s.record.Writes
	s.record.Writes = wantWrite
	t, err := s.dir.readTable(s.record.ID)
	if err == nil && t.deadlocked(&s.record) {
		err = &dialect.Error{Kind: dialect.Deadlock, Detail: "who writes the database waits for a lock of this unit"}
	}
	if err != nil {
		s.record.Writes = ""
	}
	if s.record.Writes != before {
		if failed := s.publish(); err == nil {
			err = failed
		}
	}
	return err
}

// StopWaiting takes back what WaitToWrite has told.
func (s *Session) StopWaiting() error {
	if s.record.Writes != wantWrite {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), settleLimit)
	defer cancel()
	if err := s.guard.enter(ctx); err != nil {
		return err
	}
	defer s.guard.leave()
	s.record.Writes = ""
	return s.publish()
}

package stage

import (
	"context"
	"errors"
	"time"
)

// ErrNotBarred is returned by Barred for work that did not wait.
var ErrNotBarred = errors.New("it does not wait for a lock that another holds")

// Barred does some work while the lock of a key is held elsewhere, and frees that
// when the work waits for it.
func (s *Stage) Barred(ctx context.Context, key int64, work func() error) error {
	if _, err := s.admin.Exec(ctx, "select pg_advisory_lock($1)", key); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- work() }()
	for {
		select {
		case err := <-done:
			_, freeing := s.admin.Exec(ctx, "select pg_advisory_unlock($1)", key)
			return errors.Join(ErrNotBarred, err, freeing)
		case <-time.After(time.Millisecond):
		}
		var waits bool
		err := s.admin.QueryRow(ctx, "select exists (select from pg_locks where locktype = 'advisory' and not granted "+
			"and database = (select oid from pg_database where datname = current_database()))").Scan(&waits)
		if err == nil && !waits {
			continue
		}
		_, freeing := s.admin.Exec(ctx, "select pg_advisory_unlock($1)", key)
		return errors.Join(err, freeing, <-done)
	}
}

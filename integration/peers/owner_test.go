//go:build unix

package peers

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/uow"
)

// TakeByOwner writes an owner into a row for the lock. When it did not get that
// in all tries, it takes the row from its owner.
func TakeByOwner(ctx context.Context, db *sqlx.DB, id, owner string, tries int, pause time.Duration) error {
	for range tries {
		result, err := db.ExecContext(ctx, "insert into owner values ($1, $2) on conflict do nothing", id, owner)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); n == 1 || err != nil {
			return err
		}
		time.Sleep(pause)
	}
	_, err := db.ExecContext(ctx, "update owner set owner = $2 where id = $1", id, owner)
	return err
}

// The old owner is not told, and goes on writing.
func TestStolenRowDoesNotStopItsOwner(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.db.MustExecContext(t.Context(), "create table owner (id text primary key, owner text not null)")
	old, thief := s.open(), s.open()
	if err := TakeByOwner(t.Context(), old, "tenant:42", "old", 2, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if err := TakeByOwner(t.Context(), thief, "tenant:42", "thief", 2, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	for id, db := range []*sqlx.DB{thief, old} {
		if _, err := db.ExecContext(t.Context(), insert, id); err != nil {
			t.Error(err)
		}
	}
	s.wantEntries("two owners of one lock", 2)
}

// EndHolders ends the sessions that hold a lock, as "applock end" does.
func EndHolders(ctx context.Context, m *uow.Manager, name string) error {
	status, err := applock.Inspect(ctx, m, name)
	if err != nil {
		return err
	}
	for _, holder := range status[0].Holders {
		pid, err := strconv.Atoi(holder.ID)
		if err != nil {
			return err
		}
		if _, err := m.DB().ExecContext(ctx, "select pg_terminate_backend($1)", pid); err != nil {
			return err
		}
	}
	return nil
}

// Whoever takes a lock away ends the holder's transaction with it.
func TestEndedHolderCannotCommit(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	lock := applock.Exclusive("tenant:42")
	other := s.manager()
	err := s.manager().Do(t.Context(), func(ctx context.Context, u *uow.UnitOfWork) error {
		if _, err := u.ExecContext(ctx, insert, 1); err != nil {
			return err
		}
		if err := EndHolders(t.Context(), other, lock.Name()); err != nil {
			t.Error(err)
		}
		err := other.Do(t.Context(), func(ctx context.Context, u *uow.UnitOfWork) error {
			_, err := u.ExecContext(ctx, insert, 2)
			return err
		}, applock.With(lock))
		if err != nil {
			t.Error(err)
		}
		return nil // the old holder knows nothing of that
	}, applock.With(lock), uow.Label("old"))
	// It is told when it commits, and can ask what came of that.
	var doubt *uow.InDoubtError
	if !errors.As(err, &doubt) {
		t.Fatalf("the old holder got %v, want a doubt", err)
	}
	if outcome, err := doubt.Resolve(t.Context()); outcome != uow.RolledBack || err != nil {
		t.Errorf("outcome %v, error %v; want that it was rolled back", outcome, err)
	}
	if n := s.count("select count(*) from entry where id = 2"); n != 1 {
		t.Error("the next holder has written nothing")
	}
	s.wantEntries("one holder after the other", 1)
}

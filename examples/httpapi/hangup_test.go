package main

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/examples/internal/anydb/anydbtest"
	"github.com/lockstep-go/lockstep/uow"
)

// hangUp sends an order, waits until the service is where it shall be, and hangs
// up. It returns when the handler has.
func (s *service) hangUp(there func() bool) {
	s.t.Helper()
	ctx, hangUp := context.WithCancel(s.t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := s.post(ctx, "a1", "7", "lamp")
		failed <- err
	}()
	anydbtest.Eventually(s.t, "the request is where it shall be", there)
	hangUp()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		s.t.Errorf("the client got %v", err)
	}
	s.awaitEnd() // were it not for r.Context(), the handler would go on waiting
}

// lockState asks who is at the lock of customer 7.
func lockState(t *testing.T, m *uow.Manager) applock.Status {
	t.Helper()
	all, err := applock.Inspect(t.Context(), m, "customer:7")
	if err != nil {
		t.Fatal(err)
	}
	return all[0]
}

func TestClientHangsUpWhileItWaitsForALock(t *testing.T) {
	t.Parallel()
	anydbtest.Each(t, func(t *testing.T, address string) {
		s := start(t, address).serve()
		err := s.api.m.Do(t.Context(), func(context.Context, *uow.UnitOfWork) error {
			s.hangUp(func() bool { return len(lockState(t, s.api.m).Waiters) == 1 })
			if n := len(lockState(t, s.api.m).Waiters); n != 0 {
				t.Errorf("%d still wait for the lock", n)
			}
			if n := s.api.m.DB().Stats().InUse; n != 1 {
				t.Errorf("%d connections are in use, want the holder's", n)
			}
			return nil
		}, applock.With(applock.Exclusive("customer:7")))
		if err != nil {
			t.Error(err)
		}
		s.wantLeft(0, 5)
	})
}

// The test's unit keeps the request from going on: on PostgreSQL by the lamps'
// row, when the order has been inserted; on SQLite, which has one writer, before
// that.
func TestClientHangsUpInTheTransaction(t *testing.T) {
	t.Parallel()
	anydbtest.Each(t, func(t *testing.T, address string) {
		s := start(t, address).serve()
		var there func() bool
		if s.api.m.DB().DriverName() == "pgx" {
			const blocked = "select count(*) from pg_stat_activity where application_name = 'POST /orders' and wait_event_type = 'Lock' and query like 'update api_stock%'"
			there = func() bool { return anydbtest.Int(t, s.api.m, blocked) == 1 }
		} else {
			there = func() bool { return len(lockState(t, s.api.m).Holders) == 1 }
		}
		undo := errors.New("undo")
		err := s.api.m.Do(t.Context(), func(ctx context.Context, u *uow.UnitOfWork) error {
			if _, err := u.ExecContext(ctx, "update api_stock set quantity = quantity - 1"); err != nil {
				return err
			}
			s.hangUp(there)
			if status := lockState(t, s.api.m); len(status.Holders) != 0 {
				t.Errorf("the lock is still held: %+v", status)
			}
			return undo
		})
		if !errors.Is(err, undo) {
			t.Error(err)
		}
		s.wantLeft(0, 5)
		if got := s.buy("a1", "7", "lamp"); got.code != http.StatusCreated {
			t.Errorf("the next try: %+v", got)
		}
	})
}

// A second order of the customer does not wait for long, and is told so.
func TestLockTimeoutIsAnswered(t *testing.T) {
	t.Parallel()
	anydbtest.Each(t, func(t *testing.T, address string) {
		s := start(t, address)
		s.api.wait = 0
		s.serve()
		err := applock.Hold(t.Context(), s.api.m, func(context.Context) error {
			if got := s.buy("a1", "7", "lamp"); got.code != http.StatusServiceUnavailable {
				t.Errorf("answer %+v", got)
			}
			if got := s.buy("a2", "8", "lamp"); got.code != http.StatusCreated {
				t.Errorf("another customer: %+v", got)
			}
			return nil
		}, applock.Exclusive("customer:7"))
		if err != nil {
			t.Error(err)
		}
		s.wantLeft(1, 4)
	})
}

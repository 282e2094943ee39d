package applock_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/uow"
)

// refusals are what a dialect may answer, and what callers ask for.
var refusals = map[string]struct {
	err       *dialect.Error
	want      error
	timeout   bool
	retryable bool
	lost      bool // the unit cannot go on
}{
	"timeout":  {&dialect.Error{Kind: dialect.LockTimeout, Err: errDriver}, applock.ErrTimeout, true, false, false},
	"deadlock": {&dialect.Error{Kind: dialect.Deadlock, Err: errDriver}, applock.ErrDeadlock, false, true, true},
	"lost":     {&dialect.Error{Kind: dialect.ConnectionLost, Err: errDriver, Poisoned: true}, applock.ErrLost, false, true, true},
	"snapshot": {&dialect.Error{Kind: dialect.SnapshotTaken, Err: errDriver}, applock.ErrSnapshotTaken, false, false, false},
	"no locks": {&dialect.Error{Kind: dialect.Unsupported, Err: errDriver}, applock.ErrUnsupported, false, false, false},
	"memory":   {&dialect.Error{Kind: dialect.OutOfLocks, Err: errDriver}, dialect.OutOfLocks, false, false, false},
}

var errDriver = errors.New("what the driver said")

// TestRefusals looks at every refusal of a declared and of an acquired lock.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for what, c := range refusals {
		f, m := newFake(t)
		f.refuse = func(l dialect.Lock) error {
			return &dialect.LockError{Lock: l, Waited: time.Second, Holders: []dialect.Session{{ID: "7", Label: "other"}}, Err: c.err}
		}
		look := func(err error) {
			t.Helper()
			var timeout *applock.TimeoutError
			if !errors.Is(err, c.want) || !errors.Is(err, errDriver) || errors.As(err, &timeout) != c.timeout || uow.IsRetryable(err) != c.retryable {
				t.Errorf("%s: %v, timeout %v, retryable %v", what, err, timeout != nil, uow.IsRetryable(err))
			}
			if !strings.Contains(err.Error(), `"a"`) {
				t.Errorf("%s: message %q does not name the lock", what, err)
			}
		}
		_ = m.Do(t.Context(), func(ctx context.Context, u *uow.UnitOfWork) error {
			_, _ = u.ExecContext(ctx, "begin without locks")
			look(applock.Acquire(ctx, u, applock.Exclusive("a")))
			if _, err := u.ExecContext(ctx, "go on"); errors.Is(err, uow.ErrRollbackOnly) != c.lost {
				t.Errorf("%s: the unit goes on with %v", what, err)
			}
			return nil
		})
		look(m.Do(t.Context(), func(context.Context, *uow.UnitOfWork) error { return nil }, applock.With(applock.Exclusive("a"))))
	}
}

func TestTimeoutError(t *testing.T) {
	t.Parallel()
	f, m := newFake(t)
	f.refuse = func(l dialect.Lock) error {
		return &dialect.LockError{
			Lock: l, Waited: time.Hour, Err: &dialect.Error{Kind: dialect.LockTimeout},
			Holders: []dialect.Session{{ID: "7", Label: "deploy"}, {ID: "8"}},
		}
	}
	l := applock.Update("tenant 42").Wait(time.Minute)
	err := m.Do(t.Context(), func(ctx context.Context, u *uow.UnitOfWork) error {
		if _, err := u.ExecContext(ctx, "begin"); err != nil {
			return err
		}
		return applock.Acquire(ctx, u, l)
	})
	var timeout *applock.TimeoutError
	if !errors.As(err, &timeout) {
		t.Fatalf("%v (%T)", err, err)
	}
	if timeout.Lock != l || timeout.Waited != time.Hour || len(timeout.Holders) != 2 || timeout.Holders[0].Label != "deploy" {
		t.Errorf("%+v", timeout)
	}
	const want = `applock: update "tenant 42" not granted after 1h0m0s; held by session 7 (deploy), session 8`
	if timeout.Error() != want {
		t.Errorf("%s, want %s", timeout, want)
	}
}

// TestTryAcquireTellsRefusalsFromErrors has a refusal be no error, and nothing
// else be a refusal.
func TestTryAcquireTellsRefusalsFromErrors(t *testing.T) {
	t.Parallel()
	for what, c := range refusals {
		f, m := newFake(t)
		f.refuse = func(l dialect.Lock) error { return &dialect.LockError{Lock: l, Err: c.err} }
		_ = m.Do(t.Context(), func(ctx context.Context, u *uow.UnitOfWork) error {
			_, _ = u.ExecContext(ctx, "begin without locks")
			ok, err := applock.TryAcquire(ctx, u, applock.Exclusive("a"))
			if ok || (err == nil) != c.timeout || err != nil && !errors.Is(err, c.want) {
				t.Errorf("%s: %v, %v", what, ok, err)
			}
			return nil
		})
	}
}

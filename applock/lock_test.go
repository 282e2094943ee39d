package applock_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/uow"
)

// invalid are requests that can never work.
var invalid = map[string]struct {
	locks []applock.Lock
	want  error
}{
	"empty name":      {[]applock.Lock{applock.Exclusive("")}, applock.ErrName},
	"zero lock":       {[]applock.Lock{{}}, applock.ErrName},
	"NUL":             {[]applock.Lock{applock.Shared("a\x00")}, applock.ErrName},
	"bad UTF-8":       {[]applock.Lock{applock.Update("\xff")}, applock.ErrName},
	"half a rune":     {[]applock.Lock{applock.Update("ä"[:1])}, applock.ErrName},
	"negative wait":   {[]applock.Lock{applock.Exclusive("a").Wait(-1)}, applock.ErrInvalid},
	"least wait":      {[]applock.Lock{applock.Exclusive("a").Wait(math.MinInt64)}, applock.ErrInvalid},
	"nothing":         {nil, applock.ErrInvalid},
	"one bad of many": {[]applock.Lock{applock.Exclusive("a"), applock.Shared("b"), applock.Shared("c").Wait(-time.Hour)}, applock.ErrInvalid},
}

func TestInvalidArguments(t *testing.T) {
	t.Parallel()
	f, m := newFake(t)
	for what, c := range invalid {
		want := func(err error) {
			t.Helper()
			if !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", what, err, c.want)
			}
		}
		want(m.Do(t.Context(), func(context.Context, *uow.UnitOfWork) error {
			t.Errorf("%s: the function was called", what)
			return nil
		}, applock.With(c.locks...)))
		want(m.With(applock.With(c.locks...)).Do(t.Context(), func(context.Context, *uow.UnitOfWork) error { return nil }))
		_, scope, err := m.Begin(t.Context(), applock.With(c.locks...))
		want(err)
		if scope != nil {
			t.Errorf("%s: a scope was begun", what)
			_ = scope.Close()
		}
		if err := m.Do(t.Context(), func(ctx context.Context, u *uow.UnitOfWork) error {
			want(applock.Acquire(ctx, u, c.locks...))
			ok, err := applock.TryAcquire(ctx, u, c.locks...)
			want(err)
			if ok {
				t.Errorf("%s: acquired", what)
			}
			return nil
		}); err != nil {
			t.Errorf("%s: the unit was hurt: %v", what, err)
		}
	}
	if len(f.begun) != 0 || m.DB().Stats().OpenConnections != 0 {
		t.Error("something was sent")
	}
}

func TestNilUnit(t *testing.T) {
	t.Parallel()
	if err := applock.Acquire(t.Context(), nil, applock.Exclusive("a")); !errors.Is(err, applock.ErrInvalid) {
		t.Errorf("Acquire: %v", err)
	}
	if ok, err := applock.TryAcquire(t.Context(), nil, applock.Exclusive("a")); ok || !errors.Is(err, applock.ErrInvalid) {
		t.Errorf("TryAcquire: %v, %v", ok, err)
	}
	if mode, ok := applock.Held(nil, "a"); ok || mode != 0 {
		t.Errorf("Held: %v, %v", mode, ok)
	}
}

func TestInspectArguments(t *testing.T) {
	t.Parallel()
	_, m := newFake(t)
	if _, err := applock.Inspect(t.Context(), m, "a", "\x00"); !errors.Is(err, applock.ErrName) {
		t.Errorf("bad name: %v", err)
	}
	if _, err := applock.Inspect(t.Context(), m, "a"); !errors.Is(err, applock.ErrUnsupported) {
		t.Errorf("a dialect that shows no locks: %v", err)
	}
	if _, err := applock.Inspect(t.Context(), nil, "a"); !errors.Is(err, uow.ErrNoManager) {
		t.Errorf("no manager: %v", err)
	}
}

func TestLockIsAValue(t *testing.T) {
	t.Parallel()
	for want, l := range map[applock.Mode]applock.Lock{
		applock.ModeShared: applock.Shared("a b"), applock.ModeUpdate: applock.Update("a b"), applock.ModeExclusive: applock.Exclusive("a b"),
	} {
		if l.Mode() != want || l.Name() != "a b" || l.String() != want.String()+` "a b"` {
			t.Errorf("%v: mode %v, name %q", l, l.Mode(), l.Name())
		}
		before := l
		if l.NoWait() == l || l.Wait(time.Second) == l || l != before || l.NoWait() != l.Wait(0) {
			t.Errorf("%v was changed, or its copies were not", l)
		}
	}
}

// TestWhatTheDialectIsAsked looks at the requests that reach a dialect.
func TestWhatTheDialectIsAsked(t *testing.T) {
	t.Parallel()
	const forever = dialect.Forever
	for _, c := range []struct {
		locks []applock.Lock
		want  []dialect.Lock
	}{
		{[]applock.Lock{applock.Exclusive("a")}, []dialect.Lock{{Name: "a", Mode: dialect.Exclusive, Limit: forever}}},
		{[]applock.Lock{applock.Shared("a").NoWait()}, []dialect.Lock{{Name: "a", Mode: dialect.Shared}}},
		{[]applock.Lock{applock.Update("b"), applock.Exclusive("B"), applock.Shared("a").NoWait()}, []dialect.Lock{
			{Name: "B", Mode: dialect.Exclusive, Limit: forever}, {Name: "a", Mode: dialect.Shared}, {Name: "b", Mode: dialect.Update, Limit: forever},
		}},
		{[]applock.Lock{applock.Shared("a"), applock.Exclusive("a").NoWait(), applock.Update("a").Wait(time.Hour)}, []dialect.Lock{
			{Name: "a", Mode: dialect.Exclusive},
		}},
	} {
		f, m := newFake(t)
		if err := m.Do(t.Context(), func(ctx context.Context, u *uow.UnitOfWork) error { return nil }, applock.With(c.locks...)); err != nil {
			t.Error(err)
		}
		if err := m.Do(t.Context(), func(ctx context.Context, u *uow.UnitOfWork) error {
			if _, err := u.ExecContext(ctx, "begin late"); err != nil {
				return err
			}
			return applock.Acquire(ctx, u, c.locks...)
		}); err != nil {
			t.Error(err)
		}
		for i, got := range f.asked() {
			if !slices.Equal(got, c.want) {
				t.Errorf("%v, request %d: %v, want %v", c.locks, i, got, c.want)
			}
		}
		if n := len(f.asked()); n != 2 {
			t.Errorf("%v: %d requests, want 2", c.locks, n)
		}
	}
}

// TestWaitReachesTheDialect allows a limit to shrink on its way, never to grow,
// nor to become another kind of limit.
func TestWaitReachesTheDialect(t *testing.T) {
	t.Parallel()
	for _, wait := range []time.Duration{time.Nanosecond, time.Second, 1000 * time.Hour, math.MaxInt64 - 1, math.MaxInt64} {
		f, m := newFake(t)
		err := m.Do(t.Context(), func(ctx context.Context, u *uow.UnitOfWork) error { return nil }, applock.With(applock.Exclusive("a").Wait(wait)))
		if err != nil {
			t.Error(err)
			continue
		}
		got := f.asked()[0][0].Limit
		if wait > time.Minute && got == dialect.Forever {
			continue // as good as
		}
		if got < 0 || got > wait || got < wait-time.Minute {
			t.Errorf("Wait(%v) became %v", wait, got)
		}
	}
}

func TestTryAcquireLimits(t *testing.T) {
	t.Parallel()
	f, m := newFake(t)
	tries := []applock.Lock{applock.Exclusive("a"), applock.Shared("b").Wait(time.Hour), applock.Update("c").NoWait()}
	kept := slices.Clone(tries)
	if err := m.Do(t.Context(), func(ctx context.Context, u *uow.UnitOfWork) error {
		ok, err := applock.TryAcquire(ctx, u, tries...)
		if !ok {
			t.Error("not acquired")
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	got := f.asked()[0]
	if got[0].Limit != 0 || got[1].Limit < time.Minute || got[2].Limit != 0 {
		t.Errorf("limits %v", got)
	}
	if !slices.Equal(tries, kept) {
		t.Error("the caller's locks were changed")
	}
}

// TestHeldAfterUpgrade has the same lock asked for in rising modes and again.
func TestHeldAfterUpgrade(t *testing.T) {
	t.Parallel()
	f, m := newFake(t)
	if err := m.Do(t.Context(), func(ctx context.Context, u *uow.UnitOfWork) error {
		for i, l := range []applock.Lock{
			applock.Shared("a"), applock.Shared("a"), applock.Update("a"), applock.Shared("a"), applock.Exclusive("a"), applock.Update("a").NoWait(),
		} {
			if err := applock.Acquire(ctx, u, l); err != nil {
				return err
			}
			if mode, ok := applock.Held(u, "a"); !ok || mode < l.Mode() {
				return fmt.Errorf("step %d: held %v", i, mode)
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if n := len(f.asked()); n != 3 {
		t.Errorf("%d requests, want one for each rise", n)
	}
}

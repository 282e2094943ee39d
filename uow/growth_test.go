package uow

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/internal/noopdb"
)

var errUnwilling = errors.New("unwilling")

// everyKind runs the i-th of many units, each of another kind than the one
// before.
func everyKind(ctx context.Context, m, nested *Manager, i int) error {
	lock := Locks(LockSet{Locks: []dialect.Lock{{
		Name: fmt.Sprint("name ", i%1000), Mode: dialect.Exclusive, Limit: dialect.Forever,
	}}})
	exec := func(ctx context.Context, u *UnitOfWork) error {
		_, err := u.ExecContext(ctx, "insert into nothing values ($1)", i)
		return err
	}
	hook := func(context.Context) error { return nil }
	switch i % 5 {
	case 0:
		return m.Do(ctx, exec)
	case 1:
		return m.Do(ctx, exec, lock)
	case 2:
		return m.Do(ctx, func(ctx context.Context, u *UnitOfWork) error {
			u.BeforeCommit(hook)
			u.AfterCommit(hook)
			return nested.Do(ctx, exec, lock)
		})
	case 3:
		return m.Do(ctx, func(ctx context.Context, _ *UnitOfWork) error {
			return m.Do(ctx, exec, RequiresNew(), lock)
		}, Label("around"))
	}
	err := m.Do(ctx, func(ctx context.Context, u *UnitOfWork) error {
		return errors.Join(exec(ctx, u), errUnwilling)
	}, lock)
	if !errors.Is(err, errUnwilling) {
		return fmt.Errorf("a unit that fails: %v", err)
	}
	return nil
}

// heap is what is in use after a collection.
func heap() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC() // a second one for what finalizers have let go
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// TestNothingGrows is not parallel: it looks at the memory of the process. Ten
// million units are run by make bench-growth.
func TestNothingGrows(t *testing.T) {
	db := noopdb.Open(4)
	defer db.Close()
	m := New(db, noopdb.Dialect())
	nested := m.With(Nested())
	run := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			if err := everyKind(t.Context(), m, nested, i); err != nil {
				t.Fatal(err)
			}
		}
	}
	const warm, all = 10_000, 100_000
	run(0, warm)
	before, goroutines := heap(), runtime.NumGoroutine()
	run(warm, all)
	after := heap()
	if n := m.core.gates.Len(); n != 0 {
		t.Errorf("%d gates left", n)
	}
	if n := len(m.core.suspended.units); n != 0 {
		t.Errorf("%d units left as suspended", n)
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines, %d before", n, goroutines)
	}
	// One byte kept of each unit would be 90,000.
	if after > before+64<<10 && !noopdb.RaceDetector {
		t.Errorf("the heap grew from %d to %d bytes within %d units", before, after, all-warm)
	}
	t.Logf("heap %d bytes after %d units, %d after %d", before, warm, after, all)
}

// TestAllocationsAreEvenPerScope has units with ten and with a hundred scopes,
// hooks or locks: what each adds must not depend on how many there are.
func TestAllocationsAreEvenPerScope(t *testing.T) {
	if noopdb.RaceDetector {
		t.Skip("the race detector allocates")
	}
	db := noopdb.Open(4)
	defer db.Close()
	m := New(db, noopdb.Dialect())
	for name, unit := range map[string]func(n int) error{
		"joined": func(n int) error { return descend(t.Context(), m, n) },
		"nested": func(n int) error { return descend(t.Context(), m.With(Nested()), n) },
		"hooks": func(n int) error {
			return m.Do(t.Context(), func(_ context.Context, u *UnitOfWork) error {
				for range n {
					u.AfterCommit(func(context.Context) error { return nil })
				}
				return nil
			})
		},
		"locks": func(n int) error {
			locks := make([]dialect.Lock, n)
			for i := range locks {
				locks[i] = dialect.Lock{Name: fmt.Sprint(i), Mode: dialect.Exclusive, Limit: dialect.Forever}
			}
			return m.Do(t.Context(), func(context.Context, *UnitOfWork) error { return nil }, Locks(LockSet{Locks: locks}))
		},
	} {
		few := bytesOf(t, 10, unit)
		many := bytesOf(t, 100, unit)
		t.Logf("%s: %d bytes with 10, %d with 100", name, few, many)
		if many > 20*few {
			t.Errorf("%s: a unit of 100 needs %d bytes, one of 10 needs %d", name, many, few)
		}
	}
}

// descend opens so many scopes, each in the one before, with a statement in the
// last.
func descend(ctx context.Context, m *Manager, scopes int) error {
	return m.Do(ctx, func(ctx context.Context, u *UnitOfWork) error {
		if scopes > 1 {
			return descend(ctx, m, scopes-1)
		}
		_, err := u.ExecContext(ctx, "insert into nothing values (1)")
		return err
	})
}

// bytesOf is what one unit allocates, over many.
func bytesOf(t *testing.T, n int, unit func(int) error) uint64 {
	t.Helper()
	var before, after runtime.MemStats
	const units = 100
	for i := range units + 1 {
		if i == 1 {
			runtime.ReadMemStats(&before)
		}
		if err := unit(n); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	return (after.TotalAlloc - before.TotalAlloc) / units
}

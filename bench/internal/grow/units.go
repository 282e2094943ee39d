package grow

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/uow"
)

// A Sample is the state of the process after so many units.
type Sample struct {
	Units      int
	Heap       uint64        // bytes in use after a collection
	Time       time.Duration // for a unit, since the sample before
	Goroutines int
}

// Units is UnitsOn on a database that does nothing.
func Units(ctx context.Context, count int, progress func(string)) ([]Sample, error) {
	m, closeAll := open(4)
	defer closeAll()
	return UnitsOn(ctx, m, count, progress)
}

// Table is what a database needs for UnitsOn.
const Table = "create unlogged table nothing (n int)"

// UnitsOn runs so many units of all kinds and takes samples on the way, the first
// when a twentieth has been run.
func UnitsOn(ctx context.Context, m *uow.Manager, count int, progress func(string)) ([]Sample, error) {
	mixed := mixture(m)
	const samples = 20
	var all []Sample
	for s := range samples {
		from, to := count/samples*s, count/samples*(s+1)
		began := time.Now()
		for i := from; i < to; i++ {
			if err := mixed(ctx, i); err != nil {
				return nil, err
			}
		}
		took := time.Since(began) / time.Duration(max(1, to-from))
		sample := Sample{Units: to, Heap: heapInUse(), Time: took, Goroutines: runtime.NumGoroutine()}
		all = append(all, sample)
		progress(fmt.Sprintf("%9d units, %8d bytes in use, %v for a unit, %d goroutines",
			sample.Units, sample.Heap, sample.Time, sample.Goroutines))
	}
	return all, nil
}

// Grown tells how much the heap has grown from the first sample to the last,
// and an error if it was more than what a process varies by, or if goroutines
// have become more.
func Grown(samples []Sample) (int64, error) {
	first, last := samples[0], samples[len(samples)-1]
	grown := int64(last.Heap) - int64(first.Heap)
	switch {
	case grown > 256<<10:
		return grown, fmt.Errorf("the heap grew by %d bytes within %d units", grown, last.Units-first.Units)
	case last.Goroutines > first.Goroutines:
		return grown, fmt.Errorf("%d goroutines became %d", first.Goroutines, last.Goroutines)
	}
	return grown, nil
}

// mixture returns a function that runs the i-th unit: alone, under a lock of
// 10,000 names, with a savepoint, with hooks, and joined.
func mixture(m *uow.Manager) func(ctx context.Context, i int) error {
	nested := m.With(uow.Nested())
	hook := func(context.Context) error { return nil }
	return func(ctx context.Context, i int) error {
		switch i % 5 {
		case 0:
			return m.Do(ctx, exec)
		case 1:
			return m.Do(ctx, exec, applock.With(applock.Exclusive(fmt.Sprint("name ", i/5%10_000))))
		case 2:
			return m.Do(ctx, func(ctx context.Context, _ *uow.UnitOfWork) error { return nested.Do(ctx, exec) })
		case 3:
			return m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
				u.BeforeCommit(hook)
				u.AfterCommit(hook)
				return exec(ctx, u)
			})
		}
		return m.Do(ctx, func(ctx context.Context, _ *uow.UnitOfWork) error { return m.Do(ctx, exec) })
	}
}

func heapInUse() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC() // a second one for what finalizers have let go
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

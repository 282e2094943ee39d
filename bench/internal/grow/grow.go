// Package grow measures the library's own time and memory against how much
// there is of something, on a database that does nothing.
package grow

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/internal/gate"
	"github.com/lockstep-go/lockstep/internal/noopdb"
	"github.com/lockstep-go/lockstep/uow"
)

// A Point is what was measured with so many of something.
type Point struct {
	N     int
	Time  time.Duration // for each
	Bytes float64       // for each: allocated, or held where the series says so
	Left  int           // gates or goroutines that remained
}

// A Series is one something.
type Series struct {
	Name   string
	What   string // what a Point's figures mean
	Points []Point
}

// All measures all series. Each point takes about effort operations.
func All(ctx context.Context, effort int, progress func(string)) ([]Series, error) {
	var all []Series
	for _, s := range []struct {
		name, what string
		sizes      []int
		measure    func(ctx context.Context, n, effort int) (Point, error)
	}{
		{"names", "a unit under one of so many names in turn; bytes allocated", []int{1, 100, 10_000, 1_000_000}, names},
		{"waiters", "one hand-over at a gate before which so many wait; bytes held by a waiter, its goroutine included",
			[]int{1, 10, 100, 1_000, 10_000}, waiters},
		{"locks", "one of so many locks of a unit; bytes allocated", []int{1, 10, 100, 1_000}, locks},
		{"joined depth", "one of so many units joined in each other, with a statement in the last; bytes allocated",
			[]int{1, 10, 100, 1_000}, joined},
		{"nested depth", "one of so many savepoints in each other; bytes allocated", []int{1, 10, 100, 1_000}, nested},
		{"hooks", "one of so many hooks of a unit; bytes allocated", []int{1, 10, 100, 1_000, 10_000}, hooks},
		{"connections", "a unit, while so many goroutines use as many connections; bytes allocated",
			[]int{1, 8, 64, 512}, connections},
	} {
		series := Series{Name: s.name, What: s.what}
		for _, n := range s.sizes {
			p, err := s.measure(ctx, n, effort)
			if err != nil {
				return nil, fmt.Errorf("%s, %d: %w", s.name, n, err)
			}
			p.N = n
			series.Points = append(series.Points, p)
			progress(fmt.Sprintf("%-12s %9d  %10v  %8.0f bytes  %d left", s.name, n, p.Time, p.Bytes, p.Left))
		}
		all = append(all, series)
	}
	return all, nil
}

// open returns a Manager on a pool of so many connections, and what closes it.
func open(connections int) (*uow.Manager, func()) {
	db := noopdb.Open(connections)
	return uow.New(db, noopdb.Dialect()), func() { _ = db.Close() }
}

func nothing(context.Context, *uow.UnitOfWork) error { return nil }

func exec(ctx context.Context, u *uow.UnitOfWork) error {
	_, err := u.ExecContext(ctx, "insert into nothing values ($1)", 1)
	return err
}

// each divides what times runs of f take among all things that they handle.
func each(times, things int, f func(i int) error) (Point, error) {
	if err := f(0); err != nil {
		return Point{}, err
	}
	var before, after runtime.MemStats
	goroutines := runtime.NumGoroutine()
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := time.Now()
	for i := range times {
		if err := f(i); err != nil {
			return Point{}, err
		}
	}
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	all := times * things
	return Point{
		Time:  took / time.Duration(all),
		Bytes: float64(after.TotalAlloc-before.TotalAlloc) / float64(all),
		Left:  max(0, runtime.NumGoroutine()-goroutines),
	}, nil
}

func names(ctx context.Context, n, effort int) (Point, error) {
	m, closeAll := open(4)
	defer closeAll()
	all := make([]uow.Option, n)
	for i := range all {
		all[i] = applock.With(applock.Exclusive(fmt.Sprint("name ", i)))
	}
	return each(max(n, effort), 1, func(i int) error { return m.Do(ctx, nothing, all[i%n]) })
}

func locks(ctx context.Context, n, effort int) (Point, error) {
	m, closeAll := open(4)
	defer closeAll()
	all := make([]applock.Lock, n)
	for i := range all {
		all[i] = applock.Exclusive(fmt.Sprint("name ", i))
	}
	with := m.With(applock.With(all...))
	return each(max(1, effort/n), n, func(int) error { return with.Do(ctx, nothing) })
}

func joined(ctx context.Context, n, effort int) (Point, error) {
	m, closeAll := open(4)
	defer closeAll()
	return each(max(1, effort/n), n, func(int) error { return descend(ctx, m, n) })
}

func nested(ctx context.Context, n, effort int) (Point, error) {
	m, closeAll := open(4)
	defer closeAll()
	return each(max(1, effort/n), n, func(int) error { return descend(ctx, m.With(uow.Nested()), n) })
}

func descend(ctx context.Context, m *uow.Manager, scopes int) error {
	return m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		if scopes > 1 {
			return descend(ctx, m, scopes-1)
		}
		return exec(ctx, u)
	})
}

func hooks(ctx context.Context, n, effort int) (Point, error) {
	m, closeAll := open(4)
	defer closeAll()
	return each(max(1, effort/n), n, func(int) error {
		return m.Do(ctx, func(_ context.Context, u *uow.UnitOfWork) error {
			for range n {
				u.AfterCommit(func(context.Context) error { return nil })
			}
			return nil
		})
	})
}

func connections(ctx context.Context, n, effort int) (Point, error) {
	m, closeAll := open(n)
	defer closeAll()
	rounds := max(1, effort/n)
	return each(1, n*rounds, func(int) error {
		errs := make([]error, n)
		var working sync.WaitGroup
		for g := range n {
			working.Go(func() {
				for range rounds {
					errs[g] = errors.Join(errs[g], m.Do(ctx, exec))
				}
			})
		}
		working.Wait()
		return errors.Join(errs...)
	})
}

// waiters has so many goroutines wait before one gate, and lets them through.
func waiters(ctx context.Context, n, effort int) (Point, error) {
	var sum Point
	times := min(100, max(1, effort/n/10)) // each looks at the memory, which takes time
	for range times {
		p, err := line(ctx, n)
		if err != nil {
			return p, err
		}
		sum.Time += p.Time
		sum.Bytes += p.Bytes
		sum.Left += p.Left
	}
	return Point{Time: sum.Time / time.Duration(times), Bytes: sum.Bytes / float64(times), Left: sum.Left}, nil
}

func line(ctx context.Context, n int) (Point, error) {
	table := new(gate.Table)
	// Nobody is let in on deck, so that all wait.
	request := gate.Request{Name: "hot", Mode: gate.Exclusive, Limit: -1, Room: func(int) bool { return false }}
	holder, err := table.Enter(ctx, request)
	if err != nil {
		return Point{}, err
	}
	before := held()
	errs := make([]error, n)
	var waiting sync.WaitGroup
	for i := range n {
		waiting.Go(func() {
			pass, err := table.Enter(ctx, request)
			if errs[i] = err; err == nil {
				pass.Granted(table)
				pass.Leave()
			}
		})
	}
	for table.Waiting("hot") < n {
		time.Sleep(50 * time.Microsecond)
	}
	bytes := float64(held()-before) / float64(n)
	began := time.Now()
	holder.Leave()
	waiting.Wait()
	return Point{Time: time.Since(began) / time.Duration(n), Bytes: max(0, bytes), Left: table.Len()}, errors.Join(errs...)
}

// held is the memory in use, by goroutines' stacks as well.
func held() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc + stats.StackInuse)
}

package main

import (
	"context"
	"slices"
	"testing"

	"github.com/lockstep-go/lockstep/bench/internal/contest"
	"github.com/lockstep-go/lockstep/bench/internal/race"
	"github.com/lockstep-go/lockstep/bench/internal/results"
	"github.com/lockstep-go/lockstep/internal/noopdb"
	"github.com/lockstep-go/lockstep/uow"
)

// overhead measures what the library itself costs. `make bench-overhead` has
// more of it.
func (b *bench) overhead(ctx context.Context) error {
	if !b.chosen.MatchString("overhead") {
		return nil
	}
	o := results.Overhead{Measured: true}
	if err := joined(ctx, b.options.Rounds, &o); err != nil {
		return err
	}
	if err := allocated(ctx, &o); err != nil {
		return err
	}
	url, err := b.stage.URL(ctx, 0, false)
	if err != nil {
		return err
	}
	// On the same handle: another one would allocate otherwise.
	contestants, err := contest.Open(ctx, url, func(name string) bool {
		return slices.Contains([]string{contest.Lockstep, contest.SqlxOurs}, name)
	})
	if err != nil {
		return err
	}
	defer contest.CloseAll(contestants)
	for i, count := range []*float64{&o.UnitAllocationsServed, &o.ByHandAllocationsServed} {
		if *count, err = allocations(func() error { return contestants[i].Save(ctx, order(1)) }); err != nil {
			return err
		}
	}
	b.run.Overhead = o
	b.progress("overhead: empty joined Do %.0f ns, %v allocations; unit of one statement %v allocations, by hand %v; on PostgreSQL %v and %v",
		o.JoinedTime, o.JoinedAllocations, o.UnitAllocations, o.ByHandAllocations, o.UnitAllocationsServed, o.ByHandAllocationsServed)
	return nil
}

func nothing(context.Context, *uow.UnitOfWork) error { return nil }

// joined measures empty calls inside a unit; the median of rounds counts.
func joined(ctx context.Context, rounds int, o *results.Overhead) error {
	db := noopdb.Open(1)
	defer db.Close()
	m := uow.New(db, noopdb.Dialect())
	return m.Do(ctx, func(ctx context.Context, _ *uow.UnitOfWork) (err error) {
		if o.JoinedAllocations, err = allocations(func() error { return m.Do(ctx, nothing) }); err != nil {
			return err
		}
		var took []float64
		for range rounds {
			r := testing.Benchmark(func(tb *testing.B) {
				for tb.Loop() {
					err = m.Do(ctx, nothing)
				}
			})
			took = append(took, float64(r.T)/float64(r.N))
		}
		o.JoinedTime = race.SpreadOf(took).Median
		return err
	})
}

// allocated counts the allocations of a unit of one statement, and by hand, on
// a database that does nothing.
func allocated(ctx context.Context, o *results.Overhead) (err error) {
	db := noopdb.Open(1)
	defer db.Close()
	unit, byHand := contest.Overheads(db)
	if o.UnitAllocations, err = allocations(func() error { return unit(ctx) }); err != nil {
		return err
	}
	o.ByHandAllocations, err = allocations(func() error { return byHand(ctx) })
	return err
}

// allocations is testing.AllocsPerRun of something that may fail.
func allocations(f func() error) (float64, error) {
	var failed error
	average := testing.AllocsPerRun(200, func() {
		if err := f(); err != nil {
			failed = err
		}
	})
	return average, failed
}

// Package race measures contestants side by side: in small slices, one after
// the other in an order that changes, so that whatever drifts on the machine
// hits all alike.
package race

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"
)

// An Entry is one contestant at one kind of work.
type Entry struct {
	Name string
	// Run works for about that long and tells how much it has done.
	Run func(ctx context.Context, limit time.Duration) (Done, error)
}

// Done is what was done in a slice of time.
type Done struct {
	Operations int
	Elapsed    time.Duration
}

// Options say how long to measure.
type Options struct {
	Rounds int           // each gives one figure for each contestant
	Passes int           // how many slices a round is cut into
	Slice  time.Duration // of one contestant, in one pass
}

// A Lane is what was measured of one contestant.
type Lane struct {
	Name  string
	PerOp []float64 // nanoseconds for one operation, by round
	Done  int       // operations, those of the warm-up included
}

// Run measures all entries. The first slice of each warms up and does not
// count.
func Run(ctx context.Context, entries []Entry, o Options) ([]Lane, error) {
	lanes := make([]Lane, len(entries))
	for i, e := range entries {
		lanes[i].Name = e.Name
		done, err := slice(ctx, e, o.Slice)
		if err != nil {
			return nil, err
		}
		lanes[i].Done = done.Operations
	}
	for range o.Rounds {
		if err := round(ctx, entries, lanes, o); err != nil {
			return nil, err
		}
	}
	return lanes, nil
}

func round(ctx context.Context, entries []Entry, lanes []Lane, o Options) error {
	sums := make([]Done, len(entries))
	for range o.Passes {
		for _, i := range rand.Perm(len(entries)) {
			done, err := slice(ctx, entries[i], o.Slice)
			if err != nil {
				return err
			}
			sums[i].Operations += done.Operations
			sums[i].Elapsed += done.Elapsed
		}
	}
	for i, sum := range sums {
		lanes[i].PerOp = append(lanes[i].PerOp, float64(sum.Elapsed)/float64(sum.Operations))
		lanes[i].Done += sum.Operations
	}
	return nil
}

func slice(ctx context.Context, e Entry, limit time.Duration) (Done, error) {
	runtime.GC() // nobody pays for the garbage of those before
	done, err := e.Run(ctx, limit)
	if err != nil {
		return done, fmt.Errorf("%s: %w", e.Name, err)
	}
	return done, nil
}

// Alone makes a Run of an operation that is done by one goroutine, at least
// once. The operation is told how many were done before.
func Alone(operation func(ctx context.Context, i int) error) func(context.Context, time.Duration) (Done, error) {
	before := 0
	return func(ctx context.Context, limit time.Duration) (done Done, err error) {
		began := time.Now()
		for done.Elapsed < limit {
			if err := operation(ctx, before); err != nil {
				return done, err
			}
			before++
			done.Operations++
			done.Elapsed = time.Since(began)
		}
		return done, nil
	}
}

// Together makes a Run of an operation that is done by so many goroutines at
// once. The time for one operation is that of all, divided by what all have
// done.
func Together(goroutines int, operation func(ctx context.Context, i int) error) func(context.Context, time.Duration) (Done, error) {
	befores := make([]int, goroutines)
	return func(ctx context.Context, limit time.Duration) (Done, error) {
		dones, errs := make([]int, goroutines), make([]error, goroutines)
		began := time.Now()
		var working sync.WaitGroup
		for g := range goroutines {
			working.Go(func() {
				for dones[g] == 0 || time.Since(began) < limit {
					if errs[g] = operation(ctx, befores[g]*goroutines+g); errs[g] != nil {
						return
					}
					befores[g]++
					dones[g]++
				}
			})
		}
		working.Wait()
		done := Done{Elapsed: time.Since(began)}
		for g := range goroutines {
			if errs[g] != nil {
				return done, errs[g]
			}
			done.Operations += dones[g]
		}
		return done, nil
	}
}

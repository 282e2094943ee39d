// Package crowd measures what many goroutines that want the same locks do to
// those who want none of them, on a pool that is smaller than the crowd.
package crowd

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// An Entry is one contestant.
type Entry struct {
	Name string
	// Contended is a unit under one of the locks that all want.
	Contended func(ctx context.Context, goroutine, i int) error
	// Unrelated is a unit that wants none of them.
	Unrelated func(ctx context.Context, i int) error
}

// Options say how many there are and how long they are watched.
type Options struct {
	Goroutines int // that want the locks
	Bystanders int // goroutines that do unrelated work
	Rounds     int
	Settle     time.Duration // before counting begins
	Window     time.Duration // while it goes on
}

// A Lane is what was measured of one contestant. The slices have an element for
// each round.
type Lane struct {
	Name      string
	Itself    []float64 // units under a lock by second, without unrelated ones
	Contended []float64 // and with them
	Alone     []float64 // unrelated units by second, without the crowd
	Beside    []float64 // and with it
	Saved     int       // units in all

	// Nanoseconds that unrelated units took, of all rounds.
	AloneTook, BesideTook []float64
}

// Run measures all entries, in an order that changes from round to round.
func Run(ctx context.Context, entries []Entry, o Options) ([]Lane, error) {
	lanes := make([]Lane, len(entries))
	for i, e := range entries {
		lanes[i].Name = e.Name
	}
	for range o.Rounds {
		for _, i := range rand.Perm(len(entries)) {
			if err := round(ctx, entries[i], o, &lanes[i]); err != nil {
				return nil, fmt.Errorf("%s: %w", entries[i].Name, err)
			}
		}
	}
	return lanes, nil
}

// round watches the bystanders alone, the crowd by itself, and both.
func round(ctx context.Context, e Entry, o Options, lane *Lane) error {
	runtime.GC()
	alone, err := watch(ctx, e, o, 0, o.Bystanders)
	if err != nil {
		return err
	}
	itself, err := watch(ctx, e, o, o.Goroutines, 0)
	if err != nil {
		return err
	}
	beside, err := watch(ctx, e, o, o.Goroutines, o.Bystanders)
	if err != nil {
		return err
	}
	seconds := o.Window.Seconds()
	lane.Itself = append(lane.Itself, float64(itself.contended)/seconds)
	lane.Alone = append(lane.Alone, float64(alone.unrelated)/seconds)
	lane.Beside = append(lane.Beside, float64(beside.unrelated)/seconds)
	lane.Contended = append(lane.Contended, float64(beside.contended)/seconds)
	lane.AloneTook = append(lane.AloneTook, alone.took...)
	lane.BesideTook = append(lane.BesideTook, beside.took...)
	lane.Saved += alone.all + itself.all + beside.all
	return nil
}

// seen is what was seen in one window.
type seen struct {
	contended, unrelated int       // units that ended within the window
	all                  int       // units, those before and after it included
	took                 []float64 // by unrelated units that ran within it, also if they ended later
}

// scene is one window and its surroundings.
type scene struct {
	opens, closes time.Time
	stop          atomic.Bool
	mu            sync.Mutex
	seen          seen
	err           error
}

// watch lets so many goroutines want the locks, and so many do unrelated work. It
// returns when all work that was begun is done: to cancel it would break
// connections.
func watch(ctx context.Context, e Entry, o Options, goroutines, bystanders int) (seen, error) {
	opens := time.Now().Add(o.Settle)
	s := &scene{opens: opens, closes: opens.Add(o.Window)}
	var working sync.WaitGroup
	for g := range goroutines {
		working.Go(func() {
			s.repeat(func(i int) error { return e.Contended(ctx, g, i) }, &s.seen.contended, false)
		})
	}
	for range bystanders {
		working.Go(func() {
			s.repeat(func(i int) error { return e.Unrelated(ctx, i) }, &s.seen.unrelated, true)
		})
	}
	time.Sleep(time.Until(s.closes))
	s.stop.Store(true)
	working.Wait()
	return s.seen, s.err
}

// repeat works until the window has closed, and counts.
func (s *scene) repeat(unit func(i int) error, count *int, times bool) {
	var took []float64
	all, within := 0, 0
	for !s.stop.Load() {
		began := time.Now()
		if err := unit(all); err != nil {
			s.fail(err)
			break
		}
		ended := time.Now()
		all++
		if ended.After(s.opens) && ended.Before(s.closes) {
			within++
		}
		if times && ended.After(s.opens) && began.Before(s.closes) {
			took = append(took, float64(ended.Sub(began)))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	*count += within
	s.seen.all += all
	s.seen.took = append(s.seen.took, took...)
}

// fail keeps the first error and ends the window.
func (s *scene) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	s.stop.Store(true)
}

package main

import (
	"context"
	"fmt"

	"github.com/lockstep-go/lockstep/bench/internal/contest"
	"github.com/lockstep-go/lockstep/bench/internal/race"
)

// A work is something that contestants do over and over, one at a time or many
// at once.
type work struct {
	name       string
	writes     bool // so that synchronous_commit matters
	saves      int  // rows that one operation inserts
	takes      int  // from the stock, by one operation
	goroutines int  // how many do it at once; 0 is one alone
	// operation is the work of a contestant, or nil if it has no way to do it.
	operation func(c *contest.Contestant) func(ctx context.Context, i int) error
}

func works() []work {
	return []work{
		{name: "save", writes: true, saves: 1, operation: save},
		{name: "lock", writes: true, saves: 1, operation: saveLocked("invoice:42")},
		{name: "three-locks", writes: true, saves: 1, operation: saveLocked("account:1", "account:2", "invoice:42")},
		{name: "cycle", operation: cycle(1)},
		{name: "nested", writes: true, saves: 1, takes: 1, operation: saveNested},
		{name: "read", operation: read},
		{name: "names", goroutines: contest.PoolSize, operation: cycle(10_000)},
	}
}

func order(i int) contest.Order {
	return contest.Order{Article: i%contest.Articles + 1, Quantity: 1}
}

func save(c *contest.Contestant) func(context.Context, int) error {
	if c.Save == nil {
		return nil
	}
	return func(ctx context.Context, i int) error { return c.Save(ctx, order(i)) }
}

func saveLocked(names ...string) func(*contest.Contestant) func(context.Context, int) error {
	return func(c *contest.Contestant) func(context.Context, int) error {
		if c.SaveLocked == nil {
			return nil
		}
		return func(ctx context.Context, i int) error { return c.SaveLocked(ctx, order(i), names...) }
	}
}

// cycle takes so many names in turn.
func cycle(different int) func(*contest.Contestant) func(context.Context, int) error {
	names := make([]string, different)
	for i := range names {
		names[i] = fmt.Sprintf("invoice:%d", i)
	}
	return func(c *contest.Contestant) func(context.Context, int) error {
		if c.Cycle == nil {
			return nil
		}
		return func(ctx context.Context, i int) error { return c.Cycle(ctx, names[i%different]) }
	}
}

func saveNested(c *contest.Contestant) func(context.Context, int) error {
	if c.SaveNested == nil {
		return nil
	}
	return func(ctx context.Context, i int) error { return c.SaveNested(ctx, order(i)) }
}

func read(c *contest.Contestant) func(context.Context, int) error {
	if c.Read == nil {
		return nil
	}
	return func(ctx context.Context, i int) error {
		quantity, err := c.Read(ctx, order(i).Article)
		if err == nil && quantity == 0 {
			err = fmt.Errorf("article %d: read nothing", order(i).Article)
		}
		return err
	}
}

// entry makes a contestant run a work.
func (w work) entry(c *contest.Contestant) (race.Entry, bool) {
	operation := w.operation(c)
	if operation == nil {
		return race.Entry{}, false
	}
	if w.goroutines > 0 {
		return race.Entry{Name: c.Name, Run: race.Together(w.goroutines, operation)}, true
	}
	return race.Entry{Name: c.Name, Run: race.Alone(operation)}, true
}

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/lockstep-go/lockstep/bench/internal/contest"
	"github.com/lockstep-go/lockstep/bench/internal/crowd"
	"github.com/lockstep-go/lockstep/bench/internal/results"
)

// A throng is a crowd and the names it wants.
type throng struct {
	name       string
	goroutines int
	names      int
}

func throngs() []throng {
	return []throng{
		{name: "one-hot-name", goroutines: 64, names: 1},
		{name: "fifty-hot-names", goroutines: 200, names: 50},
	}
}

// crowded are the contestants that are measured in crowds: the other libraries
// would do there what sqlx by hand does.
func crowded() []string {
	return []string{contest.Lockstep, contest.SqlxByHand, contest.PgxByHand}
}

// crowds measures every crowd under every condition.
func (b *bench) crowds(ctx context.Context) error {
	for _, synchronous := range b.synchronous {
		for _, delay := range b.delays {
			if err := b.crowdsAt(ctx, delay, synchronous); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) crowdsAt(ctx context.Context, delay time.Duration, synchronous bool) error {
	url, err := b.stage.URL(ctx, delay, synchronous)
	if err != nil {
		return err
	}
	contestants, err := contest.Open(ctx, url, func(name string) bool {
		return slices.Contains(crowded(), name) && b.contestants.MatchString(name)
	})
	if err != nil {
		return err
	}
	defer contest.CloseAll(contestants)
	for _, t := range b.throngs {
		var entries []crowd.Entry
		for _, c := range contestants {
			b.run.Notes[c.Name] = c.Note
			entries = append(entries, t.entry(c))
		}
		if _, err := b.stage.Orders(ctx); err != nil {
			return err
		}
		options := b.crowd
		options.Goroutines = t.goroutines
		lanes, err := crowd.Run(ctx, entries, options)
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		result, expected := results.Crowd{Work: t.name, Delay: delay, Synchronous: synchronous}, 0
		for _, l := range lanes {
			expected += l.Saved
			result.Rows = append(result.Rows, results.CrowdRowOf(l))
		}
		if saved, err := b.stage.Orders(ctx); err != nil || saved != expected {
			return fmt.Errorf("%s: %d rows were saved, want %d (%v)", t.name, saved, expected, err)
		}
		b.run.Crowds = append(b.run.Crowds, result)
		b.progress("%-15s delay %-6v synchronous_commit %-3s %s", t.name, delay, onOff(synchronous), result.Summary())
	}
	return nil
}

// entry makes a contestant's goroutines go through the names, each from another
// one on.
func (t throng) entry(c *contest.Contestant) crowd.Entry {
	names := make([]string, t.names)
	for i := range names {
		names[i] = fmt.Sprintf("hot:%d", i)
	}
	return crowd.Entry{
		Name: c.Name,
		Contended: func(ctx context.Context, goroutine, i int) error {
			return c.SaveLocked(ctx, order(i), names[(goroutine+i)%len(names)])
		},
		Unrelated: func(ctx context.Context, i int) error { return c.Save(ctx, order(i)) },
	}
}

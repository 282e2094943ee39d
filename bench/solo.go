package main

import (
	"context"
	"fmt"
	"time"

	"github.com/lockstep-go/lockstep/bench/internal/contest"
	"github.com/lockstep-go/lockstep/bench/internal/race"
	"github.com/lockstep-go/lockstep/bench/internal/results"
	"github.com/lockstep-go/lockstep/dialect/postgres"
)

// solo measures every work under every condition.
func (b *bench) solo(ctx context.Context) error {
	if len(b.works) == 0 {
		return nil
	}
	trips, err := b.roundTrips(ctx)
	if err != nil {
		return fmt.Errorf("counting round trips: %w", err)
	}
	for _, delay := range b.delays {
		for _, synchronous := range b.synchronous {
			if err := b.condition(ctx, delay, synchronous, trips); err != nil {
				return err
			}
		}
	}
	return nil
}

// condition measures every work under one condition.
func (b *bench) condition(ctx context.Context, delay time.Duration, synchronous bool, trips tripTable) error {
	url, err := b.stage.URL(ctx, delay, synchronous)
	if err != nil {
		return err
	}
	contestants, err := contest.Open(ctx, url, b.contestants.MatchString)
	if err != nil {
		return err
	}
	defer contest.CloseAll(contestants)
	for _, w := range b.works {
		if synchronous && !w.writes && len(b.synchronous) > 1 {
			continue // the same as without
		}
		cell, err := b.cell(ctx, w, contestants, trips)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		cell.Delay, cell.Synchronous = delay, synchronous
		b.run.Solo = append(b.run.Solo, cell)
		b.progress("%-12s delay %-6v synchronous_commit %-3s %s", w.name, delay, onOff(synchronous), summary(&cell))
	}
	return nil
}

// cell measures one work, and looks whether it was done.
func (b *bench) cell(ctx context.Context, w work, contestants []*contest.Contestant, trips tripTable) (results.Cell, error) {
	var entries []race.Entry
	for _, c := range contestants {
		b.run.Notes[c.Name] = c.Note
		if e, ok := w.entry(c); ok {
			entries = append(entries, e)
		}
	}
	cell := results.Cell{Work: w.name}
	before, err := b.stage.Taken(ctx)
	if err != nil {
		return cell, err
	}
	if _, err := b.stage.Orders(ctx); err != nil {
		return cell, err
	}
	lanes, err := race.Run(ctx, entries, b.options)
	if err != nil {
		return cell, err
	}
	expected, takes := 0, 0
	for _, l := range lanes {
		expected += l.Done * w.saves
		takes += l.Done * w.takes
		cell.Rows = append(cell.Rows, results.Row{Name: l.Name, PerOp: l.PerOp, RoundTrips: trips[w.name][l.Name]})
	}
	if saved, err := b.stage.Orders(ctx); err != nil || saved != expected {
		return cell, fmt.Errorf("%d rows were saved, want %d (%v)", saved, expected, err)
	}
	if taken, err := b.stage.Taken(ctx); err != nil || taken-before != takes {
		return cell, fmt.Errorf("%d were taken from the stock, want %d (%v)", taken-before, takes, err)
	}
	return cell, nil
}

// tripTable is how many round trips one operation of a work takes a contestant.
type tripTable map[string]map[string]float64

// roundTrips counts them, apart from what is timed: counting takes time.
func (b *bench) roundTrips(ctx context.Context) (tripTable, error) {
	proxy, url, err := b.stage.Counted()
	if err != nil {
		return nil, err
	}
	defer proxy.Close()
	contestants, err := contest.Open(ctx, url, b.contestants.MatchString)
	if err != nil {
		return nil, err
	}
	defer contest.CloseAll(contestants)
	const warming, counted = 4, 10
	if err := b.barred(ctx, contestants); err != nil {
		return nil, err
	}
	table := tripTable{}
	for _, w := range b.works {
		table[w.name] = map[string]float64{}
		for _, c := range contestants {
			operation := w.operation(c)
			if operation == nil {
				continue
			}
			for i := range warming + counted {
				if i == warming {
					proxy.Reset()
				}
				if err := operation(ctx, i); err != nil {
					return nil, fmt.Errorf("%s: %s: %w", w.name, c.Name, err)
				}
			}
			table[w.name][c.Name] = float64(proxy.RoundTrips()) / counted
		}
	}
	return table, nil
}

// barred sees every contestant wait for the locks that it says it takes.
func (b *bench) barred(ctx context.Context, contestants []*contest.Contestant) error {
	const name = "barred"
	for _, c := range contestants {
		if c.Cycle != nil {
			if err := b.stage.Barred(ctx, postgres.Key(name), func() error { return c.Cycle(ctx, name) }); err != nil {
				return fmt.Errorf("%s, lock cycle: %w", c.Name, err)
			}
		}
		if c.SaveLocked != nil {
			save := func() error { return c.SaveLocked(ctx, order(0), "another", name) }
			if err := b.stage.Barred(ctx, postgres.Key(name), save); err != nil {
				return fmt.Errorf("%s, save under locks: %w", c.Name, err)
			}
		}
	}
	return nil
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

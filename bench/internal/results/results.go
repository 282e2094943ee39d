// Package results is what a run has measured, and what can be said of it.
package results

import (
	"time"

	"github.com/lockstep-go/lockstep/bench/internal/contest"
	"github.com/lockstep-go/lockstep/bench/internal/race"
)

// Run is all that one run has measured.
type Run struct {
	Command  string
	Complete bool // everything was measured, as long as it is meant to be
	Date     string
	Machine  Machine
	Notes    map[string]string // by contestant
	Solo     []Cell
	Crowds   []Crowd
	Overhead Overhead
}

// Machine is where a run took place.
type Machine struct {
	Cores             int
	Processor, System string
	Go, Postgres      string
	Fsync             string
	Rounds, Passes    int
	Slice             time.Duration
	Added             map[time.Duration]time.Duration // what delays really were
}

// A Cell is one kind of work under one condition, done by several contestants.
type Cell struct {
	Work        string
	Delay       time.Duration
	Synchronous bool
	Rows        []Row
}

// A Row is what one contestant needed for one operation.
type Row struct {
	Name       string
	RoundTrips float64   // for one operation
	PerOp      []float64 // nanoseconds, by round
}

// Row returns the row of a contestant, or nil.
func (c *Cell) Row(name string) *Row {
	for i := range c.Rows {
		if c.Rows[i].Name == name {
			return &c.Rows[i]
		}
	}
	return nil
}

// Ratio tells how many times longer a contestant needs than Lockstep does:
// divided round by round. It returns false where one of both is missing.
func (c *Cell) Ratio(name string) (race.Spread, bool) {
	theirs, ours := c.Row(name), c.Row(contest.Lockstep)
	if theirs == nil || ours == nil {
		return race.Spread{}, false
	}
	ratios := race.Ratios(theirs.PerOp, ours.PerOp)
	return race.SpreadOf(ratios), len(ratios) > 0
}

package results

import (
	"fmt"
	"strings"
	"time"

	"github.com/lockstep-go/lockstep/bench/internal/contest"
	"github.com/lockstep-go/lockstep/bench/internal/crowd"
	"github.com/lockstep-go/lockstep/bench/internal/race"
)

// A Crowd is what came of one crowd at one delay.
type Crowd struct {
	Work        string
	Delay       time.Duration
	Synchronous bool
	Rows        []CrowdRow
}

// A CrowdRow is what one contestant made of it.
type CrowdRow struct {
	Name      string
	Itself    []float64     // units under a lock by second, by round, without unrelated ones
	Contended []float64     // and with them
	Alone     []float64     // unrelated units by second, without the crowd
	Kept      []float64     // the share of that which is left beside the crowd
	AloneP99  time.Duration // of unrelated units, over all rounds
	BesideP99 time.Duration
}

// CrowdRowOf sums up what was measured of a contestant.
func CrowdRowOf(l crowd.Lane) CrowdRow {
	return CrowdRow{
		Name: l.Name, Itself: l.Itself, Contended: l.Contended, Alone: l.Alone, Kept: race.Ratios(l.Beside, l.Alone),
		AloneP99:  time.Duration(race.Quantile(l.AloneTook, 0.99)),
		BesideP99: time.Duration(race.Quantile(l.BesideTook, 0.99)),
	}
}

// Row returns the row of a contestant, or nil.
func (c *Crowd) Row(name string) *CrowdRow {
	for i := range c.Rows {
		if c.Rows[i].Name == name {
			return &c.Rows[i]
		}
	}
	return nil
}

// Ratio tells how many times more units under a lock Lockstep ends than another
// contestant does, divided round by round: those that units returns of a row. It
// returns false where one of both is missing.
func (c *Crowd) Ratio(name string, units func(*CrowdRow) []float64) (race.Spread, bool) {
	theirs, ours := c.Row(name), c.Row(contest.Lockstep)
	if theirs == nil || ours == nil {
		return race.Spread{}, false
	}
	ratios := race.Ratios(units(ours), units(theirs))
	return race.SpreadOf(ratios), len(ratios) > 0
}

// Slower is by how many times the slowest unrelated units take longer beside
// the crowd.
func (r *CrowdRow) Slower() float64 { return float64(r.BesideP99) / float64(max(r.AloneP99, 1)) }

// Summary is the crowd in one line.
func (c *Crowd) Summary() string {
	var parts []string
	for _, r := range c.Rows {
		parts = append(parts, fmt.Sprintf("%s %.0f/s, beside others %.0f/s, unrelated keeps %.1f %%, p99 × %.1f", r.Name,
			race.SpreadOf(r.Itself).Median, race.SpreadOf(r.Contended).Median, 100*race.SpreadOf(r.Kept).Median, r.Slower()))
	}
	return strings.Join(parts, "; ")
}

package results

import (
	"fmt"
	"time"

	"github.com/lockstep-go/lockstep/bench/internal/contest"
	"github.com/lockstep-go/lockstep/bench/internal/race"
)

// A Goal is something the project wants to reach, and what was measured.
type Goal struct {
	Text     string
	Want     float64
	AtMost   bool // Want is an upper bound, else a lower one
	Measured float64
	Missing  bool    // nothing was measured
	Limit    float64 // what round trips alone would give; 0 where that says nothing
}

// Met reports whether the goal was reached.
func (g Goal) Met() bool {
	if g.AtMost {
		return g.Measured <= g.Want
	}
	return g.Measured >= g.Want
}

// Verdict says in words how far the goal was reached.
func (g Goal) Verdict() string {
	switch {
	case g.Missing:
		return "not measured"
	case g.Met():
		return "met"
	}
	missed := 100 * max(g.Want-g.Measured, g.Measured-g.Want) / g.Want
	if missed < 1 {
		return "missed by less than 1 %"
	}
	return fmt.Sprintf("missed by %.0f %%", missed)
}

// Bound is the goal as a figure with its direction.
func (g Goal) Bound() string {
	if g.AtMost {
		return fmt.Sprintf("≤ %.4g", g.Want)
	}
	return fmt.Sprintf("≥ %.4g", g.Want)
}

// Goals are what a run says of all goals. They are held with synchronous_commit
// off, which leaves the least time that is the disk's and not the library's.
func (r *Run) Goals() []Goal {
	const ms = time.Millisecond
	goals := []Goal{
		r.ratioGoal("lock", ms, contest.SqlxByHand, 1.30),
		r.ratioGoal("lock", ms, contest.PgxByHand, 1.30),
		r.ratioGoal("lock", 0, contest.SqlxByHand, 1.20),
		r.ratioGoal("save", ms, contest.SqlxByHand, 1.36),
		r.ratioGoal("save", ms, contest.PgxByHand, 1.36),
		r.ratioGoal("save", 0, contest.SqlxByHand, 1.40),
		r.ratioGoal("cycle", ms, contest.SqlxByHand, 1.45),
		r.ratioGoal("cycle", ms, contest.PgxByHand, 1.45),
		r.ratioGoal("cycle", 0, contest.SqlxByHand, 1.60),
		r.ratioGoal("cycle", 0, contest.Session, 0.91),
	}
	for _, peer := range []string{contest.Avito, contest.Gorm, contest.Bun} {
		goals = append(goals, r.ratioGoal("nested", ms, peer, 1.30))
	}
	for _, peer := range []string{contest.Avito, contest.Gorm, contest.Bun} {
		goals = append(goals, r.worstGoal(peer))
	}
	goals = append(goals, r.crowdGoals()...)
	return append(goals, r.Overhead.goals()...)
}

// solo is a cell with synchronous_commit off, or nil.
func (r *Run) solo(work string, delay time.Duration) *Cell {
	for i, c := range r.Solo {
		if c.Work == work && c.Delay == delay && !c.Synchronous {
			return &r.Solo[i]
		}
	}
	return nil
}

func (r *Run) ratioGoal(work string, delay time.Duration, peer string, want float64) Goal {
	g := Goal{Text: fmt.Sprintf("%s at %s: time of %s ÷ ours", Title(work), DelayText(delay), peer), Want: want, Missing: true}
	cell := r.solo(work, delay)
	if cell == nil {
		return g
	}
	if ratio, ok := cell.Ratio(peer); ok {
		g.Missing, g.Measured = false, ratio.Median
		if delay > 0 {
			g.Limit = cell.Row(peer).RoundTrips / cell.Row(contest.Lockstep).RoundTrips
		}
	}
	return g
}

// worstGoal is not to be slower than a peer at anything.
func (r *Run) worstGoal(peer string) Goal {
	g := Goal{Text: "the worst row against " + peer, Want: 1, Missing: true}
	for _, cell := range r.Solo {
		ratio, ok := cell.Ratio(peer)
		if ok && (g.Missing || ratio.Median < g.Measured) {
			g.Missing, g.Measured = false, ratio.Median
			g.Text = fmt.Sprintf("the worst row against %s (%s at %s, synchronous_commit %s): time of %s ÷ ours",
				peer, Title(cell.Work), DelayText(cell.Delay), onOff(cell.Synchronous), peer)
		}
	}
	return g
}

func (r *Run) crowdGoals() []Goal {
	var goals []Goal
	for _, delay := range []time.Duration{0, 200 * time.Microsecond, time.Millisecond} {
		for _, work := range []string{"one-hot-name", "fifty-hot-names"} {
			goals = append(goals, r.keptGoals(work, delay)...)
		}
	}
	for _, delay := range []time.Duration{0, time.Millisecond} {
		goals = append(goals,
			r.contendedGoal(delay, "by itself", func(row *CrowdRow) []float64 { return row.Itself }),
			r.contendedGoal(delay, "beside unrelated units", func(row *CrowdRow) []float64 { return row.Contended }))
	}
	return goals
}

// contendedGoal is what a crowd of one name must get done.
func (r *Run) contendedGoal(delay time.Duration, where string, units func(*CrowdRow) []float64) Goal {
	const work = "one-hot-name"
	g := Goal{
		Text: fmt.Sprintf("%s at %s, %s: our units under the lock ÷ those of %s", Title(work), DelayText(delay), where, contest.SqlxByHand),
		Want: map[time.Duration]float64{0: 1.4, time.Millisecond: 1}[delay], Missing: true,
	}
	if c := r.crowd(work, delay); c != nil {
		if ratio, ok := c.Ratio(contest.SqlxByHand, units); ok {
			g.Missing, g.Measured = false, ratio.Median
		}
	}
	return g
}

// keptGoals are what a crowd must leave to those who do not belong to it.
func (r *Run) keptGoals(work string, delay time.Duration) []Goal {
	place := fmt.Sprintf("%s at %s: ", Title(work), DelayText(delay))
	kept := Goal{Text: place + "share of their rate that unrelated units keep", Want: 0.8, Missing: true}
	slower := Goal{Text: place + "p99 of unrelated units ÷ alone", Want: 2, AtMost: true, Missing: true}
	if c := r.crowd(work, delay); c != nil {
		if row := c.Row(contest.Lockstep); row != nil {
			kept.Missing, kept.Measured = len(row.Kept) == 0, race.SpreadOf(row.Kept).Median
			slower.Missing, slower.Measured = false, row.Slower()
		}
	}
	return []Goal{kept, slower}
}

func (r *Run) crowd(work string, delay time.Duration) *Crowd {
	for i, c := range r.Crowds {
		if c.Work == work && c.Delay == delay && !c.Synchronous {
			return &r.Crowds[i]
		}
	}
	return nil
}

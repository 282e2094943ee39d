package results

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/lockstep-go/lockstep/bench/internal/contest"
	"github.com/lockstep-go/lockstep/bench/internal/race"
)

// Markdown writes the report of a run. plot is the plot's file name.
func (r *Run) Markdown(w io.Writer, plot string) {
	m := r.Machine
	fmt.Fprintf(w, "Measured on %s by `%s`, on %d cores (%s), %s, %s, PostgreSQL %s on the same machine with fsync %s. ",
		r.Date, r.Command, m.Cores, m.Processor, m.System, m.Go, m.Postgres, m.Fsync)
	fmt.Fprintf(w, "%d rounds; in each, every contestant has %d turns of %v in an order that changes.\n", m.Rounds, m.Passes, m.Slice)
	for _, delay := range r.delays() {
		if added, ok := m.Added[delay]; ok {
			fmt.Fprintf(w, "Where %s were to be added to a round trip, %s were.\n", DelayText(delay), DelayText(added.Round(time.Microsecond)))
		}
	}
	fmt.Fprintf(w, "\n### Goals\n\n")
	r.writeGoals(w)
	fmt.Fprintf(w, "\n![How many times longer others need](%s)\n", plot)
	for _, synchronous := range []bool{false, true} {
		r.writeSolo(w, synchronous)
	}
	for _, synchronous := range []bool{false, true} {
		r.writeCrowds(w, synchronous)
	}
	fmt.Fprintf(w, "\n### Contestants\n\n| name | what it is |\n|---|---|\n")
	for _, name := range contest.Names() {
		if note := r.Notes[name]; note != "" {
			fmt.Fprintf(w, "| %s | %s |\n", name, strings.ReplaceAll(note, "|", `\|`))
		}
	}
}

func (r *Run) delays() []time.Duration {
	var delays []time.Duration
	for _, c := range r.Solo {
		delays = append(delays, c.Delay)
	}
	for _, c := range r.Crowds {
		delays = append(delays, c.Delay)
	}
	slices.Sort(delays)
	return slices.Compact(delays)
}

func (r *Run) writeGoals(w io.Writer) {
	fmt.Fprintf(w, "| goal | wanted | measured | limit | |\n|---|---|---|---|---|\n")
	for _, g := range r.Goals() {
		measured, limit := fmt.Sprintf("%.3g", g.Measured), ""
		if g.Missing {
			measured = ""
		}
		if g.Limit > 0 {
			limit = fmt.Sprintf("%.2f", g.Limit)
		}
		verdict := g.Verdict()
		if !g.Missing && !g.Met() {
			verdict = "**" + verdict + "**"
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s |\n", g.Text, g.Bound(), measured, limit, verdict)
	}
}

// writeSolo writes a table for each work that was measured with this setting.
func (r *Run) writeSolo(w io.Writer, synchronous bool) {
	title := false
	for _, work := range works {
		var cells []Cell
		for _, c := range r.Solo {
			if c.Work == work.name && c.Synchronous == synchronous {
				cells = append(cells, c)
			}
		}
		if len(cells) == 0 {
			continue
		}
		if !title {
			fmt.Fprintf(w, "\n### One after the other, synchronous_commit %s\n", onOff(synchronous))
			title = true
		}
		fmt.Fprintf(w, "\n%s: %s.\n\n", work.title, work.what)
		writeCells(w, cells)
		if work.name == "cycle" {
			writeThousand(w, cells)
		}
	}
}

// writeThousand tells what a user of many locks feels.
func writeThousand(w io.Writer, cells []Cell) {
	for _, c := range cells {
		if row := c.Row(contest.Lockstep); row != nil {
			fmt.Fprintf(w, "\nA thousand of them, one after the other, at %s: %.2f s.\n", DelayText(c.Delay), race.SpreadOf(row.PerOp).Median/1e6)
		}
	}
}

// writeCells writes one work as a table, with a column for each delay.
func writeCells(w io.Writer, cells []Cell) {
	fmt.Fprint(w, "| | round trips |")
	for _, c := range cells {
		fmt.Fprintf(w, " + %s |", DelayText(c.Delay))
	}
	fmt.Fprintf(w, "\n|---|---|%s\n", strings.Repeat("---|", len(cells)))
	for _, name := range contest.Names() {
		first := cells[0].Row(name)
		if first == nil {
			continue
		}
		fmt.Fprintf(w, "| %s | %.3g |", name, first.RoundTrips)
		for _, c := range cells {
			fmt.Fprintf(w, " %s |", c.text(name))
		}
		fmt.Fprintln(w)
	}
}

// text is a contestant's median time, and for the others how many times longer
// that is than ours, with the quartiles of the rounds.
func (c *Cell) text(name string) string {
	row := c.Row(name)
	if row == nil {
		return ""
	}
	took := race.SpreadOf(row.PerOp)
	if name == contest.Lockstep {
		return fmt.Sprintf("%.0f µs (%.0f–%.0f)", took.Median/1e3, took.Low/1e3, took.High/1e3)
	}
	ratio, ok := c.Ratio(name)
	if !ok {
		return fmt.Sprintf("%.0f µs", took.Median/1e3)
	}
	return fmt.Sprintf("%.0f µs, × %.2f (%.2f–%.2f)", took.Median/1e3, ratio.Median, ratio.Low, ratio.High)
}

// writeCrowds writes a table for each crowd that was measured with this setting.
func (r *Run) writeCrowds(w io.Writer, synchronous bool) {
	title := false
	for _, work := range works {
		var crowds []Crowd
		for _, c := range r.Crowds {
			if c.Work == work.name && c.Synchronous == synchronous {
				crowds = append(crowds, c)
			}
		}
		if len(crowds) == 0 {
			continue
		}
		if !title {
			fmt.Fprintf(w, "\n### Crowds, synchronous_commit %s\n", onOff(synchronous))
			title = true
		}
		fmt.Fprintf(w, "\n%s: %s.\n\n", work.title, work.what)
		writeRates(w, crowds)
	}
}

// writeRates writes one crowd as a table, with rows for each delay.
func writeRates(w io.Writer, crowds []Crowd) {
	fmt.Fprintf(w, "| | added | the crowd by itself, /s | beside unrelated, /s | unrelated alone, /s | kept beside the crowd | p99 alone | p99 beside |\n")
	fmt.Fprintf(w, "|---|---|---|---|---|---|---|---|\n")
	for _, c := range crowds {
		for _, row := range c.Rows {
			fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", row.Name, DelayText(c.Delay),
				rate(row.Itself), rate(row.Contended), rate(row.Alone), share(row.Kept), DelayText(row.AloneP99), DelayText(row.BesideP99))
		}
	}
}

// rate is the median of figures by second, with their quartiles.
func rate(byRound []float64) string {
	s := race.SpreadOf(byRound)
	return fmt.Sprintf("%.0f (%.0f–%.0f)", s.Median, s.Low, s.High)
}

func share(byRound []float64) string {
	s := race.SpreadOf(byRound)
	return fmt.Sprintf("%.3g %% (%.3g–%.3g)", 100*s.Median, 100*s.Low, 100*s.High)
}

package chaos

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/lockstep-go/lockstep/dialect"
)

// Report is what a run has shown.
type Report struct {
	Breaches  []Breach
	Faults    int            // how many were injected
	Injected  map[string]int // the same by kind, as the tables name it
	Units     int
	Committed int // of these, as their callers were told
	Lost      int // acknowledged units lost by a database that may lose them
	After     int // units committed after the turn of the stage, if it has one

	idle   error // why the run shows nothing; nil if it does, or has found a breach
	title  string
	config Config
	took   time.Duration
	tables []table
}

// table is printed as it stands in docs/faults.md.
type table struct {
	title  string
	header []string
	rows   [][]string
}

// tally counts units by what became of them.
type tally struct{ injected, hit, committed, rolledBack, doubt, unknown int }

func (t *tally) count(u *unitRecord) {
	t.hit++
	switch u.outcome {
	case dialect.Committed.String():
		t.committed++
	case dialect.RolledBack.String():
		t.rolledBack++
	case dialect.InDoubt.String():
		t.doubt++
	default:
		t.unknown++
	}
}

func newReport(c *checker, took time.Duration) *Report {
	r := &Report{
		Breaches: c.breaches, Faults: len(c.faults), Units: len(c.ordered), Lost: c.lost,
		Injected: map[string]int{},
		title:    c.w.stage.title, config: c.w.Config, took: took,
	}
	for _, u := range c.ordered {
		if u.outcome == dialect.Committed.String() {
			r.Committed++
		}
	}
	r.tables = []table{c.faultTable(), c.kindTable(), c.causeTable(), c.doubtTable()}
	for _, f := range c.faults {
		r.Injected[f.kind]++
		if f.kind == faultFailover || f.kind == faultPooler {
			r.After = c.committedAfter(f.to)
		}
	}
	if len(r.Breaches) == 0 {
		r.idle = r.checkIdle(c.w.stage)
	}
	return r
}

func (c *checker) committedAfter(t time.Time) int {
	n := 0
	for _, u := range c.ordered {
		if u.began > t.UnixMicro() && u.outcome == dialect.Committed.String() {
			n++
		}
	}
	return n
}

// harmless are causes that a unit brings upon itself.
func harmless(cause string) bool {
	return cause == "" || cause == causePlanned || cause == causeSwallowed || cause == causeTimeout || cause == causeSerial
}

// met are the units that a fault met: the one it names, or those of its worker
// that were under way, and failed or ran again.
func (c *checker) met(f fault, byWorker map[int][]*unitRecord) []*unitRecord {
	if f.unit != "" {
		if u := c.units[f.unit]; u != nil {
			return []*unitRecord{u}
		}
		return nil
	}
	if f.process != "" {
		return c.killedWith(f.process)
	}
	const longest = 20_000_000 // microseconds that a unit may last
	from, to := f.from.UnixMicro(), f.to.UnixMicro()
	var met []*unitRecord
	for worker, units := range byWorker {
		if f.worker != 0 && f.worker != worker {
			continue
		}
		first, _ := slices.BinarySearchFunc(units, from-longest, func(u *unitRecord, at int64) int { return cmp.Compare(u.began, at) })
		for _, u := range units[first:] {
			if u.began > to {
				break
			}
			if max(u.end, u.last) >= from && (!harmless(u.cause) || u.runs > 1 || u.end == 0) {
				met = append(met, u)
			}
		}
	}
	return met
}

// killedWith are the units of a process that were not over when it was killed.
func (c *checker) killedWith(process string) []*unitRecord {
	var killed []*unitRecord
	for _, u := range c.ordered {
		if strings.HasPrefix(u.id, process+"-") && u.truth() == outcomeUnknown && !u.puzzled {
			killed = append(killed, u)
		}
	}
	return killed
}

func (c *checker) faultTable() table {
	byWorker := map[int][]*unitRecord{}
	for _, u := range c.ordered {
		byWorker[u.worker] = append(byWorker[u.worker], u)
	}
	tallies := map[string]*tally{}
	total := &tally{}
	for _, f := range c.faults {
		t := tallies[f.kind]
		if t == nil {
			t = &tally{}
			tallies[f.kind] = t
		}
		t.injected++
		total.injected++
		for _, u := range c.met(f, byWorker) {
			t.count(u)
		}
	}
	t := table{title: "Faults", header: []string{"fault", "injected", "units hit", "committed", "rolled back", "in doubt", "killed"}}
	for _, kind := range slices.Sorted(maps.Keys(tallies)) {
		n := tallies[kind]
		t.add(kind, n.injected, n.hit, n.committed, n.rolledBack, n.doubt, n.unknown)
	}
	t.add("all", total.injected, "", "", "", "", "")
	return t
}

// unitTable counts units by a property of theirs.
func (c *checker) unitTable(title, head string, property func(*unitRecord) string) table {
	tallies, total := map[string]*tally{}, &tally{}
	for _, u := range c.ordered {
		key := property(u)
		if key == "" {
			continue
		}
		if tallies[key] == nil {
			tallies[key] = &tally{}
		}
		tallies[key].count(u)
		total.count(u)
	}
	t := table{title: title, header: []string{head, "units", "committed", "rolled back", "in doubt", "killed"}}
	for _, key := range slices.Sorted(maps.Keys(tallies)) {
		n := tallies[key]
		t.add(key, n.hit, n.committed, n.rolledBack, n.doubt, n.unknown)
	}
	t.add("all", total.hit, total.committed, total.rolledBack, total.doubt, total.unknown)
	return t
}

func (c *checker) kindTable() table {
	return c.unitTable("Units by what they do", "unit", func(u *unitRecord) string { return u.kind })
}

func (c *checker) causeTable() table {
	return c.unitTable("Units that were not committed, by what their caller was told", "cause",
		func(u *unitRecord) string { return u.cause })
}

// doubtTable tells what became of doubts, and of units whose process was killed.
func (c *checker) doubtTable() table {
	counts := map[[2]string]int{}
	for _, u := range c.ordered {
		told := ""
		switch {
		case u.outcome == outcomeUnknown:
			told = "process killed"
		case u.outcome == dialect.InDoubt.String() && u.puzzled:
			told = "in doubt, Resolve could not tell"
		case u.outcome == dialect.InDoubt.String() && u.resolution == "":
			told = "in doubt, process killed before it was resolved"
		case u.outcome == dialect.InDoubt.String():
			told = "in doubt, resolved to " + u.resolution
		default:
			continue
		}
		there := "not there"
		switch {
		case len(c.rows[u.id]) > 0:
			there = "there"
		case u.vote != nil && len(u.vote.Effects) == 0:
			there = "nothing to write"
		}
		counts[[2]string{told, there}]++
	}
	t := table{title: "Units without an answer to COMMIT", header: []string{"told", "in the database", "units"}}
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b [2]string) int { return strings.Compare(a[0]+a[1], b[0]+b[1]) })
	for _, k := range keys {
		t.add(k[0], k[1], counts[k])
	}
	return t
}

func (t *table) add(cells ...any) {
	row := make([]string, len(cells))
	for i, cell := range cells {
		row[i] = fmt.Sprint(cell)
	}
	t.rows = append(t.rows, row)
}

// Print writes the report as Markdown.
func (r *Report) Print(out io.Writer) {
	fmt.Fprintf(out, "\n%s, seed %d, %v of load: %d faults, %d units\n", r.title, r.config.Seed, r.took.Round(time.Second), r.Faults, r.Units)
	if r.After > 0 {
		fmt.Fprintf(out, "units committed that began after the turn: %d\n", r.After)
	}
	if r.config.Stage == StageFailoverAsync {
		fmt.Fprintf(out, "acknowledged units that the failover lost: %d\n", r.Lost)
	}
	for _, t := range r.tables {
		t.print(out)
	}
	if r.idle != nil {
		return // who prints the error says so
	}
	if len(r.Breaches) == 0 {
		fmt.Fprintln(out, "\nno promise was broken")
		return
	}
	fmt.Fprintf(out, "\n%d BREACHES\n", len(r.Breaches))
	told := map[string]int{}
	for _, b := range r.Breaches {
		if told[b.What]++; told[b.What] <= 5 {
			fmt.Fprintf(out, "- %s: %s\n", b.What, b.Detail)
		}
	}
	for _, what := range slices.Sorted(maps.Keys(told)) {
		fmt.Fprintf(out, "%d times: %s\n", told[what], what)
	}
}

func (t table) print(out io.Writer) {
	fmt.Fprintf(out, "\n%s:\n\n", t.title)
	lines := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	rule := make([]string, len(t.header))
	for i := range rule {
		rule[i] = "---"
	}
	for _, row := range append([][]string{t.header, rule}, t.rows...) {
		fmt.Fprintf(lines, "| %s\t|\n", strings.Join(row, "\t| "))
	}
	_ = lines.Flush()
}

package model

import (
	"fmt"
	"hash/maphash"
	"reflect"
	"slices"
	"strings"
)

// A Result is what Search found.
type Result struct {
	States      int
	Transitions int // those of faults included
	Depth       int // of the longest of the shortest ways to a state
	Ends        int // states in which nothing is left to do
	// Broken tells the promise that is broken; empty when all hold.
	Broken string
	// Trace are the events that lead there, in order.
	Trace []string
}

// String tells the result in one line.
func (r *Result) String() string {
	line := fmt.Sprintf("%d states, %d transitions, %d ends, depth %d", r.States, r.Transitions, r.Ends, r.Depth)
	if r.Broken == "" {
		return line
	}
	return line + "\nBROKEN: " + r.Broken + "\n  " + strings.Join(r.Trace, "\n  ")
}

// world is one search under way.
type world struct {
	Config
	modes     [maxProcesses][maxNames]callers
	processes int

	states []state
	parent []int32
	table  []int32 // by hash, of index plus one
	seed   maphash.Seed

	like      [maxUnits]int // the first unit that is the same
	mirrored  bool          // the units of the second process are those of the first
	symmetric bool          // states that differ in names alone are one
	// Successors of the state that is looked at.
	steps   []step
	current int

	result    Result
	violation string
	last      step // that which violated
	// The events but faults, as successors of each state in turn.
	edges []int32
	first []int
}

type step struct {
	what  string
	who   int
	fault bool
	to    state
}

func (t step) String() string {
	if t.who < 0 {
		return strings.TrimSuffix(t.what, ", of unit")
	}
	return fmt.Sprint(t.what, " ", t.who)
}

// Search visits every state of c that can be reached, in order of distance, and
// stops at the first that breaks a promise. When all is visited it looks whether
// every way without further faults comes to an end. It returns an error for a
// config that makes no sense and when there are more than limit states.
//
// States that differ only in which of two like units, processes or connections
// is which count as one; a trace tells them apart.
func Search(c Config, limit int) (*Result, error) {
	r, err := search(c, limit, true)
	if err == nil && r.Broken != "" {
		return search(c, 100*limit, false)
	}
	return r, err
}

func search(c Config, limit int, symmetric bool) (*Result, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	w := &world{Config: c, symmetric: symmetric, seed: maphash.MakeSeed(), table: make([]int32, 1<<12)}
	w.prepare()
	w.visit(&state{}, -1)
	for w.current = 0; w.current < len(w.states); w.current++ {
		if len(w.states) > limit {
			return nil, fmt.Errorf("model: more than %d states", limit)
		}
		if !w.expand() {
			return w.finish(), nil
		}
	}
	w.first = append(w.first, len(w.edges))
	w.checkEnds()
	return w.finish(), nil
}

// prepare works out what is asked often.
func (w *world) prepare() {
	for n := range maxNames {
		all := w.Config.modes(n)
		for i, u := range w.Units {
			w.modes[u.Process][n][i] = all[i]
			w.processes = max(w.processes, u.Process+1)
		}
	}
	half := len(w.Units) / 2
	w.mirrored = w.processes == 2 && len(w.Units) == 2*half
	for i := range w.Units {
		w.like[i] = slices.IndexFunc(w.Units, func(u Unit) bool { return reflect.DeepEqual(u, w.Units[i]) })
		if i < half {
			twin := w.Units[i]
			twin.Process = 1
			w.mirrored = w.mirrored && w.Units[i].Process == 0 && reflect.DeepEqual(twin, w.Units[half+i])
		}
	}
}

// expand adds the successors of the current state. It reports whether all
// promises hold so far.
func (w *world) expand() bool {
	w.successors(&w.states[w.current])
	w.first = append(w.first, len(w.edges))
	if w.violation != "" {
		return false
	}
	quiet := true
	for i := range w.steps {
		t := &w.steps[i]
		w.result.Transitions++
		to := w.visit(&t.to, w.current)
		if !t.fault {
			quiet = false
			w.edges = append(w.edges, to)
		}
		if broken := w.inspect(&t.to); broken != "" {
			w.violation, w.last = broken, *t
			return false
		}
	}
	if quiet {
		w.result.Ends++
		w.violation = w.inspectEnd(&w.states[w.current])
	}
	return w.violation == ""
}

// successors fills steps with what may happen in s.
func (w *world) successors(s *state) {
	w.steps = w.steps[:0]
	from := *s
	for u := range w.Units {
		if from.units[u].phase < done {
			w.act(&from, u)
		}
	}
	w.serve(&from)
	w.fail(&from)
}

func (w *world) emit(_ *state, to *state, what string, who int) { w.add(to, what, who, false) }

func (w *world) fault(_ *state, to *state, what string, who int) {
	to.faults++
	w.add(to, what, who, true)
}

func (w *world) add(to *state, what string, who int, fault bool) {
	w.steps = append(w.steps, step{what, who, fault, *to})
	if w.violation != "" && w.last.what == "" {
		w.last = w.steps[len(w.steps)-1]
	}
}

// violated notes a promise that is broken by the event under way.
func (w *world) violated(format string, args ...any) {
	if w.violation == "" {
		w.violation = fmt.Sprintf(format, args...)
	}
}

// visit returns the index of s, which it adds if it is new.
func (w *world) visit(s *state, parent int) int32 {
	if w.symmetric {
		s = w.canonical(s)
	}
	if 2*len(w.states) >= len(w.table) {
		w.grow()
	}
	at := w.slot(s)
	if w.table[at] == 0 {
		w.states = append(w.states, *s)
		w.parent = append(w.parent, int32(parent))
		w.table[at] = int32(len(w.states))
	}
	return w.table[at] - 1
}

// slot finds where s is in the table, or is to be.
func (w *world) slot(s *state) int {
	mask := len(w.table) - 1
	at := int(maphash.Comparable(w.seed, *s)) & mask
	for w.table[at] != 0 && w.states[w.table[at]-1] != *s {
		at = (at + 1) & mask
	}
	return at
}

func (w *world) grow() {
	w.table = make([]int32, 2*len(w.table))
	for i := range w.states {
		w.table[w.slot(&w.states[i])] = int32(i) + 1
	}
}

// finish makes the result, with the way to the broken promise.
func (w *world) finish() *Result {
	r := &w.result
	r.States, r.Broken = len(w.states), w.violation
	r.Depth = len(w.path(len(w.states)-1)) - 1
	if w.violation == "" {
		return r
	}
	path := w.path(w.current)
	last := w.last
	w.violation = ""
	for i, at := range path[:len(path)-1] {
		w.successors(&w.states[at])
		for _, t := range w.steps {
			if t.to == w.states[path[i+1]] {
				r.Trace = append(r.Trace, t.String())
				break
			}
		}
	}
	if last.what != "" {
		r.Trace = append(r.Trace, last.String())
	}
	return r
}

// path returns the states from the first to i.
func (w *world) path(i int) []int {
	var back []int
	for ; i >= 0; i = int(w.parent[i]) {
		back = append([]int{i}, back...)
	}
	return back
}

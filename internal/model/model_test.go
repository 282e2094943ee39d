package model

import (
	"os"
	"strconv"
	"testing"
)

func exclusive(name int) Lock { return Lock{name, Exclusive} }
func shared(name int) Lock    { return Lock{name, Shared} }

// unitsOf returns n units of one process that ask for the locks.
func unitsOf(process, n int, locks ...Lock) []Unit {
	units := make([]Unit, n)
	for i := range units {
		units[i] = Unit{Process: process, Locks: locks}
	}
	return units
}

func together(units ...[]Unit) (all []Unit) {
	for _, u := range units {
		all = append(all, u...)
	}
	return all
}

func retried(units []Unit) []Unit {
	for i := range units {
		units[i].Retry = true
	}
	return units
}

func nested(units []Unit) []Unit {
	for i := range units {
		units[i].Inner = true
	}
	return units
}

const skip = -1

// worlds are what is searched: faults is how many may happen in a short run, in
// an ordinary one, and in the long one of `make model`.
var worlds = []struct {
	name   string
	units  []Unit
	pool   int
	faults [3]int
}{
	{"two processes of two", together(unitsOf(0, 2, exclusive(0)), unitsOf(1, 2, exclusive(0))), 2, [3]int{0, 1, 1}},
	{"one connection each", together(unitsOf(0, 2, exclusive(0)), unitsOf(1, 2, exclusive(0))), 1, [3]int{0, 1, 1}},
	{"two processes of one", together(unitsOf(0, 1, exclusive(0)), unitsOf(1, 1, exclusive(0))), 1, [3]int{1, 2, 3}},
	{"on deck", together(unitsOf(0, 3, exclusive(0)), unitsOf(1, 1, exclusive(0))), 3, [3]int{0, 0, 1}},
	{"a reader and writers", together(unitsOf(0, 1, shared(0)), unitsOf(0, 1, exclusive(0)), unitsOf(1, 1, exclusive(0))), 3, [3]int{0, 1, 2}},
	{"readers and writers", together(unitsOf(0, 2, shared(0)), unitsOf(0, 1, exclusive(0)), unitsOf(1, 1, exclusive(0))), 3, [3]int{skip, 0, 1}},
	{"upgradeable readers", together(unitsOf(0, 2, Lock{0, Update}), unitsOf(0, 1, shared(0)), unitsOf(1, 1, exclusive(0))), 3, [3]int{skip, 0, 1}},
	{"two names", together(unitsOf(0, 1, exclusive(0), exclusive(1)), unitsOf(0, 1, exclusive(1)), unitsOf(1, 1, exclusive(0), exclusive(1))), 2, [3]int{0, 1, 2}},
	{"two names, one connection", together(unitsOf(0, 2, exclusive(0), exclusive(1)), unitsOf(1, 1, exclusive(0), shared(1))), 1, [3]int{0, 1, 2}},
	{"units within units", together(nested(unitsOf(0, 2, exclusive(0))), nested(unitsOf(0, 2, exclusive(1)))), 3, [3]int{skip, 0, 1}},
	{"units within units, two connections", together(nested(unitsOf(0, 3, exclusive(0))), unitsOf(0, 1, exclusive(1))), 2, [3]int{0, 1, 2}},
	{"retried", together(retried(unitsOf(0, 2, exclusive(0))), retried(unitsOf(1, 1, exclusive(0)))), 2, [3]int{0, 1, 2}},
}

// long is set by `make model`.
func long() bool { ok, _ := strconv.ParseBool(os.Getenv("LOCKSTEP_MODEL_LONG")); return ok }

// size chooses among the three sizes of a run.
func size(t *testing.T) int {
	t.Helper()
	switch {
	case long():
		return 2
	case testing.Short():
		return 0
	}
	return 1
}

const limit = 20_000_000

func TestNothingBreaks(t *testing.T) {
	t.Parallel()
	states, transitions := 0, 0
	for _, w := range worlds {
		faults := w.faults[size(t)]
		if faults == skip {
			continue
		}
		r, err := Search(Config{Units: w.units, Pool: w.pool, Faults: faults}, limit)
		if err != nil {
			t.Fatalf("%s: %v", w.name, err)
		}
		if r.Broken != "" {
			t.Errorf("%s: %v", w.name, r)
		}
		t.Logf("%-36s pool %d, faults %d: %v", w.name, w.pool, faults, r)
		states, transitions = states+r.States, transitions+r.Transitions
	}
	t.Logf("%d states and %d transitions in all", states, transitions)
}

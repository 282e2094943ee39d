package model

import (
	"strings"
	"testing"
)

// broken are mutants, each in a world in which it shows, with the promise that
// it breaks.
var broken = []struct {
	mutant Mutant
	units  []Unit
	pool   int
	faults int
	want   string
}{
	{SkipsLock, two, 1, 0, "outside its lock, and is committed"},
	{FreesBeforeCommit, two, 1, 0, "outside its lock, and is committed"},
	{LocksElsewhere, two, 1, 1, "outside its lock, and is committed"},
	{SnapshotBeforeLock, two, 1, 0, "an update of name 0 is lost"},
	{WritesAfterAbort, two, 1, 1, "outside its lock, and is committed"},
	{RetriesInDoubt, two, 1, 1, "is committed twice"},
	{ReusesInDoubt, pair, 1, 1, "outside its lock, and is committed"},
	{CancelIsRollback, two, 1, 1, "is reported rolled back and is committed"},
	{ResolvesOpen, two, 1, 1, "is reported rolled back and is committed"},
	{KeepsConnection, two, 1, 1, "nothing will ever wake it"},
	{KeepsPass, pair, 1, 1, "nothing will ever wake it"},
	{WakesNobody, pair, 1, 0, "nothing will ever wake it"},
	{WakesTheWrongOne, unitsOf(0, 3, exclusive(0)), 1, 0, "nothing will ever wake it"},
	{CancelledStays, unitsOf(0, 3, exclusive(0)), 1, 1, "nothing will ever wake it"},
	{CancelledKeeps, pair, 1, 1, "nothing will ever wake it"},
	{DeckStaysTaken, pair, 3, 0, "a gate of process 0 is left"},
	{DeckWithoutRoom, nested(unitsOf(0, 2, exclusive(0))), 2, 0, "nothing will ever wake it"},
	{AcknowledgesEarly, two, 1, 1, "is reported committed and is not"},
	{GrantsTwice, two, 1, 0, "two transactions hold name 0 at once"},
	{OwnOrder, together(unitsOf(0, 1, exclusive(0), exclusive(1)), unitsOf(1, 1, exclusive(1), exclusive(0))), 1, 0, "nothing will ever wake it"},
}

// two are a unit in each of two processes, pair two units of one process.
var (
	two  = together(unitsOf(0, 1, exclusive(0)), unitsOf(1, 1, exclusive(0)))
	pair = unitsOf(0, 2, exclusive(0))
)

// TestEveryMutantIsFound breaks the model in every way it can be broken; -v
// prints the events that lead to the broken promise.
func TestEveryMutantIsFound(t *testing.T) {
	t.Parallel()
	tried := map[Mutant]bool{Faithful: true}
	for _, test := range broken {
		tried[test.mutant] = true
		t.Run(test.mutant.String(), func(t *testing.T) {
			t.Parallel()
			c := Config{Units: test.units, Pool: test.pool, Faults: test.faults, Broken: test.mutant}
			r, err := Search(c, limit)
			if err != nil {
				t.Fatal(err)
			}
			if r.Broken == "" || !strings.Contains(r.Broken, test.want) {
				t.Fatalf("want one that says %q, found %v", test.want, r)
			}
			if len(r.Trace) == 0 {
				t.Error("no events lead there")
			}
			t.Log(r)
			if test.mutant == OwnOrder {
				return // no mutant of the code, but of its caller
			}
			c.Broken = Faithful
			if r, err := Search(c, limit); err != nil || r.Broken != "" {
				t.Errorf("found in the faithful model as well: %v, %v", r, err)
			}
		})
	}
	for m := range Mutant(len(mutantNames)) {
		if !tried[m] {
			t.Errorf("no test for %v", m)
		}
	}
}

func TestConfigsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	for _, c := range []Config{
		{},
		{Units: pair},
		{Units: unitsOf(0, maxUnits+1, exclusive(0)), Pool: 1},
		{Units: unitsOf(maxProcesses, 1, exclusive(0)), Pool: 1},
		{Units: unitsOf(0, 1), Pool: 1},
		{Units: unitsOf(0, 1, exclusive(maxNames)), Pool: 1},
		{Units: unitsOf(0, 1, Lock{0, 0}), Pool: 1},
		{Units: unitsOf(0, 1, exclusive(1), exclusive(0)), Pool: 1},
	} {
		if _, err := Search(c, limit); err == nil {
			t.Errorf("searched %+v", c)
		}
	}
	if _, err := Search(Config{Units: pair, Pool: 1}, 10); err == nil {
		t.Error("no error beyond the limit")
	}
}

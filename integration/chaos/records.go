package chaos

import (
	"cmp"
	"slices"

	"github.com/lockstep-go/lockstep/dialect"
)

// unitRecord is what the histories tell of one unit.
type unitRecord struct {
	id, kind   string
	worker     int
	began, end int64 // microseconds of the worker's clock; end is 0 without outcome
	last       int64 // when anything was last heard of it
	puzzled    bool  // Resolve did not tell
	runs       int   // as far as the last event tells
	vote       *event
	outcome    string // as reported; outcomeUnknown if nothing was
	resolution string // what Resolve told; empty if nothing
	cause      string
	hooks      hookSightings
	heldFully  bool
	texts      []string
	inside     []*interval
	open       map[string][]*interval // by lock name, those that the next tick may extend
}

// interval is a time by the server's ticks in which a unit was inside a lock.
type interval struct {
	unit        *unitRecord
	run         int
	name        string
	mode        dialect.Mode
	first, last int64
	epoch       string
}

// truth is the outcome that must be so: the one reported, or for a doubt the one
// that Resolve told.
func (u *unitRecord) truth() string {
	if u.outcome != dialect.InDoubt.String() {
		return u.outcome
	}
	if u.resolution != "" {
		return u.resolution
	}
	return outcomeUnknown
}

// learn adds an event to the record.
func (u *unitRecord) learn(e event) {
	u.runs, u.last = max(u.runs, e.Attempt), e.At
	switch e.What {
	case ticked:
		u.tick(e)
	case letGo:
		u.narrow(e.Held)
	case voted:
		u.vote = &e
	case heldFully:
		u.heldFully = true
	case ended:
		u.outcome, u.cause, u.hooks, u.end = e.Outcome, e.Cause, e.Hooks, e.At
		u.texts = append(u.texts, e.Text)
	case resolved:
		u.resolution = e.Outcome
	case puzzled:
		u.puzzled = true
		u.texts = append(u.texts, "not resolved: "+e.Text)
	}
}

// tick extends the intervals of the locks held and begins those of new ones. A
// stronger mode has an interval of its own beside the weaker's.
func (u *unitRecord) tick(e event) {
	u.narrow(e.Held)
	for _, l := range e.Held {
		strongest := dialect.Mode(0)
		for _, open := range u.open[l.Name] {
			if open.run == e.Attempt && open.epoch == e.Epoch {
				open.last = e.Tick
				strongest = max(strongest, open.mode)
			}
		}
		if strongest >= l.Mode {
			continue
		}
		began := &interval{unit: u, run: e.Attempt, name: l.Name, mode: l.Mode, first: e.Tick, last: e.Tick, epoch: e.Epoch}
		u.inside = append(u.inside, began)
		if u.open == nil {
			u.open = map[string][]*interval{}
		}
		u.open[l.Name] = append(u.open[l.Name], began)
	}
}

// narrow ends the intervals of locks that are not held any more, or not as
// strongly.
func (u *unitRecord) narrow(held []heldLock) {
	for name, open := range u.open {
		mode := dialect.Mode(0)
		for _, l := range held {
			if l.Name == name {
				mode = l.Mode
			}
		}
		u.open[name] = slices.DeleteFunc(open, func(i *interval) bool { return i.mode > mode })
	}
}

// seal extends what was held to the end by a tick drawn during COMMIT.
func (u *unitRecord) seal(run int, tick int64, epoch string) {
	for _, open := range u.open {
		for _, i := range open {
			if i.run == run && i.epoch == epoch {
				i.last = max(i.last, tick)
			}
		}
	}
}

// overlaps finds pairs of intervals that exclude each other and overlap. Each
// interval that takes part is told once.
func overlaps(all []*interval, tell func(a, b *interval)) {
	type place struct{ name, epoch string }
	grouped := map[place][]*interval{}
	for _, i := range all {
		at := place{i.name, i.epoch}
		grouped[at] = append(grouped[at], i)
	}
	for _, group := range grouped {
		slices.SortFunc(group, func(a, b *interval) int { return cmp.Compare(a.first, b.first) })
		for n, a := range group {
			for _, b := range group[n+1:] {
				if b.first >= a.last {
					break
				}
				apart := a.unit == b.unit && a.run == b.run
				// A lone tick at the first moment of the other proves nothing.
				if !apart && !a.mode.Compatible(b.mode) && b.last > a.first {
					tell(a, b)
					break
				}
			}
		}
	}
}

package model

import (
	"fmt"
	"math/bits"
)

// inspect returns the promise that a state breaks, in words.
func (w *world) inspect(s *state) string {
	var sum [maxNames]uint8
	for u := range w.Units {
		x := &s.units[u]
		switch {
		case x.commits > 1:
			return fmt.Sprintf("unit %d is committed twice", u)
		case x.phase == done && x.outcome == committed && x.commits == 0 && !s.committing(u):
			return fmt.Sprintf("unit %d is reported committed and is not", u)
		case x.phase == done && x.outcome == rolledBack && x.commits > 0:
			return fmt.Sprintf("unit %d is reported rolled back and is committed", u)
		}
		for _, l := range w.Units[u].Locks {
			if l.Mode == Exclusive {
				sum[l.Name] += x.commits
			}
		}
	}
	for n := range s.locks {
		l := &s.locks[n]
		if sum[n] != s.values[n] {
			return fmt.Sprintf("an update of name %d is lost: %d committed, the number is %d", n, sum[n], s.values[n])
		}
		if bits.OnesCount8(l.exclusive) > 1 || l.exclusive != 0 && l.shared|l.update != 0 || bits.OnesCount8(l.update) > 1 {
			return fmt.Sprintf("two transactions hold name %d at once", n)
		}
	}
	for p := range s.gates {
		if used := w.inUse(s, p); used > w.Pool {
			return fmt.Sprintf("process %d uses %d connections of %d", p, used, w.Pool)
		}
	}
	return ""
}

// committing reports whether the server is at the commit of the unit, which it
// has not made durable.
func (s *state) committing(u int) bool {
	for i := range s.sessions {
		if c := &s.sessions[i]; c.request == release && c.wrote&bit(u) != 0 {
			return true
		}
	}
	return false
}

// inspectEnd returns what is wrong with a state in which nothing can happen any
// more but faults.
func (w *world) inspectEnd(s *state) string {
	for u := range w.Units {
		switch x := &s.units[u]; x.phase {
		case done:
			if x.outcome != committed && x.outcome != rolledBack {
				return fmt.Sprintf("unit %d ends without an outcome", u)
			}
		case killed:
		default:
			return fmt.Sprintf("unit %d waits and nothing will ever wake it", u)
		}
	}
	for n := range s.locks {
		if s.locks[n] != (lock{}) {
			return fmt.Sprintf("the lock of name %d is left", n)
		}
	}
	for p := range s.gates {
		if s.gates[p] != (table{}) {
			return fmt.Sprintf("a gate of process %d is left", p)
		}
	}
	for i := range s.sessions {
		c := &s.sessions[i]
		switch {
		case !c.used:
		case c.user != 0 || c.gone:
			return fmt.Sprintf("a connection of process %d is left", c.process)
		case c.tx != noTransaction || c.request != nothing && !c.dead:
			return fmt.Sprintf("a transaction is left open on a connection of process %d", c.process)
		}
	}
	return ""
}

// checkEnds looks for a circle of events without a fault: where there is none,
// and no state in which somebody waits has nothing to follow, every unit comes
// to its end whatever the order of events, once the faults stop.
func (w *world) checkEnds() {
	left := make([]int32, len(w.states)) // how many successors do not come to an end, as far as known
	into := make([]int32, len(w.edges))  // predecessors, grouped by successor
	start := make([]int, len(w.states)+1)
	for _, to := range w.edges {
		start[to+1]++
	}
	for i := range w.states {
		start[i+1] += start[i]
	}
	next := append([]int(nil), start[:len(w.states)]...)
	var ends []int32
	for i := range w.states {
		for _, to := range w.edges[w.first[i]:w.first[i+1]] {
			into[next[to]] = int32(i)
			next[to]++
			left[i]++
		}
		if left[i] == 0 {
			ends = append(ends, int32(i))
		}
	}
	settled := 0
	for ; settled < len(ends); settled++ {
		for _, from := range into[start[ends[settled]]:start[ends[settled]+1]] {
			if left[from]--; left[from] == 0 {
				ends = append(ends, from)
			}
		}
	}
	if settled == len(w.states) {
		return
	}
	for i := range left {
		if left[i] > 0 {
			w.current = i
			w.violated("events go round in a circle without end")
			return
		}
	}
}

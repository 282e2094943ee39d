package model

import (
	"cmp"
	"math/bits"
	"slices"
)

// canonical returns s with its sessions, like units, and like processes, in an
// order of their own. It need not find the same form for every two states that
// are alike: those are visited twice, and nothing is missed.
func (w *world) canonical(s *state) *state {
	out := *s
	w.orderUnits(&out)
	orderSessions(&out)
	return &out
}

// weight tells units apart by where they are.
func (s *state) weight(u int) uint64 {
	x := &s.units[u]
	k := uint64(x.phase)<<40 | uint64(x.at)<<36 | uint64(x.attempt)<<34 | uint64(x.outcome)<<32 | uint64(x.commits)<<28
	if x.cancelled {
		k |= 1 << 27
	}
	if x.again {
		k |= 1 << 26
	}
	if x.session != 0 {
		c := &s.sessions[x.session-1]
		k |= uint64(c.request)<<16 | uint64(c.reply)<<14 | uint64(c.tx)<<12 | uint64(c.next)<<10 | uint64(c.answer[0])<<4
		if c.cut {
			k |= 1 << 9
		}
		if c.waiting {
			k |= 1 << 8
		}
	}
	return k
}

// orderUnits sorts the units of each process that are alike in their Unit, and
// then the processes if their units are alike one by one.
func (w *world) orderUnits(s *state) {
	var order [maxUnits]int // new place to old
	for i := range order {
		order[i] = i
	}
	for i := range w.Units {
		for j := i + 1; j < len(w.Units); j++ {
			if w.like[i] == w.like[j] && s.before(order[j], order[i]) {
				order[i], order[j] = order[j], order[i]
			}
		}
	}
	swap := false
	if w.mirrored {
		half := len(w.Units) / 2
		for i := range half {
			a, b := s.weight(order[i]), s.weight(order[half+i])
			if a != b {
				swap = b < a
				break
			}
		}
		if swap {
			for i := range half {
				order[i], order[half+i] = order[half+i], order[i]
			}
		}
	}
	if swap || order != [maxUnits]int{0, 1, 2, 3, 4} {
		w.renameUnits(s, &order, swap)
	}
}

// before orders two units of one process, by their place in line where nothing
// else tells them apart.
func (s *state) before(a, b int) bool {
	if wa, wb := s.weight(a), s.weight(b); wa != wb {
		return wa < wb
	}
	for p := range s.gates {
		for n := range s.gates[p] {
			g := &s.gates[p][n]
			for _, q := range g.queue {
				switch q {
				case uint8(a) + 1:
					return true
				case uint8(b) + 1:
					return false
				}
			}
			if ia, ib := g.isInside(a), g.isInside(b); ia != ib {
				return ia
			}
			if da, db := g.deck == uint8(a)+1, g.deck == uint8(b)+1; da != db {
				return da
			}
		}
	}
	return false
}

func (w *world) renameUnits(s *state, order *[maxUnits]int, swap bool) {
	var to [maxUnits + 1]uint8 // old plus one to new plus one
	old := s.units
	for place, was := range order {
		s.units[place] = old[was]
		to[was+1] = uint8(place) + 1
	}
	set := func(b uint8) (out uint8) {
		for ; b != 0; b &= b - 1 {
			out |= bit(int(to[bits.TrailingZeros8(b)+1]) - 1)
		}
		return out
	}
	if swap {
		s.gates[0], s.gates[1] = s.gates[1], s.gates[0]
		s.crashed = s.crashed>>1&1 | s.crashed<<1&2
	}
	for p := range s.gates {
		for n := range s.gates[p] {
			g := &s.gates[p][n]
			g.inside, g.held, g.deck = set(g.inside), set(g.held), to[g.deck]
			for i, q := range g.queue {
				g.queue[i] = to[q]
			}
		}
	}
	for i := range s.sessions {
		c := &s.sessions[i]
		c.user, c.runs, c.wrote = to[c.user], to[c.runs], set(c.wrote)
		if swap && c.used {
			c.process = 1 - c.process
		}
	}
}

// orderSessions sorts the sessions by whose they are and what they do.
func orderSessions(s *state) {
	var order [maxSessions]int
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order[:], func(a, b int) int { return cmp.Compare(s.sessions[a].weight(), s.sessions[b].weight()) })
	var to [maxSessions + 1]uint8
	old := s.sessions
	for place, was := range order {
		s.sessions[place] = old[was]
		to[was+1] = uint8(place) + 1
	}
	for u := range s.units {
		s.units[u].session = to[s.units[u].session]
	}
	set := func(b uint8) (out uint8) {
		for ; b != 0; b &= b - 1 {
			out |= bit(int(to[bits.TrailingZeros8(b)+1]) - 1)
		}
		return out
	}
	for n := range s.locks {
		l := &s.locks[n]
		l.shared, l.update, l.exclusive = set(l.shared), set(l.update), set(l.exclusive)
		for i, q := range l.queue {
			l.queue[i] = to[q]
		}
	}
}

// weight puts the sessions in use first.
func (c *session) weight() uint64 {
	if !c.used {
		return 1 << 63
	}
	k := uint64(c.process)<<60 | uint64(c.user)<<56 | uint64(c.runs)<<52 | uint64(c.request)<<48 | uint64(c.reply)<<44 |
		uint64(c.tx)<<40 | uint64(c.next)<<36 | uint64(c.wrote)<<28 | uint64(c.answer[0])<<24 | uint64(c.answer[1])<<20 |
		uint64(c.pending[0])<<16 | uint64(c.pending[1])<<12
	for i, flag := range []bool{c.dead, c.gone, c.cut, c.cancel, c.waiting, c.stray} {
		if flag {
			k |= 1 << i
		}
	}
	return k
}

package model

import "math/bits"

// callers are the modes in which callers ask for one name.
type callers [maxUnits]Mode

// A gate is one of package gate, its callers known by number.
type gate struct {
	inside, held uint8           // sets of callers
	deck         uint8           // the caller on deck, plus one
	queue        [maxUnits]uint8 // callers plus one, the head first
}

// A table is the gates of one process.
type table [maxNames]gate

// door is what an operation on a gate needs to know.
type door struct {
	table  *table
	gate   *gate
	modes  *callers
	room   int // how many may be on deck at most, over all names
	broken Mutant
}

func (t *table) door(name int, modes *callers, room int, broken Mutant) door {
	return door{t, &t[name], modes, room, broken}
}

func (t *table) onDeck() (n int) {
	for i := range t {
		if t[i].deck != 0 {
			n++
		}
	}
	return n
}

func bit(i int) uint8 { return 1 << i }

func (g *gate) isInside(c int) bool { return g.inside&bit(c) != 0 }

// arrive puts the caller inside, or in line.
func (d door) arrive(c int) {
	if d.gate.queue[0] != 0 || !d.admit(c) {
		push(d.gate.queue[:], uint8(c)+1)
	}
}

// try puts the caller inside if nothing is in its way. It reports whether it is.
func (d door) try(c int) bool {
	if d.gate.queue[0] == 0 && d.free(c) {
		d.gate.inside |= bit(c)
		return true
	}
	return false
}

// join puts the caller inside, whatever the line: it has the lock.
func (d door) join(c int) {
	d.gate.inside |= bit(c)
	d.gate.held |= bit(c)
}

// admit lets the caller in if it goes with those inside, or on deck.
func (d door) admit(c int) bool {
	g := d.gate
	roomy := d.table.onDeck() < d.room || d.broken == DeckWithoutRoom
	if d.free(c) {
		waiting := bits.OnesCount8(g.inside &^ g.held)
		if waiting == 0 || (waiting == 1 || g.held != 0) && roomy {
			g.inside |= bit(c)
			return true
		}
		return false
	}
	if g.deck != 0 || !roomy {
		return false
	}
	g.deck = uint8(c) + 1
	g.inside |= bit(c)
	return true
}

// granted notes that the server has granted the caller's lock.
func (d door) granted(c int) {
	d.gate.held |= bit(c)
	d.advance()
}

// leave gives the caller's place to others.
func (d door) leave(c int) {
	g := d.gate
	g.inside &^= bit(c)
	g.held &^= bit(c)
	if (g.deck == uint8(c)+1 || g.deck != 0 && d.alone(int(g.deck)-1)) && d.broken != DeckStaysTaken {
		g.deck = 0
	}
	if d.broken != WakesNobody {
		d.advance()
	}
}

// giveUp takes the caller out of line, or hands back the pass that it has got
// and not seen yet.
func (d door) giveUp(c int) {
	if d.gate.isInside(c) {
		if d.broken != CancelledKeeps {
			d.leave(c)
		}
		return
	}
	if d.broken == CancelledStays {
		return
	}
	remove(d.gate.queue[:], uint8(c)+1)
	d.advance()
}

// advance admits from the head of the line as long as it can.
func (d door) advance() {
	g := d.gate
	for g.queue[0] != 0 {
		head := g.queue[0]
		if !d.admit(int(head) - 1) {
			return
		}
		if d.broken == WakesTheWrongOne {
			head = last(g.queue[:])
		}
		remove(g.queue[:], head)
	}
}

// free reports whether the caller goes with everybody inside.
func (d door) free(c int) bool { return d.goesWith(c, d.gate.inside) }

// alone reports whether the caller conflicts with nobody else inside.
func (d door) alone(c int) bool { return d.goesWith(c, d.gate.inside&^bit(c)) }

func (d door) goesWith(c int, others uint8) bool {
	for ; others != 0; others &= others - 1 {
		if !d.modes[bits.TrailingZeros8(others)].compatible(d.modes[c]) {
			return false
		}
	}
	return true
}

// Queues are arrays whose zeros are all at the end.

func push(queue []uint8, x uint8) {
	for i, q := range queue {
		if q == 0 {
			queue[i] = x
			return
		}
	}
	panic("model: a queue is full")
}

func remove(queue []uint8, x uint8) {
	n := 0
	for _, q := range queue {
		if q != x {
			queue[n] = q
			n++
		}
	}
	clear(queue[n:])
}

func last(queue []uint8) (x uint8) {
	for _, q := range queue {
		if q != 0 {
			x = q
		}
	}
	return x
}

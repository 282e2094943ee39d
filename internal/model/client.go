package model

// act adds what the unit may do next.
func (w *world) act(from *state, u int) {
	s := *from
	x := &s.units[u]
	switch x.phase {
	case idle:
		x.phase, x.at = lining, 0
		w.arrive(&s, u)
		w.emit(from, &s, "comes to its first gate: unit", u)
	case lining:
		w.passGate(from, u)
	case pooling:
		w.connect(from, u)
	case nesting:
		if w.inUse(&s, w.Units[u].Process) < w.Pool {
			x.phase = inner
			w.emit(from, &s, "begins another unit: unit", u)
		}
	case inner:
		w.send(&s, u, commit, committing)
		w.emit(from, &s, "ends the other unit and sends COMMIT: unit", u)
	case beginning, reading, writing, committing, undoing:
		w.hear(from, u)
	case parting:
		s.sessions[x.session-1].user = 0
		s.sessions[x.session-1].forgetRun()
		w.leaveSession(&s, u)
		w.emit(from, &s, "gives its connection back: unit", u)
	case leaving:
		w.leaveGate(from, u)
	case asking:
		w.resolve(from, u)
	}
}

// forgetRun drops what nobody needs any more of a session that idles.
func (c *session) forgetRun() {
	if c.request == nothing && c.tx == noTransaction && c.reply == none && !c.cancel {
		c.runs, c.answer, c.next = 0, [maxNames]uint8{}, 0
	}
}

func (w *world) leaveSession(s *state, u int) {
	x := &s.units[u]
	x.session = 0
	x.phase = leaving
}

// door opens the gate of the unit's lock number at.
func (w *world) door(s *state, u, at int) door {
	process := w.Units[u].Process
	name := w.Units[u].Locks[at].Name
	// As roomOnDeck of package uow has it.
	room := w.Pool - 1 - max(w.inUse(s, process), 1)
	return s.gates[process].door(name, &w.modes[process][name], room, w.Broken)
}

func (w *world) arrive(s *state, u int) {
	w.door(s, u, int(s.units[u].at)).arrive(u)
}

// passGate goes through a gate that has let the unit in.
func (w *world) passGate(from *state, u int) {
	s := *from
	x := &s.units[u]
	if !w.door(&s, u, int(x.at)).gate.isInside(u) {
		return
	}
	x.at++
	if int(x.at) == len(w.Units[u].Locks) {
		x.phase = pooling
	} else {
		w.arrive(&s, u)
	}
	w.emit(from, &s, "is let in by a gate: unit", u)
}

// connect takes a connection, idle or new, and sends BEGIN with the locks. A
// dead one is replaced.
func (w *world) connect(from *state, u int) {
	process := w.Units[u].Process
	if w.inUse(from, process) >= w.Pool {
		return
	}
	s := *from
	x := &s.units[u]
	i, pooled := s.idleIn(process)
	if !pooled {
		var room bool
		if i, room = s.vacancy(); !room {
			return // the server has as many sessions as it takes
		}
		s.sessions[i] = session{used: true, process: uint8(process)}
	}
	c := &s.sessions[i]
	switch {
	case c.cut:
		c.gone = true
		s.sweep(i)
		w.emit(from, &s, "discards a dead connection: unit", u)
		return
	case c.request != nothing:
		return
	}
	c.user, x.session = uint8(u)+1, uint8(i)+1
	w.send(&s, u, begin, beginning)
	w.emit(from, &s, "takes a connection and sends BEGIN with its locks: unit", u)
}

// send sends a request and goes on to the phase that waits for the answer.
func (w *world) send(s *state, u int, r request, next phase) {
	x := &s.units[u]
	c := &s.sessions[x.session-1]
	x.phase = next
	if c.cut || c.dead {
		return // the answer will be an error
	}
	c.request, c.runs = r, uint8(u)+1
}

// hear reads the answer to the unit's request, if one has come, and sends the
// next.
func (w *world) hear(from *state, u int) {
	s := *from
	x := &s.units[u]
	c := &s.sessions[x.session-1]
	if c.cut {
		w.lose(&s, u)
		w.emit(from, &s, "hears that its connection is lost: unit", u)
		return
	}
	if c.reply == none {
		return
	}
	answer := c.reply
	c.reply = none
	if answer == failed && w.Broken != WritesAfterAbort {
		w.hearFailure(&s, u)
		w.emit(from, &s, "hears of a failure: unit", u)
		return
	}
	w.hearSuccess(&s, u)
	w.emit(from, &s, "hears of success: unit", u)
}

func (w *world) hearSuccess(s *state, u int) {
	x := &s.units[u]
	if x.cancelled && x.phase < committing {
		if w.Broken == KeepsConnection {
			x.phase, x.session, x.outcome = leaving, 0, rolledBack
			return
		}
		// The cancel may strike a later statement: the connection is not used again.
		w.discard(s, u, rolledBack)
		return
	}
	switch x.phase {
	case beginning:
		for at := range w.Units[u].Locks {
			w.door(s, u, at).granted(u)
		}
		w.send(s, u, read, reading)
	case reading:
		w.send(s, u, write, writing) // of what was read
	case writing:
		if w.Units[u].Inner {
			w.beginInner(s, u)
			return
		}
		w.send(s, u, commit, committing)
	case committing:
		x.outcome, x.phase = committed, parting
	case undoing:
		x.outcome, x.phase = rolledBack, parting
	}
}

// beginInner waits for a second connection, unless all of the pool is kept by
// units that do, and by those on deck for their locks.
func (w *world) beginInner(s *state, u int) {
	x := &s.units[u]
	x.phase = nesting
	process := w.Units[u].Process
	barred := 0
	for i := range w.Units {
		if w.Units[i].Process != process || s.units[i].phase != nesting && s.units[i].phase != inner {
			continue
		}
		barred++
		for at := range w.Units[i].Locks {
			if w.door(s, i, at).gate.deck != 0 {
				barred++
			}
		}
	}
	if barred >= w.Pool {
		w.send(s, u, rollback, undoing)
	}
}

// hearFailure is told by the server: what failed is rolled back.
func (w *world) hearFailure(s *state, u int) {
	x := &s.units[u]
	switch x.phase {
	case committing, undoing:
		x.outcome, x.phase = rolledBack, parting
	default:
		w.send(s, u, rollback, undoing)
	}
}

// lose is the loss of the connection, wherever the unit is.
func (w *world) lose(s *state, u int) {
	x := &s.units[u]
	x.again = w.Units[u].Retry && x.attempt == 0 && !x.cancelled && x.phase < committing
	switch {
	case x.phase == committing && w.Broken == RetriesInDoubt && x.attempt == 0:
		x.again = true
		w.discard(s, u, rolledBack)
	case x.phase == committing:
		w.discard(s, u, inDoubt)
	default:
		w.discard(s, u, rolledBack)
	}
}

// discard ends the unit's connection on this side.
func (w *world) discard(s *state, u int, told outcome) {
	x := &s.units[u]
	i := int(x.session) - 1
	c := &s.sessions[i]
	if told == inDoubt && w.Broken == ReusesInDoubt {
		c.user = 0
	} else {
		c.gone, c.user, c.reply = true, 0, none
		s.sweep(i)
	}
	x.outcome = told
	w.leaveSession(s, u)
}

// leaveGate leaves the last gate that the unit is in, or ends it.
func (w *world) leaveGate(from *state, u int) {
	s := *from
	x := &s.units[u]
	if x.at > 0 {
		x.at--
		w.door(&s, u, int(x.at)).leave(u)
		w.emit(from, &s, "leaves a gate: unit", u)
		return
	}
	switch {
	case x.again:
		*x = unit{attempt: x.attempt + 1, commits: x.commits}
	case x.outcome == inDoubt:
		x.phase = asking
	default:
		w.end(x)
	}
	w.emit(from, &s, "has left every gate: unit", u)
}

// end keeps of a unit what is still looked at.
func (w *world) end(x *unit) {
	*x = unit{phase: done, outcome: x.outcome, commits: x.commits}
}

// resolve asks the server what became of the unit's transaction. One that it
// still has open is ended first; one that is committing is waited for.
func (w *world) resolve(from *state, u int) {
	s := *from
	x := &s.units[u]
	for i := range s.sessions {
		c := &s.sessions[i]
		if !c.used || c.dead || c.tx == noTransaction || c.wrote&bit(u) == 0 && c.runs != uint8(u)+1 {
			continue
		}
		if c.request == release {
			return
		}
		if w.Broken != ResolvesOpen {
			w.endSession(&s, i)
		}
	}
	x.outcome = rolledBack
	if x.commits > 0 {
		x.outcome = committed
	}
	w.end(x)
	w.emit(from, &s, "asks what became of it: unit", u)
}

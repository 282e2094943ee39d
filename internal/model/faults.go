package model

// fail adds the faults that may happen now.
func (w *world) fail(from *state) {
	if int(from.faults) >= w.Faults {
		return
	}
	for i := range from.sessions {
		if c := &from.sessions[i]; c.used && !c.dead {
			w.failSession(from, i)
		}
	}
	for u := range w.Units {
		w.failUnit(from, u)
	}
	for p := range w.processes {
		w.crash(from, p)
	}
	s := *from
	for i := range s.sessions {
		if s.sessions[i].used && !s.sessions[i].dead {
			w.endSession(&s, i)
		}
	}
	w.fault(from, &s, "FAULT: the server crashes and starts again", -1)
}

func (w *world) failSession(from *state, i int) {
	c := &from.sessions[i]
	u := int(c.runs) - 1
	if !c.cut && !c.gone {
		s := *from
		s.sessions[i].cut, s.sessions[i].reply = true, none
		w.fault(from, &s, "FAULT: the network cuts the connection of unit", u)
	}
	s := *from
	w.endSession(&s, i)
	w.fault(from, &s, "FAULT: an administrator ends the session of unit", u)
	switch c.request {
	case begin, read, write:
		s := *from
		w.refuse(&s, i)
		w.fault(from, &s, "FAULT: the server refuses a statement of unit", u)
	}
}

// failUnit ends the ctx of a unit, or the wait for the answer to its COMMIT.
func (w *world) failUnit(from *state, u int) {
	x := &from.units[u]
	if x.phase == committing {
		s := *from
		w.lose(&s, u)
		w.fault(from, &s, "FAULT: the answer to COMMIT does not come in time for unit", u)
	}
	if x.cancelled || x.phase == idle || x.phase > committing || x.phase == committing && w.Broken != CancelIsRollback {
		return
	}
	s := *from
	w.cancel(&s, u)
	w.fault(from, &s, "FAULT: ctx ends of unit", u)
}

func (w *world) cancel(s *state, u int) {
	x := &s.units[u]
	x.cancelled = true
	switch x.phase {
	case lining:
		w.door(s, u, int(x.at)).giveUp(u)
		x.phase, x.outcome = leaving, rolledBack
	case pooling:
		x.phase, x.outcome = leaving, rolledBack
		if w.Broken == KeepsPass {
			w.end(x)
		}
	case nesting:
		w.send(s, u, rollback, undoing)
	case inner:
		// The unit inside ends first.
	case committing:
		w.discard(s, u, rolledBack)
	default:
		s.sessions[x.session-1].cancel = true
	}
}

// crash kills a process: its gates and pool are no more, and the server will
// notice by and by.
func (w *world) crash(from *state, p int) {
	if from.crashed&bit(p) != 0 {
		return
	}
	s := *from
	s.crashed |= bit(p)
	s.gates[p] = table{}
	for u := range w.Units {
		if x := &s.units[u]; w.Units[u].Process == p && x.phase != done {
			*x = unit{phase: killed, commits: x.commits}
		}
	}
	for i := range s.sessions {
		if c := &s.sessions[i]; c.used && int(c.process) == p {
			c.gone, c.user, c.reply = true, 0, none
			s.sweep(i)
		}
	}
	w.fault(from, &s, "FAULT: a process is killed: process", p)
}

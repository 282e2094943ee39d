package model

import "math/bits"

// serve adds what the server may do next: for each session, go on with its
// request, meet a cancel, or notice that its client has gone.
func (w *world) serve(s *state) {
	for i := range s.sessions {
		c := &s.sessions[i]
		if !c.used || c.dead {
			continue
		}
		if c.request != nothing && !c.waiting {
			w.process(s, i)
		}
		if c.cancel {
			w.meetCancel(s, i)
		}
		if c.gone || c.cut {
			w.notice(s, i)
		}
	}
}

// process does the next part of a session's request.
func (w *world) process(from *state, i int) {
	s := *from
	c := &s.sessions[i]
	u := int(c.runs) - 1
	switch c.request {
	case begin:
		if c.tx == noTransaction {
			c.tx, c.next, c.wrote = open, 0, 0
			if w.Broken == SnapshotBeforeLock {
				c.answer = s.values
			}
		}
		w.takeNext(&s, i)
		w.emit(from, &s, "server: begins, or goes on to the next lock of, unit", u)
		return
	case read:
		w.executeRead(&s, i)
	case write:
		w.executeWrite(&s, i)
	case commit:
		w.executeCommit(&s, i)
		w.emit(from, &s, "server: commits unit", u)
		return
	case release:
		w.finishCommit(&s, i)
		w.emit(from, &s, "server: frees the locks of, and answers, unit", u)
		return
	case rollback:
		w.endTransaction(&s, i)
		s.respond(i, fine)
		w.emit(from, &s, "server: rolls back unit", u)
		return
	}
	w.emit(from, &s, "server: runs a statement of unit", u)
}

// respond answers the session's request.
func (s *state) respond(i int, r reply) {
	c := &s.sessions[i]
	c.request = nothing
	if !c.cut && !c.gone {
		c.reply = r
	}
}

// takeNext asks for the next lock of a BEGIN.
func (w *world) takeNext(s *state, i int) {
	c := &s.sessions[i]
	u := int(c.runs) - 1
	if w.Broken == SkipsLock {
		s.respond(i, fine)
		return
	}
	asked := w.Units[u].Locks[c.next]
	l := &s.locks[asked.Name]
	if l.queue[0] == 0 && w.grantable(l, asked.Mode, i) {
		w.grant(s, i, asked)
		return
	}
	c.waiting = true
	push(l.queue[:], uint8(i)+1)
}

// grant gives the session a lock, and answers after the last.
func (w *world) grant(s *state, i int, l Lock) {
	c := &s.sessions[i]
	*s.locks[l.Name].held(l.Mode) |= bit(i)
	c.waiting = false
	c.next++
	if int(c.next) == len(w.Units[c.runs-1].Locks) {
		s.respond(i, fine)
	}
}

func (w *world) grantable(l *lock, m Mode, i int) bool {
	if w.Broken == GrantsTwice {
		return true
	}
	others := ^bit(i)
	for held := Shared; held <= Exclusive; held++ {
		if !held.compatible(m) && *l.held(held)&others != 0 {
			return false
		}
	}
	return true
}

// free gives the session's locks back, takes it out of every queue, and grants
// what can be granted, in order of arrival.
func (w *world) free(s *state, i int) {
	s.sessions[i].waiting = false
	for n := range s.locks {
		l := &s.locks[n]
		l.shared &^= bit(i)
		l.update &^= bit(i)
		l.exclusive &^= bit(i)
		remove(l.queue[:], uint8(i)+1)
		for l.queue[0] != 0 {
			head := int(l.queue[0]) - 1
			c := &s.sessions[head]
			asked := w.Units[c.runs-1].Locks[c.next]
			if !w.grantable(l, asked.Mode, head) {
				break
			}
			remove(l.queue[:], uint8(head)+1)
			w.grant(s, head, asked)
		}
	}
}

// endTransaction undoes what a session has not committed and frees its locks.
func (w *world) endTransaction(s *state, i int) {
	c := &s.sessions[i]
	c.tx, c.wrote, c.next = noTransaction, 0, 0
	c.pending, c.stray = [maxNames]uint8{}, false
	w.free(s, i)
}

// current is what the session sees of a name.
func (s *state) current(i, name int) uint8 {
	c := &s.sessions[i]
	if c.wrote != 0 && c.tx == open && c.pending[name] != 0 {
		return c.pending[name]
	}
	return s.values[name]
}

func (w *world) executeRead(s *state, i int) {
	c := &s.sessions[i]
	if c.tx == aborted {
		s.respond(i, failed)
		return
	}
	for n := range s.values {
		if w.Broken != SnapshotBeforeLock {
			c.answer[n] = s.current(i, n)
		}
	}
	s.respond(i, fine)
}

// executeWrite writes the numbers that the unit has read, one greater; a unit
// that only shares a lock reads again instead.
func (w *world) executeWrite(s *state, i int) {
	c := &s.sessions[i]
	u := int(c.runs) - 1
	if c.tx == aborted {
		s.respond(i, failed)
		return
	}
	for _, l := range w.Units[u].Locks {
		if l.Mode != Exclusive {
			if c.tx == open && w.Broken != SkipsLock && s.values[l.Name] != c.answer[l.Name] {
				w.violated("unit %d reads two numbers under one shared lock", u)
			}
			continue
		}
		c.stray = c.stray || s.locks[l.Name].exclusive&bit(i) == 0
		c.pending[l.Name] = c.answer[l.Name] + 1
	}
	if c.tx == noTransaction { // the statement commits by itself
		w.apply(s, i, bit(u))
		c.pending, c.stray = [maxNames]uint8{}, false
	} else {
		c.wrote |= bit(u)
	}
	c.answer = [maxNames]uint8{}
	s.respond(i, fine)
}

// executeCommit makes the work of a transaction seen; its locks are freed after
// that.
func (w *world) executeCommit(s *state, i int) {
	c := &s.sessions[i]
	switch {
	case c.tx != open:
		w.endTransaction(s, i)
		s.respond(i, failed)
		return
	case w.Broken == FreesBeforeCommit:
		w.free(s, i)
	case w.Broken == AcknowledgesEarly:
		s.respond(i, fine)
	default:
		w.apply(s, i, c.wrote)
	}
	c.request = release
}

func (w *world) finishCommit(s *state, i int) {
	c := &s.sessions[i]
	early := w.Broken == FreesBeforeCommit || w.Broken == AcknowledgesEarly
	if early {
		w.apply(s, i, c.wrote)
	}
	w.endTransaction(s, i)
	if w.Broken == AcknowledgesEarly {
		c.request = nothing
		return
	}
	s.respond(i, fine)
}

// apply makes what a session has written the committed numbers.
func (w *world) apply(s *state, i int, units uint8) {
	c := &s.sessions[i]
	for ; units != 0; units &= units - 1 {
		u := bits.TrailingZeros8(units)
		s.units[u].commits++
		for _, l := range w.Units[u].Locks {
			if l.Mode != Exclusive {
				continue
			}
			if c.stray || s.locks[l.Name].exclusive&bit(i) == 0 {
				w.violated("unit %d has written outside its lock, and is committed", u)
			}
			s.values[l.Name] = c.pending[l.Name]
		}
	}
}

// meetCancel ends what the session is at, if anything.
func (w *world) meetCancel(from *state, i int) {
	s := *from
	c := &s.sessions[i]
	c.cancel = false
	switch c.request {
	case begin, read, write:
		w.refuse(&s, i)
	}
	w.emit(from, &s, "server: meets the cancel of unit", int(c.runs)-1)
}

// refuse fails the session's statement: the transaction is aborted, and its
// locks are free at once.
func (w *world) refuse(s *state, i int) {
	c := &s.sessions[i]
	w.endTransaction(s, i)
	c.tx = aborted
	if w.Broken == WritesAfterAbort {
		c.tx = noTransaction // as on servers that end it
	}
	s.respond(i, failed)
}

// notice ends a session whose client has gone.
func (w *world) notice(from *state, i int) {
	s := *from
	c := &s.sessions[i]
	u := int(c.runs) - 1
	if w.Broken == LocksElsewhere && s.holdsAny(i) {
		w.free(&s, i) // the lock's session is noticed first
		w.emit(from, &s, "server: notices the loss of the other session, of unit", u)
		return
	}
	if c.request == release {
		return // it is committing, and does not look
	}
	w.endSession(&s, i)
	w.emit(from, &s, "server: notices the loss of the session of unit", u)
}

func (s *state) holdsAny(i int) bool {
	for n := range s.locks {
		if (s.locks[n].shared|s.locks[n].update|s.locks[n].exclusive)&bit(i) != 0 {
			return true
		}
	}
	return false
}

// endSession ends a session and its transaction.
func (w *world) endSession(s *state, i int) {
	c := &s.sessions[i]
	w.endTransaction(s, i)
	c.dead, c.cut, c.cancel = true, true, false
	c.request, c.reply, c.runs = nothing, none, 0
	s.sweep(i)
}

package locks

import "slices"

// breakCycles chooses victims until q's wait closes no cycle. A cycle can only
// arise when a request begins to wait, so looking then finds them all.
func (m *Manager) breakCycles(q *request) {
	for q.want != None {
		cycle := m.cycle(q)
		if cycle == nil {
			return
		}
		m.refuse(victim(cycle))
	}
}

// victim is the cheapest of a cycle, the latest to wait among equals.
func victim(cycle []*request) *request {
	return slices.MinFunc(cycle, func(a, b *request) int {
		if p := a.owner.Priority.Load() - b.owner.Priority.Load(); p != 0 {
			return int(p)
		}
		return int(a.owner.Cost.Load() - b.owner.Cost.Load())
	})
}

func (m *Manager) refuse(q *request) {
	q.lock.waiting = slices.DeleteFunc(q.lock.waiting, func(w *request) bool { return w == q })
	q.want = None
	q.answer <- ErrDeadlock
	m.settle(q.lock)
}

// cycle returns the waiting requests of a cycle through q, beginning with q.
func (m *Manager) cycle(q *request) []*request {
	waits := map[int]*request{}
	for _, l := range m.locks {
		for _, w := range l.waiting {
			waits[w.owner.Session] = w
		}
	}
	seen := map[int]bool{}
	var walk func(w *request) []*request
	walk = func(w *request) []*request {
		for _, session := range w.blockers() {
			if session == q.owner.Session {
				return []*request{w}
			}
			next := waits[session]
			if next == nil || seen[session] {
				continue
			}
			seen[session] = true
			if rest := walk(next); rest != nil {
				return append([]*request{w}, rest...)
			}
		}
		return nil
	}
	return walk(q)
}

// blockers returns the sessions that q waits for.
func (q *request) blockers() []int {
	var sessions []int
	for _, g := range q.lock.granted {
		if conflict(g.mode, q, g) {
			sessions = append(sessions, g.owner.Session)
		}
	}
	if q.mode != None {
		return sessions
	}
	for _, w := range q.lock.waiting {
		if w == q {
			break
		}
		if conflict(w.want, q, w) {
			sessions = append(sessions, w.owner.Session)
		}
	}
	return sessions
}

package engine

import (
	"time"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/locks"
)

// transaction is an open transaction, or one around a single statement.
type transaction struct {
	id         uint64
	descriptor uint64
	name       string
	began      time.Time
	owner      *locks.Owner
	isolation  Isolation // at its beginning
	doomed     bool

	// Guarded by Server.data.
	undo     []func() // run last to first
	written  []written
	snapshot uint64 // stamp of the snapshot, 0 before the first read

	saves []savepoint
}

type written struct {
	table   *table
	row     *row
	version *version
}

// savepoint is a place to return to.
type savepoint struct {
	name  string
	point point
	locks int
}

// point is a place in a transaction's undo log.
type point struct{ undo, written int }

func (t *transaction) here() point { return point{len(t.undo), len(t.written)} }

// Isolation is a transaction isolation level, numbered as in a request of the
// transaction manager.
type Isolation uint8

// The isolation levels.
const (
	ReadUncommitted Isolation = iota + 1
	ReadCommitted
	RepeatableRead
	Serializable
	Snapshot
)

var isolationNames = map[string]Isolation{
	"READ UNCOMMITTED": ReadUncommitted, "READ COMMITTED": ReadCommitted, "REPEATABLE READ": RepeatableRead,
	"SERIALIZABLE": Serializable, "SNAPSHOT": Snapshot,
}

func (s *Server) newTransaction(session int, level Isolation, name string) *transaction {
	id := s.ids.Add(1)
	return &transaction{
		id: id, descriptor: id<<8 | 0x33, name: name, began: s.now(),
		owner: locks.NewOwner(id, session, false), isolation: level,
	}
}

// undoTo undoes what was done since p, and keeps the locks.
func (s *Server) undoTo(t *transaction, p point) {
	s.data.Lock()
	defer s.data.Unlock()
	for n := len(t.undo); n > p.undo; n-- {
		t.undo[n-1]()
	}
	t.undo, t.written = t.undo[:p.undo], t.written[:p.written]
}

// finish ends a transaction: it keeps or undoes its work and frees its locks.
func (s *Server) finish(t *transaction, commit bool) {
	if !commit {
		s.undoTo(t, point{})
	}
	s.data.Lock()
	if commit && len(t.written) > 0 {
		s.stamp++
		for _, w := range t.written {
			w.version.stamp = s.stamp
		}
	}
	delete(s.snapshots, t)
	oldest := s.oldestSnapshot()
	for _, w := range t.written {
		w.prune(oldest)
	}
	s.data.Unlock()
	s.locks.ReleaseAll(t.owner)
}

// prune forgets versions that no snapshot can see.
func (w written) prune(oldest uint64) {
	for v := w.row.latest; v != nil; v = v.prev {
		if v.stamp != 0 && v.stamp <= oldest {
			v.prev = nil
		}
	}
	if v := w.row.latest; v != nil && v.values == nil && v.stamp != 0 && v.stamp <= oldest {
		w.row.latest = nil
		w.table.forget(w.row)
	}
}

func (s *Server) oldestSnapshot() uint64 {
	oldest := s.stamp
	for t := range s.snapshots {
		oldest = min(oldest, t.snapshot)
	}
	return oldest
}

// takeSnapshot fixes what t sees, at its first read.
func (s *Server) takeSnapshot(t *transaction) uint64 {
	s.data.Lock()
	defer s.data.Unlock()
	if _, taken := s.snapshots[t]; !taken {
		t.snapshot = s.stamp
		s.snapshots[t] = struct{}{}
	}
	return t.snapshot
}

// forgetSnapshot lets versions go that only t could see.
func (s *Server) forgetSnapshot(t *transaction) {
	s.data.Lock()
	defer s.data.Unlock()
	delete(s.snapshots, t)
}

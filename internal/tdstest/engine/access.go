package engine

import (
	"errors"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/locks"
)

// access is how a statement reads a table.
type access struct {
	row   locks.Mode // taken on every row that is looked at, None for no locks
	table locks.Mode
	hold  bool // to the end of the transaction
	rng   bool // and also keep new rows out
	past  bool // READPAST
	now   bool // NOWAIT
	// versions reads what was committed by stamp instead of waiting.
	versions bool
	stamp    uint64
}

// hinted is what the table hints ask for.
type hinted struct {
	level                    Isolation
	row, table               locks.Mode
	past, now, locking, keep bool
}

func readHints(hints []string) hinted {
	var h hinted
	for _, name := range hints {
		switch name {
		case "NOLOCK", "READUNCOMMITTED":
			h.level = ReadUncommitted
		case "READCOMMITTED":
			h.level = ReadCommitted
		case "READCOMMITTEDLOCK":
			h.level, h.locking = ReadCommitted, true
		case "REPEATABLEREAD":
			h.level = RepeatableRead
		case "HOLDLOCK", "SERIALIZABLE":
			h.level = Serializable
		case "UPDLOCK":
			h.row, h.keep = locks.Union(h.row, locks.U), true
		case "XLOCK":
			h.row, h.keep = locks.X, true
		case "TABLOCK":
			h.table = locks.Union(h.table, locks.S)
		case "TABLOCKX":
			h.table, h.keep = locks.X, true
		case "READPAST":
			h.past = true
		case "NOWAIT":
			h.now = true
		}
	}
	return h
}

// reading decides how to read t. target is set for the table that an UPDATE or
// DELETE changes.
func (x *exec) reading(t *table, hints []string, target bool) (access, error) {
	if t.private {
		return access{}, nil
	}
	h := readHints(hints)
	level := x.s.isolation
	if h.level != 0 && (level != Snapshot || h.level > ReadCommitted) {
		level = h.level
	}
	if h.past && level != ReadCommitted && level != RepeatableRead {
		return access{}, fault(650, "You can only specify the READPAST lock in the READ COMMITTED or REPEATABLE READ isolation levels.")
	}
	if target && level == ReadUncommitted {
		level = ReadCommitted
	}
	a := access{row: locks.Union(locks.S, h.row), past: h.past, now: h.now}
	switch {
	case x.s.isolation == Snapshot && !t.db.allowsSnapshot.Load():
		return a, fault(3952, "Snapshot isolation transaction failed accessing database '%s' because snapshot isolation is not allowed in "+
			"this database. Use ALTER DATABASE to allow snapshot isolation.", t.db.name)
	case level == Snapshot && h.row == locks.None:
		return access{versions: true, stamp: x.server.takeSnapshot(x.cur)}, nil
	case level == ReadCommitted && t.db.readsSnapshot.Load() && !h.locking && !target && h.row == locks.None && h.table == locks.None:
		return access{versions: true, stamp: x.committedNow()}, nil
	case level == ReadUncommitted && h.row == locks.None && h.table == locks.None:
		return access{}, nil
	}
	a.hold = h.keep || level >= RepeatableRead
	a.rng = level == Serializable
	if target {
		a.row = locks.Union(a.row, locks.U)
	}
	a.table = locks.IS
	if a.row != locks.S {
		a.table = locks.IX
	}
	a.table = locks.Union(a.table, h.table)
	return a, nil
}

// committedNow is what a statement under READ_COMMITTED_SNAPSHOT sees.
func (x *exec) committedNow() uint64 {
	if x.statementStamp == 0 {
		x.server.data.Lock()
		defer x.server.data.Unlock()
		x.statementStamp = x.server.stamp
		x.cur.snapshot = x.statementStamp // so that no version it needs is forgotten
		x.server.snapshots[x.cur] = struct{}{}
	}
	return x.statementStamp
}

// open takes the lock on the table itself. keyed is set when the keys that the
// statement reads are known, so that these alone need to be locked.
func (x *exec) open(t *table, a access, keyed bool) error {
	mode := a.table
	if a.rng && !keyed {
		mode = locks.Union(mode, locks.S)
	}
	switch {
	case mode == locks.None:
		return nil
	case a.hold:
		return x.lockNow(t.whole(), mode, a.now)
	}
	if err := x.lockNow(t.whole(), mode, a.now); err != nil {
		return err
	}
	x.held = append(x.held, t.whole())
	return nil
}

func (x *exec) lockNow(r locks.Resource, mode locks.Mode, now bool) error {
	if !now {
		return x.lock(r, mode)
	}
	_, err := x.server.locks.Acquire(x.ctx, x.cur.owner, r, mode, 0)
	return x.lockFailure(err)
}

// lockRow takes the lock that reading a row needs. It reports false for a row
// to pass over.
func (x *exec) lockRow(r locks.Resource, a access) (bool, error) {
	if a.row == locks.None {
		return true, nil
	}
	if !a.past {
		return true, x.lockNow(r, a.row, a.now)
	}
	_, err := x.server.locks.Acquire(x.ctx, x.cur.owner, r, a.row, 0)
	if errors.Is(err, locks.ErrTimeout) {
		return false, nil
	}
	return err == nil, x.lockFailure(err)
}

// visible returns what the statement may see of a row.
func (x *exec) visible(r *row, a access) []any {
	x.server.data.Lock()
	defer x.server.data.Unlock()
	if a.versions {
		return r.asOf(a.stamp, x.cur)
	}
	return r.current()
}

package engine

import (
	"encoding/binary"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/locks"
)

// shown are the sessions that a login may see: its own, or all with the
// permission.
func (x *exec) shown() []*Session {
	all := x.server.everySession()
	if x.server.may(x.s.user, serverState) {
		return all
	}
	var own []*Session
	for _, s := range all {
		if s == x.s {
			own = append(own, s)
		}
	}
	return own
}

func sessionRows(x *exec) [][]any {
	var rows [][]any
	for _, s := range x.shown() {
		seen := s.seen.Load()
		status := "sleeping"
		if seen.running {
			status = "running"
		}
		var info any
		if seen.contextInfo != nil {
			info = seen.contextInfo
		}
		since := fitDate(seen.since.UTC(), typeDateTime)
		rows = append(rows, []any{int64(s.id), fitDate(s.began.UTC(), typeDateTime), s.login.Host, s.login.App, nil, s.login.Library,
			s.user.name, s.user.name, status, info, since, since, true, int64(seen.isolation), milliseconds(seen.lockTimeout),
			int64(seen.db.id), int64(seen.count)})
	}
	return rows
}

func connectionRows(x *exec) [][]any {
	var rows [][]any
	for _, s := range x.server.everySession() {
		rows = append(rows, []any{int64(s.id), int64(s.id), fitDate(s.began.UTC(), typeDateTime), "TCP", "TSQL", s.login.Address, "SQL", "FALSE"})
	}
	return rows
}

func requestRows(x *exec) [][]any {
	waiting := map[int]locks.Info{}
	for _, i := range waits(x) {
		waiting[i.Owner.Session] = i
	}
	var rows [][]any
	for _, s := range x.server.everySession() {
		seen := s.seen.Load()
		if !seen.running {
			continue
		}
		status, blocker, wait, waited, resource := "running", int64(0), any(nil), int64(0), ""
		if i, ok := waiting[s.id]; ok {
			status, wait, waited = "suspended", "LCK_M_"+i.Mode.String(), x.since(s)
			resource = i.Resource.Kind.String() + ": " + describe(i.Resource)
			if len(i.Blockers) > 0 {
				blocker = int64(i.Blockers[0])
			}
		}
		var tran any
		if seen.tran != nil {
			tran = int64(seen.tran.id)
		}
		rows = append(rows, []any{int64(s.id), int64(0), fitDate(seen.since.UTC(), typeDateTime), status, seen.command, int64(seen.db.id),
			blocker, wait, waited, resource, int64(seen.count), tran, int64(seen.isolation)})
	}
	return rows
}

// eachTransaction calls f for the sessions that have one open.
func eachTransaction(x *exec, f func(s *Session, t *transaction, count int)) {
	for _, s := range x.server.everySession() {
		if seen := s.seen.Load(); seen.tran != nil {
			f(s, seen.tran, seen.count)
		}
	}
}

func sessionTransactionRows(x *exec) [][]any {
	var rows [][]any
	eachTransaction(x, func(s *Session, t *transaction, count int) {
		rows = append(rows, []any{int64(s.id), int64(t.id), binary.LittleEndian.AppendUint64(nil, t.descriptor), int64(0), true, true, false, false,
			int64(count)})
	})
	return rows
}

func activeTransactionRows(x *exec) [][]any {
	var rows [][]any
	eachTransaction(x, func(_ *Session, t *transaction, _ int) {
		name := t.name
		if name == "" {
			name = "user_transaction"
		}
		rows = append(rows, []any{int64(t.id), name, fitDate(t.began.UTC(), typeDateTime), int64(1), int64(2)})
	})
	return rows
}

func currentTransactionRows(x *exec) [][]any {
	t := x.s.tran
	if t == nil {
		t = x.cur
	}
	return [][]any{{int64(t.id), int64(0), t.isolation == Snapshot}}
}

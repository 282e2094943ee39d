package filelock

import (
	"os"
	"path/filepath"

	"github.com/lockstep-go/lockstep/dialect"
)

// table is what the records say at one moment. It is read and used under the
// directory's lock.
type table struct {
	parties []*party
}

// party is a session other than the one that asks.
type party struct {
	*record
	path    string
	checked bool
}

// readTable reads the records of all sessions but own.
func (d Dir) readTable(own string) (*table, error) {
	files, err := os.ReadDir(d.sessions())
	if err != nil {
		return nil, unavailable(err)
	}
	t := &table{}
	for _, f := range files {
		path := filepath.Join(d.sessions(), f.Name())
		if f.Name() == own {
			continue
		}
		if r := readRecord(path); r != nil {
			t.parties = append(t.parties, &party{record: r, path: path})
		}
	}
	return t, nil
}

// living returns the parties that f picks, save the dead. It looks at no others:
// a look costs more than a record.
func (t *table) living(f func(*record) bool) []*record {
	var found []*record
	kept := t.parties[:0:0]
	for _, p := range t.parties {
		if !f(p.record) {
			kept = append(kept, p)
			continue
		}
		if !p.checked && isDead(p.path) {
			continue
		}
		p.checked = true
		kept = append(kept, p)
		found = append(found, p.record)
	}
	t.parties = kept
	return found
}

// holders are those who hold a lock in a way that bars e.
func (t *table) holders(me string, e entry) []*record {
	return t.living(func(r *record) bool {
		held := r.of(e.Key).Held
		return r.ID != me && held != 0 && !held.Compatible(e.Wanted)
	})
}

// blockers are those who must give way before e can be granted: holders, and
// who has waited for longer.
func (t *table) blockers(me string, e entry) []*record {
	return t.living(func(r *record) bool {
		if r.ID == me {
			return false
		}
		other := r.of(e.Key)
		if other.Held != 0 && !other.Held.Compatible(e.Wanted) {
			return true
		}
		return other.Wanted != 0 && !other.Wanted.Compatible(e.Wanted) && ahead(r.ID, other, me, e)
	})
}

// ahead reports whether a waits before b. Who strengthens a lock waits for its
// holders alone: those in line wait for it in turn.
func ahead(aID string, a entry, bID string, b entry) bool {
	switch {
	case b.Held != 0:
		return false
	case a.Held != 0:
		return true
	case a.Asked != b.Asked:
		return a.Asked < b.Asked
	}
	return aID < bID
}

// waitsFor are the sessions that r waits for, for a lock or to write.
func (t *table) waitsFor(r *record) []*record {
	var all []*record
	for _, e := range r.Locks {
		if e.Wanted != 0 {
			all = append(all, t.blockers(r.ID, e)...)
		}
	}
	if r.Writes == wantWrite {
		all = append(all, t.living(func(o *record) bool { return o.Writes == mayWrite && o.ID != r.ID })...)
	}
	return all
}

// deadlocked reports whether me waits for itself through others. me is in the
// table while it is asked.
func (t *table) deadlocked(me *record) bool {
	t.parties = append(t.parties, &party{record: me, checked: true})
	defer func() { t.parties = t.parties[:len(t.parties)-1] }()
	seen := map[string]bool{}
	open := t.waitsFor(me)
	for len(open) > 0 {
		next := open[len(open)-1]
		open = open[:len(open)-1]
		if next.ID == me.ID {
			return true
		}
		if !seen[next.ID] {
			seen[next.ID] = true
			open = append(open, t.waitsFor(next)...)
		}
	}
	return false
}

// sessions shows records as holders of a lock.
func sessionsOf(records []*record, key string) []dialect.Session {
	var all []dialect.Session
	for _, r := range records {
		all = append(all, r.session(r.of(key).Held))
	}
	return all
}

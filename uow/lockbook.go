package uow

import (
	"maps"
	"slices"

	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/internal/gate"
)

// lockBook lists the locks that a unit holds, in the order taken, so that those
// of an undone savepoint can be forgotten.
type lockBook struct {
	entries []bookEntry
	latest  map[string]int // index of a name's strongest entry
}

type bookEntry struct {
	name   string
	mode   dialect.Mode
	pass   *gate.Pass
	weaker int // index of the entry that this one strengthens; -1 if none
}

func (b *lockBook) len() int { return len(b.entries) }

func (b *lockBook) mode(name string) (dialect.Mode, bool) {
	if i, ok := b.latest[name]; ok {
		return b.entries[i].mode, true
	}
	return 0, false
}

// names returns the names of the locks held, in no order.
func (b *lockBook) names() []string { return slices.Collect(maps.Keys(b.latest)) }

func (b *lockBook) add(name string, mode dialect.Mode, pass *gate.Pass) {
	if b.latest == nil {
		b.latest = make(map[string]int)
	}
	weaker, ok := b.latest[name]
	if !ok {
		weaker = -1
	}
	b.latest[name] = len(b.entries)
	b.entries = append(b.entries, bookEntry{name, mode, pass, weaker})
}

// truncate forgets all but the first n entries and leaves their gates.
func (b *lockBook) truncate(n int) {
	for i := len(b.entries) - 1; i >= n; i-- {
		e := b.entries[i]
		e.pass.Leave()
		if e.weaker < 0 {
			delete(b.latest, e.name)
		} else {
			b.latest[e.name] = e.weaker
		}
	}
	b.entries = b.entries[:min(n, len(b.entries))]
}

// Package gate keeps the units of one process in line for each lock name
// before they take a connection.
//
// A gate does not exclude anybody: the server's lock does. It lets in whoever
// could hold the lock together with those already inside, and one more, on
// deck, who waits in the server's queue so that handing over costs no round
// trip. All others wait here, first come first served, without a connection.
package gate

import (
	"container/list"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// ErrRefused is returned by Enter when the caller may not wait, or has waited
// as long as it may.
var ErrRefused = errors.New("gate: not admitted in time")

// Mode is how an entrant shares with others. The values are those of
// dialect.Mode.
type Mode int

// The modes, weakest first.
const (
	Shared Mode = iota + 1
	Update
	Exclusive
)

func (m Mode) compatible(n Mode) bool {
	return m != Exclusive && n != Exclusive && (m == Shared || n == Shared)
}

// Table holds the gates of one database. Its zero value is ready for use. A
// gate exists only while somebody is inside it or waits before it.
type Table struct {
	mu     sync.Mutex
	gates  map[string]*gate
	onDeck int // over all gates
}

type gate struct {
	inside []*Pass
	onDeck *Pass     // the one inside who still has to wait for another
	queue  list.List // of *waiter
}

type waiter struct {
	mode    Mode
	polls   bool
	room    func(onDeck int) bool
	granted chan *Pass    // buffered
	place   *list.Element // in the line
}

// Pass is the right to be inside a gate. It ends with Leave.
type Pass struct {
	table *Table
	name  string
	mode  Mode
	owner any // set once the server has granted the lock
	held  bool
	polls bool
}

// Request says how to enter a gate.
type Request struct {
	Name  string
	Mode  Mode
	Limit time.Duration // how long to wait; 0 does not wait; negative has no limit
	// Room reports whether one more may wait for the server, while so many are
	// on deck over all names. It must not call the Table. Nil means always.
	Room func(onDeck int) bool
	// Polls says that the caller, once inside, asks the server now and again and
	// holds nothing meanwhile.
	Polls bool
}

// Enter waits until the gate lets the caller in. It returns ErrRefused when
// r.Limit has passed and ctx's cause when ctx ends first; the caller is then
// out of the line.
func (t *Table) Enter(ctx context.Context, r Request) (*Pass, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	pass, w := t.line(r)
	if pass != nil {
		return pass, nil
	}
	if w == nil {
		return nil, ErrRefused
	}
	return t.wait(ctx, r, w)
}

// line admits the caller, or puts it in line, or returns nothing if it may not wait.
func (t *Table) line(r Request) (*Pass, *waiter) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.gate(r.Name)
	if r.Limit == 0 && g.queue.Len() == 0 && g.free(r.Mode) {
		return t.add(g, &Pass{table: t, name: r.Name, mode: r.Mode, polls: r.Polls}), nil
	}
	if r.Limit != 0 && g.queue.Len() == 0 {
		if pass := t.admit(g, &Pass{table: t, name: r.Name, mode: r.Mode, polls: r.Polls}, r.Room); pass != nil {
			return pass, nil
		}
	}
	if r.Limit == 0 {
		t.sweep(r.Name, g)
		return nil, nil
	}
	w := &waiter{mode: r.Mode, polls: r.Polls, room: r.Room, granted: make(chan *Pass, 1)}
	w.place = g.queue.PushBack(w)
	return nil, w
}

func (t *Table) wait(ctx context.Context, r Request, w *waiter) (*Pass, error) {
	var expired <-chan time.Time
	if r.Limit > 0 {
		timer := time.NewTimer(r.Limit)
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case pass := <-w.granted:
		return pass, nil
	case <-ctx.Done():
		t.giveUp(r.Name, w)
		return nil, context.Cause(ctx)
	case <-expired:
		t.giveUp(r.Name, w)
		return nil, ErrRefused
	}
}

// giveUp takes w out of line, or hands back the pass that it got meanwhile.
func (t *Table) giveUp(name string, w *waiter) {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case pass := <-w.granted:
		t.leave(pass)
		return
	default:
	}
	g := t.gates[name]
	g.queue.Remove(w.place)
	t.advance(name, g)
}

// Join puts the caller inside whatever the line: the server has granted it the
// lock already.
func (t *Table) Join(name string, mode Mode, owner any) *Pass {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.add(t.gate(name), &Pass{table: t, name: name, mode: mode, owner: owner, held: true})
}

// Holders returns the owners inside the gate that have been granted the lock
// in a mode that conflicts with mode.
func (t *Table) Holders(name string, mode Mode) []any {
	t.mu.Lock()
	defer t.mu.Unlock()
	var owners []any
	if g := t.gates[name]; g != nil {
		for _, p := range g.inside {
			if p.held && !p.mode.compatible(mode) {
				owners = append(owners, p.owner)
			}
		}
	}
	return owners
}

// Len returns how many gates exist.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.gates)
}

// Waiting returns how many wait before the named gate.
func (t *Table) Waiting(name string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if g := t.gates[name]; g != nil {
		return g.queue.Len()
	}
	return 0
}

// OnDeck reports whether somebody inside the named gate waits for another inside
// it, in the server's queue.
func (t *Table) OnDeck(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.gates[name]
	return g != nil && g.onDeck != nil && !g.onDeck.polls
}

// Granted records that the server has granted p's lock to owner.
func (p *Pass) Granted(owner any) {
	p.table.mu.Lock()
	defer p.table.mu.Unlock()
	p.owner, p.held = owner, true
	p.table.advance(p.name, p.table.gates[p.name])
}

// Leave gives the place to the next in line. It is called once.
func (p *Pass) Leave() {
	p.table.mu.Lock()
	defer p.table.mu.Unlock()
	p.table.leave(p)
}

func (t *Table) gate(name string) *gate {
	g := t.gates[name]
	if g == nil {
		if t.gates == nil {
			t.gates = make(map[string]*gate)
		}
		g = &gate{}
		t.gates[name] = g
	}
	return g
}

// admit lets the caller in if it fits beside those inside, or on deck.
func (t *Table) admit(g *gate, pass *Pass, room func(onDeck int) bool) *Pass {
	if g.free(pass.mode) {
		if waiting := g.waiting(); room == nil || waiting == 0 || (waiting == 1 || g.anyHeld()) && room(t.onDeck) {
			return t.add(g, pass)
		}
		return nil
	}
	if g.onDeck != nil || room != nil && !room(t.onDeck) {
		return nil
	}
	g.onDeck = pass
	t.onDeck++
	return t.add(g, pass)
}

func (t *Table) add(g *gate, p *Pass) *Pass {
	g.inside = append(g.inside, p)
	return p
}

func (t *Table) leave(p *Pass) {
	g := t.gates[p.name]
	i := slices.Index(g.inside, p)
	g.inside = slices.Delete(g.inside, i, i+1)
	if g.onDeck == p || g.onDeck != nil && g.alone(g.onDeck) {
		g.onDeck = nil
		t.onDeck--
	}
	t.advance(p.name, g)
}

// advance admits from the head of the line as long as it can: skipping the
// head would starve it.
func (t *Table) advance(name string, g *gate) {
	for g.queue.Len() > 0 {
		w := g.queue.Front().Value.(*waiter)
		pass := t.admit(g, &Pass{table: t, name: name, mode: w.mode, polls: w.polls}, w.room)
		if pass == nil {
			break
		}
		g.queue.Remove(w.place)
		w.granted <- pass
	}
	t.sweep(name, g)
}

func (t *Table) sweep(name string, g *gate) {
	if len(g.inside) == 0 && g.queue.Len() == 0 {
		delete(t.gates, name)
	}
}

// free reports whether mode is compatible with everybody inside.
func (g *gate) free(mode Mode) bool {
	for _, p := range g.inside {
		if !p.mode.compatible(mode) {
			return false
		}
	}
	return true
}

// waiting counts those inside whom the server has not granted the lock yet. They
// would all get it together if a unit of another process does not hold it: that
// is not known before the first of them has it, and each holds a connection.
func (g *gate) waiting() int {
	n := 0
	for _, p := range g.inside {
		if !p.held {
			n++
		}
	}
	return n
}

func (g *gate) anyHeld() bool {
	return slices.ContainsFunc(g.inside, func(p *Pass) bool { return p.held })
}

// alone reports whether p conflicts with nobody else inside.
func (g *gate) alone(p *Pass) bool {
	for _, q := range g.inside {
		if q != p && !q.mode.compatible(p.mode) {
			return false
		}
	}
	return true
}

package gate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestInvariants runs random callers step by step and looks at the table after
// each step.
func TestInvariants(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			inBubble(t, func(b *bubble) {
				w := &walk{bubble: b, rand: rand.New(rand.NewPCG(seed, 1)), lines: make(map[string][]*entrant)}
				for step := range 400 {
					what := w.step()
					w.checkTable(fmt.Sprint("step ", step, ": ", what))
				}
				w.finish()
			})
		})
	}
}

// walk is one random history.
type walk struct {
	*bubble
	rand   *rand.Rand
	crowd  atomic.Int32 // how many may be on deck
	inside []*entrant
	joined []*Pass
	lines  map[string][]*entrant // who has come and neither entered nor gone, by name
}

// step does one random thing and tells what.
func (w *walk) step() string {
	w.crowd.Store(w.rand.Int32N(4))
	switch w.rand.IntN(10) {
	case 0, 1, 2, 3:
		return w.arrive()
	case 4, 5, 6:
		if n := len(w.inside); n > 0 {
			i := w.rand.IntN(n)
			e := w.inside[i]
			w.inside = slices.Delete(w.inside, i, i+1)
			e.leaves()
			return "leave " + e.name
		}
	case 7:
		for name, line := range w.lines {
			line[w.rand.IntN(len(line))].gone(errGone)
			return "cancel " + name
		}
	case 8:
		time.Sleep(time.Duration(w.rand.IntN(20)))
		synctest.Wait()
		return "time passes"
	case 9:
		if n := len(w.joined); n > 0 && w.rand.IntN(2) == 0 {
			w.joined[n-1].Leave()
			w.joined = w.joined[:n-1]
			synctest.Wait()
			return "leave, joined"
		}
		w.joined = append(w.joined, w.Join("b", Mode(w.rand.IntN(3))+Shared, "joined"))
		return "join"
	}
	return "nothing"
}

func (w *walk) arrive() string {
	r := Request{
		Name:  []string{"a", "b", "c"}[w.rand.IntN(3)],
		Mode:  Mode(w.rand.IntN(3)) + Shared,
		Limit: []time.Duration{forever, forever, 0, 25}[w.rand.IntN(4)],
		Room:  func(onDeck int) bool { return onDeck < int(w.crowd.Load()) },
	}
	e := w.entersWith(r)
	w.lines[r.Name] = append(w.lines[r.Name], e)
	return fmt.Sprintf("%s wanted in mode %d for %v", r.Name, r.Mode, r.Limit)
}

// checkTable moves those who have come in, in the order they came, and looks for
// anything out of place.
func (w *walk) checkTable(what string) {
	w.Helper()
	for name, line := range w.lines {
		waiting := slices.DeleteFunc(slices.Clone(line), func(e *entrant) bool { return e.back() })
		for i, e := range line {
			if e.inside() && slices.Contains(waiting, line[0]) && e != line[0] {
				w.Errorf("%s: caller %d overtook the line of %s", what, i, name)
			}
			if e.inside() {
				w.inside = append(w.inside, e)
			}
		}
		if w.lines[name] = waiting; len(waiting) == 0 {
			delete(w.lines, name)
		}
		if n := w.Waiting(name); n != len(waiting) {
			w.Errorf("%s: %d in line for %s, want %d", what, n, name, len(waiting))
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	onDeck := 0
	for name, g := range w.gates {
		w.checkGate(what+": gate "+name, g)
		if g.onDeck != nil {
			onDeck++
		}
	}
	if onDeck != w.onDeck {
		w.Errorf("%s: %d on deck, counted as %d", what, onDeck, w.onDeck)
	}
}

func (w *walk) checkGate(what string, g *gate) {
	w.Helper()
	if len(g.inside) == 0 {
		w.Errorf("%s: kept with nobody inside, %d in line", what, g.queue.Len())
	}
	if g.onDeck != nil && (g.alone(g.onDeck) || !slices.Contains(g.inside, g.onDeck)) {
		w.Errorf("%s: on deck without anybody to wait for", what)
	}
	if g.queue.Len() > 0 && g.free(g.queue.Front().Value.(*waiter).mode) && g.waiting() == 0 {
		w.Errorf("%s: the first in line could be inside", what)
	}
	for i, p := range g.inside {
		for _, q := range g.inside[:i] {
			expected := p == g.onDeck || q == g.onDeck || p.owner != nil || q.owner != nil
			if !p.mode.compatible(q.mode) && !expected {
				w.Errorf("%s: modes %d and %d inside together", what, p.mode, q.mode)
			}
		}
	}
}

// finish lets everybody leave: nobody may be left waiting.
func (w *walk) finish() {
	w.Helper()
	w.crowd.Store(0)
	for _, p := range w.joined {
		p.Leave()
	}
	synctest.Wait()
	w.checkTable("finish")
	for len(w.inside) > 0 {
		e := w.inside[0]
		w.inside = w.inside[1:]
		e.leaves()
		w.checkTable("finish")
	}
	if len(w.lines) != 0 {
		w.Errorf("left waiting: %v", w.lines)
	}
}

// TestCrowd has many goroutines at once come, wait, give up and leave, with the
// gate as the only lock: beyond one on deck it must exclude.
func TestCrowd(t *testing.T) {
	t.Parallel()
	table := new(Table)
	var server [4]sync.RWMutex // what the lock of each name would be
	var numbers [4]int
	var crowd sync.WaitGroup
	for i := range 32 {
		crowd.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 2))
			for range 300 {
				name := random.IntN(len(server))
				visit(t, table, random, name, &server[name], &numbers[name])
			}
		})
	}
	crowd.Wait()
	wantEmpty(t, table)
}

// visit enters, takes the lock that the server would grant, and leaves.
func visit(t *testing.T, table *Table, random *rand.Rand, name int, lock *sync.RWMutex, number *int) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if random.IntN(4) == 0 {
		go cancel()
	}
	r := Request{Name: fmt.Sprint(name), Mode: Mode(random.IntN(3)) + Shared, Limit: forever}
	if random.IntN(4) == 0 {
		r.Limit = time.Duration(random.IntN(100_000))
	}
	pass, err := table.Enter(ctx, r)
	if err != nil {
		return
	}
	defer pass.Leave()
	if r.Mode == Shared {
		lock.RLock()
		defer lock.RUnlock()
		_ = *number
		return
	}
	lock.Lock()
	defer lock.Unlock()
	pass.Granted(number)
	*number++
}

package gate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

const forever = time.Duration(-1)

// bubble is a test of one table that must be left empty.
type bubble struct {
	*testing.T
	*Table
}

// inBubble runs f in a bubble of goroutines with a clock of its own.
func inBubble(t *testing.T, f func(*bubble)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{t, new(Table)}
		f(b)
		wantEmpty(t, b.Table)
	})
}

// entrant is a caller of Enter on a goroutine of its own.
type entrant struct {
	t        *testing.T
	name     string
	stop     context.CancelCauseFunc
	returned chan *entrant // itself, once Enter has returned
	pass     *Pass
	err      error
}

// enters starts a caller and waits until Enter has returned or waits. It works
// in a synctest bubble.
func (b *bubble) enters(name string, mode Mode, limit time.Duration) *entrant {
	return b.entersWith(Request{Name: name, Mode: mode, Limit: limit})
}

func (b *bubble) entersWith(r Request) *entrant {
	ctx, stop := context.WithCancelCause(context.Background())
	b.Cleanup(func() { stop(nil) }) // a bubble ends when its goroutines have
	e := &entrant{t: b.T, name: r.Name, stop: stop, returned: make(chan *entrant, 1)}
	go func() {
		e.pass, e.err = b.Enter(ctx, r)
		e.returned <- e
	}()
	synctest.Wait()
	return e
}

// back reports whether Enter has returned; only then may pass and err be read.
func (e *entrant) back() bool {
	select {
	case <-e.returned:
		e.returned <- e
		return true
	default:
		return false
	}
}

func (e *entrant) inside() bool { return e.back() && e.err == nil }

// leaves ends the pass and lets those it makes room for in.
func (e *entrant) leaves() {
	e.t.Helper()
	if !e.inside() {
		e.t.Fatal("one that should be inside is not")
	}
	e.pass.Leave()
	synctest.Wait()
}

// gone cancels the caller's ctx.
func (e *entrant) gone(cause error) {
	e.stop(cause)
	synctest.Wait()
}

// want reports entrants that are not where they should be: the first n inside.
func (b *bubble) want(what string, n int, all ...*entrant) {
	b.Helper()
	for i, e := range all {
		if e.inside() != (i < n) {
			b.Errorf("%s: entrant %d inside is %v", what, i, e.inside())
		}
	}
}

func wantEmpty(t *testing.T, table *Table) {
	t.Helper()
	if n, onDeck := table.Len(), crowd(table); n != 0 || onDeck != 0 {
		t.Errorf("left behind: %d gates, %d on deck", n, onDeck)
	}
}

// crowd returns how many are on deck.
func crowd(table *Table) int {
	table.mu.Lock()
	defer table.mu.Unlock()
	return table.onDeck
}

func noRoom(int) bool { return false }

func TestFirstComeFirstServed(t *testing.T) {
	inBubble(t, func(b *bubble) {
		var all []*entrant
		for range 6 {
			all = append(all, b.enters("a", Exclusive, forever))
		}
		for i := range all {
			// The one whose turn it is, and one on deck.
			b.want(fmt.Sprint("turn ", i), 2, all[i:]...)
			if n := b.Waiting("a"); n != max(0, len(all)-i-2) {
				b.Errorf("turn %d: %d wait", i, n)
			}
			all[i].leaves()
		}
	})
}

func TestReadersGoTogether(t *testing.T) {
	inBubble(t, func(b *bubble) {
		r1, r2 := b.enters("a", Shared, forever), b.enters("a", Shared, forever)
		w := b.enters("a", Exclusive, forever)
		r3, r4 := b.enters("a", Shared, forever), b.enters("a", Shared, forever)
		b.want("readers, the writer on deck, late readers", 3, r1, r2, w, r3, r4)
		r1.leaves()
		b.want("one reader left", 3, r1, r2, w, r3, r4)
		r2.leaves()
		b.want("the writer's turn, one reader on deck", 2, w, r3, r4)
		w.leaves()
		b.want("the late readers' turn", 2, r3, r4)
		r3.leaves()
		r4.leaves()
	})
}

func TestNobodyOvertakesTheLine(t *testing.T) {
	inBubble(t, func(b *bubble) {
		reader := b.enters("a", Shared, forever)
		writer := b.entersWith(Request{Name: "a", Mode: Exclusive, Limit: forever, Room: noRoom})
		late := b.enters("a", Shared, forever)
		b.want("a reader goes with those inside, but not before a writer", 1, reader, writer, late)
		atOnce := b.enters("a", Shared, 0)
		if !atOnce.back() || atOnce.err != ErrRefused {
			b.Error("a reader that may not wait was not refused")
		}
		reader.leaves()
		writer.leaves()
		late.leaves()
	})
}

// TestAdmission has every mode come beside every other without a place on deck.
func TestAdmission(t *testing.T) {
	for _, held := range []Mode{Shared, Update, Exclusive} {
		for _, wanted := range []Mode{Shared, Update, Exclusive} {
			t.Run(fmt.Sprint(held, " then ", wanted), func(t *testing.T) {
				inBubble(t, func(b *bubble) {
					together := held == Shared && wanted != Exclusive || wanted == Shared && held != Exclusive
					first := b.enters("a", held, forever)
					first.pass.Granted("the first")
					second := b.entersWith(Request{Name: "a", Mode: wanted, Limit: forever, Room: noRoom})
					atOnce := b.enters("a", wanted, 0)
					elsewhere := b.enters("b", wanted, 0)
					b.want("the first", 1, first)
					b.want("another name", 1, elsewhere)
					if second.inside() != together {
						b.Errorf("inside together: %v", second.inside())
					}
					if wantAtOnce := together && (wanted == Shared); atOnce.inside() != wantAtOnce {
						b.Errorf("a third, at once: %v", atOnce.inside())
					}
					first.leaves()
					b.want("the second after the first", 1, second)
					for _, e := range []*entrant{second, elsewhere} {
						e.leaves()
					}
					if atOnce.inside() {
						atOnce.leaves()
					}
				})
			})
		}
	}
}

func TestNoWaitNeverGoesOnDeck(t *testing.T) {
	inBubble(t, func(b *bubble) {
		holder := b.enters("a", Exclusive, 0)
		b.want("a free gate", 1, holder)
		for _, mode := range []Mode{Shared, Update, Exclusive} {
			if e := b.enters("a", mode, 0); !e.back() || e.pass != nil || e.err != ErrRefused {
				b.Errorf("mode %d beside exclusive was not refused", mode)
			}
		}
		if crowd(b.Table) != 0 {
			b.Error("somebody is on deck")
		}
		holder.leaves()
	})
}

func TestOneOnDeck(t *testing.T) {
	inBubble(t, func(b *bubble) {
		var seen []int
		room := func(onDeck int) bool { seen = append(seen, onDeck); return onDeck < 2 }
		ask := func(name string) *entrant {
			return b.entersWith(Request{Name: name, Mode: Exclusive, Limit: forever, Room: room})
		}
		var holders, decks, waiting []*entrant
		for _, name := range []string{"a", "b", "c"} {
			holders = append(holders, ask(name))
			decks = append(decks, ask(name))
			waiting = append(waiting, ask(name))
		}
		b.want("holders", 3, holders...)
		b.want("on deck, over all names", 2, decks...)
		b.want("waiting", 0, waiting...)
		if !slices.Equal(seen, []int{0, 1, 2}) {
			b.Errorf("room was asked for with %v on deck, want once for each place", seen)
		}
		holders[0].leaves() // its deck has its turn, its waiter is on deck now
		b.want("on deck after a turn", 1, waiting...)
		holders[2].leaves()
		b.want("a turn needs no room", 1, decks[2])
		for _, e := range slices.Concat(decks, waiting, holders[1:2]) {
			b.want("whose turn it is", 1, e)
			e.leaves()
		}
	})
}

// TestOnDeckUntilItsTurn has readers leave one by one before a writer on deck.
func TestOnDeckUntilItsTurn(t *testing.T) {
	inBubble(t, func(b *bubble) {
		r1, u1 := b.enters("a", Shared, forever), b.enters("a", Update, forever)
		u2 := b.enters("a", Update, forever)
		r2 := b.enters("a", Shared, forever)
		b.want("an update on deck bars no reader", 4, r1, u1, u2, r2)
		if n := crowd(b.Table); n != 1 {
			b.Errorf("%d on deck, want the second update", n)
		}
		u3 := b.enters("a", Update, forever)
		r1.leaves()
		b.want("a reader leaves", 0, u3)
		u1.leaves()
		b.want("the first update leaves", 1, u3)
		u2.leaves()
		if n := crowd(b.Table); n != 0 {
			b.Errorf("%d on deck after the last turn", n)
		}
		u3.leaves()
		r2.leaves()
	})
}

func TestOnDeckGivesUpItsPlace(t *testing.T) {
	inBubble(t, func(b *bubble) {
		holder, deck := b.enters("a", Exclusive, forever), b.enters("a", Exclusive, forever)
		next := b.enters("a", Exclusive, forever)
		deck.leaves() // its wait in the server's queue has failed
		b.want("the next on deck", 2, holder, next)
		if n := crowd(b.Table); n != 1 {
			b.Errorf("%d on deck", n)
		}
		holder.leaves()
		next.leaves()
	})
}

var errGone = errors.New("gone")

func TestCancelledWaiterIsSkipped(t *testing.T) {
	for _, who := range []int{0, 1, 2} {
		t.Run(fmt.Sprint("waiter ", who), func(t *testing.T) {
			inBubble(t, func(b *bubble) {
				holder := b.enters("a", Exclusive, forever)
				var line []*entrant
				for range 3 {
					line = append(line, b.entersWith(Request{Name: "a", Mode: Exclusive, Limit: forever, Room: noRoom}))
				}
				line[who].gone(errGone)
				if !line[who].back() || !errors.Is(line[who].err, errGone) || line[who].pass != nil {
					b.Error("the cancelled waiter was not told so")
				}
				if n := b.Waiting("a"); n != 2 {
					b.Errorf("%d wait, want 2", n)
				}
				holder.leaves()
				for i, e := range line {
					if i != who {
						b.want("a waiter after the cancelled one", 1, e)
						e.leaves()
					}
				}
			})
		})
	}
}

// TestCancelledWriterLetsReadersIn has a writer bar readers who fit beside those
// inside, and go.
func TestCancelledWriterLetsReadersIn(t *testing.T) {
	inBubble(t, func(b *bubble) {
		reader := b.enters("a", Shared, forever)
		writer := b.entersWith(Request{Name: "a", Mode: Exclusive, Limit: forever, Room: noRoom})
		late := []*entrant{b.enters("a", Shared, forever), b.enters("a", Update, time.Hour)}
		b.want("behind the writer", 0, late...)
		writer.gone(errGone)
		b.want("after the writer", 2, late...)
		for _, e := range append(late, reader) {
			e.leaves()
		}
	})
}

func TestLimit(t *testing.T) {
	inBubble(t, func(b *bubble) {
		holder := b.enters("a", Exclusive, forever)
		began := time.Now()
		short := b.entersWith(Request{Name: "a", Mode: Exclusive, Limit: time.Second, Room: noRoom})
		long := b.entersWith(Request{Name: "a", Mode: Exclusive, Limit: time.Minute, Room: noRoom})
		time.Sleep(time.Second - time.Nanosecond)
		synctest.Wait()
		if short.back() {
			b.Errorf("gave up after %v", time.Since(began))
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if !short.back() || short.err != ErrRefused || short.pass != nil || long.back() {
			b.Errorf("after the limit: %v back, the other: %v", short.back(), long.back())
		}
		holder.leaves()
		b.want("the patient one", 1, long)
		long.leaves()
	})
}

func TestCancelledBeforehand(t *testing.T) {
	t.Parallel()
	table := new(Table)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errGone)
	if pass, err := table.Enter(ctx, Request{Name: "a", Mode: Shared, Limit: forever}); pass != nil || !errors.Is(err, errGone) {
		t.Errorf("Enter: %v, %v", pass, err)
	}
	wantEmpty(t, table)
}

// TestGrantedWhileGivingUp hands a pass to a waiter that has decided to go.
func TestGrantedWhileGivingUp(t *testing.T) {
	t.Parallel()
	table := new(Table)
	holder, _ := table.line(Request{Name: "a", Mode: Exclusive, Limit: forever})
	_, going := table.line(Request{Name: "a", Mode: Exclusive, Limit: forever, Room: noRoom})
	_, next := table.line(Request{Name: "a", Mode: Exclusive, Limit: forever, Room: noRoom})
	holder.Leave()
	table.giveUp("a", going)
	select {
	case pass := <-next.granted:
		pass.Leave()
	default:
		t.Error("the pass was lost")
	}
	wantEmpty(t, table)
}

func TestJoinGoesPastTheLine(t *testing.T) {
	inBubble(t, func(b *bubble) {
		reader := b.enters("a", Shared, forever)
		writer := b.entersWith(Request{Name: "a", Mode: Exclusive, Limit: forever, Room: noRoom})
		joined := b.Join("a", Exclusive, "owner")
		reader.leaves()
		b.want("beside one that joined", 0, writer)
		joined.Leave()
		synctest.Wait()
		b.want("after it", 1, writer)
		writer.leaves()
	})
}

func TestHolders(t *testing.T) {
	t.Parallel()
	table := new(Table)
	if table.Holders("a", Exclusive) != nil || table.Waiting("a") != 0 || table.Len() != 0 {
		t.Error("asking about a gate makes one")
	}
	reader, _ := table.line(Request{Name: "a", Mode: Shared, Limit: forever})
	deck, _ := table.line(Request{Name: "a", Mode: Exclusive, Limit: forever})
	wantHolders := func(mode Mode, want ...any) {
		t.Helper()
		if got := table.Holders("a", mode); !slices.Equal(got, want) {
			t.Errorf("holders in the way of mode %d: %v, want %v", mode, got, want)
		}
	}
	wantHolders(Exclusive) // let in, but the server has granted nothing yet
	reader.Granted("reader")
	updater := table.Join("a", Update, "updater")
	wantHolders(Exclusive, "reader", "updater")
	wantHolders(Update, "updater")
	wantHolders(Shared)
	reader.Leave()
	updater.Leave()
	deck.Granted("deck")
	wantHolders(Shared, "deck")
	deck.Leave()
	wantEmpty(t, table)
}

// TestNothingIsLeftBehind has many names entered, waited for, timed out and
// cancelled.
func TestNothingIsLeftBehind(t *testing.T) {
	inBubble(t, func(b *bubble) {
		for i := range 10_000 {
			name := fmt.Sprint("name-", i)
			holder, _ := b.line(Request{Name: name, Mode: Mode(i%3) + Shared, Limit: forever})
			switch i % 5 {
			case 0:
				b.enters(name, Exclusive, 0)
			case 1:
				b.entersWith(Request{Name: name, Mode: Exclusive, Limit: 1, Room: noRoom})
				time.Sleep(time.Nanosecond)
				synctest.Wait()
			case 2:
				b.entersWith(Request{Name: name, Mode: Exclusive, Limit: forever, Room: noRoom}).gone(errGone)
			case 3:
				b.enters(name, Exclusive, forever).leaves()
			case 4:
				b.Join(name, Shared, i).Leave()
			}
			if n := b.Len(); n != 1 {
				b.Fatalf("%d gates, want the one in use", n)
			}
			holder.Leave()
		}
	})
}

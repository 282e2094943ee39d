package model

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	real "github.com/lockstep-go/lockstep/internal/gate"
)

// An operation is one thing done to the gates of a process, by the model and by
// package gate alike.
type operation struct {
	kind kind
	who  int
	room int // how many may be on deck from here; for kinds that ask
	// racer, plus one, is a waiter whose ctx ends at the same moment: it may be let
	// in or not.
	racer int
}

type kind int

const (
	arrives kind = iota
	tries
	joins
	isGranted
	leaves
	givesUp
)

func (o operation) String() string {
	return fmt.Sprint([]string{"arrives", "tries", "joins", "is granted", "leaves", "gives up"}[o.kind], " ", o.who, " room ", o.room, " racer ", o.racer)
}

// crowd are the callers of one replay: which gate each wants, and how.
type crowd struct {
	names [maxUnits]int
	modes [maxUnits]Mode
	size  int

	broken Mutant // of the model
}

// line is the model's gates and what has become of each caller.
type line struct {
	gates  table
	places [maxUnits]place
}

type place uint8

const (
	outside place = iota // has not come yet
	waits
	within
	holds // within, and granted
	gone
	refused
)

// possible are the operations that a caller may do next.
func (c *crowd) possible(l *line) (all []operation) {
	for who := range c.size {
		var kinds []kind
		switch l.places[who] {
		case outside:
			kinds = []kind{arrives, tries, joins}
		case waits:
			kinds = []kind{givesUp}
		case within:
			kinds = []kind{isGranted, leaves}
		case holds:
			kinds = []kind{leaves}
		}
		for _, k := range kinds {
			for room := range 3 {
				if (k == tries || k == joins) && room > 0 {
					continue // they do not ask
				}
				all = append(all, operation{kind: k, who: who, room: room})
				for other, p := range l.places {
					if (k == leaves || k == isGranted) && p == waits {
						all = append(all, operation{k, who, room, other + 1})
					}
				}
			}
		}
	}
	return all
}

// outcomes are the lines that may follow an operation.
func (c *crowd) outcomes(l line, o operation) []line {
	if o.racer == 0 {
		return []line{c.after(l, o)}
	}
	quits := operation{kind: givesUp, who: o.racer - 1, room: o.room}
	first := c.after(c.after(l, quits), operation{kind: o.kind, who: o.who, room: o.room})
	late := c.after(l, o)
	if late.places[o.racer-1] == waits {
		return []line{first, c.after(late, quits)}
	}
	return []line{first, late, c.after(late, quits)}
}

// after returns the line after an operation.
func (c *crowd) after(l line, o operation) line {
	var modes callers
	for i := range c.size {
		if c.names[i] == c.names[o.who] {
			modes[i] = c.modes[i]
		}
	}
	d := l.gates.door(c.names[o.who], &modes, o.room, c.broken)
	switch o.kind {
	case arrives:
		d.arrive(o.who)
		l.places[o.who] = waits
	case tries:
		l.places[o.who] = refused
		if d.try(o.who) {
			l.places[o.who] = within
		}
	case joins:
		d.join(o.who)
		l.places[o.who] = holds
	case isGranted:
		d.granted(o.who)
		l.places[o.who] = holds
	case leaves:
		d.leave(o.who)
		l.places[o.who] = gone
	case givesUp:
		d.giveUp(o.who)
		l.places[o.who] = gone
	}
	for i := range c.size {
		if l.places[i] == waits && d.gate.isInside(i) {
			l.places[i] = within
		}
	}
	return l
}

// driven is package gate, driven.
type driven struct {
	crowd *crowd
	table real.Table
	room  int
	calls [maxUnits]*call
}

// call is one caller's Enter.
type call struct {
	stop     context.CancelFunc
	returned chan struct{}
	pass     *real.Pass
	err      error
	granted  bool
	left     bool
}

func (r *driven) name(who int) string { return fmt.Sprint("name ", r.crowd.names[who]) }

func (r *driven) do(o operation) {
	r.room = o.room
	if o.racer != 0 {
		r.calls[o.racer-1].stop()
	}
	mode := real.Mode(r.crowd.modes[o.who])
	switch o.kind {
	case arrives:
		r.enter(o.who, -1)
	case tries:
		r.enter(o.who, 0)
	case joins:
		r.calls[o.who] = &call{stop: func() {}, returned: make(chan struct{}), pass: r.table.Join(r.name(o.who), mode, o.who), granted: true}
		close(r.calls[o.who].returned)
	case isGranted:
		r.calls[o.who].pass.Granted(o.who)
		r.calls[o.who].granted = true
	case leaves:
		r.calls[o.who].pass.Leave()
		r.calls[o.who].left = true
	case givesUp:
		r.calls[o.who].stop()
	}
	synctest.Wait()
}

func (r *driven) enter(who int, limit time.Duration) {
	ctx, stop := context.WithCancel(context.Background())
	c := &call{stop: stop, returned: make(chan struct{})}
	r.calls[who] = c
	go func() {
		defer close(c.returned)
		c.pass, c.err = r.table.Enter(ctx, real.Request{
			Name: r.name(who), Mode: real.Mode(r.crowd.modes[who]), Limit: limit,
			Room: func(onDeck int) bool { return onDeck < r.room },
		})
	}()
}

// place tells where a caller is by what it can see itself.
func (r *driven) place(who int) place {
	c := r.calls[who]
	if c == nil {
		return outside
	}
	select {
	case <-c.returned:
	default:
		return waits
	}
	switch {
	case errors.Is(c.err, real.ErrRefused):
		return refused
	case c.err != nil, c.left:
		return gone
	case c.granted:
		return holds
	}
	return within
}

// compare tells where package gate differs from the model.
func (r *driven) compare(l *line) string {
	for who := range r.crowd.size {
		if got := r.place(who); got != l.places[who] {
			return fmt.Sprintf("caller %d is at place %d, in the model at %d", who, got, l.places[who])
		}
	}
	gates := 0
	for n := range l.gates {
		g := &l.gates[n]
		name := fmt.Sprint("name ", n)
		waiting := len(g.queue) - len(slices.DeleteFunc(slices.Clone(g.queue[:]), func(q uint8) bool { return q != 0 }))
		if got := r.table.Waiting(name); got != waiting {
			return fmt.Sprintf("%d wait for %s, in the model %d", got, name, waiting)
		}
		if got := r.table.OnDeck(name); got != (g.deck != 0) {
			return fmt.Sprintf("on deck for %s is %t", name, got)
		}
		if *g != (gate{}) {
			gates++
		}
	}
	if got := r.table.Len(); got != gates {
		return fmt.Sprintf("%d gates, in the model %d", got, gates)
	}
	return ""
}

// replay does the operations to package gate and tells where that differs from
// the model, if it does.
func (c *crowd) replay(t *testing.T, operations []operation) (differs string) {
	synctest.Test(t, func(*testing.T) {
		r := &driven{crowd: c}
		defer r.end()
		var l line
		for i, o := range operations {
			r.do(o)
			for _, next := range c.outcomes(l, o) {
				if differs = r.compare(&next); differs == "" {
					l = next
					break
				}
			}
			if differs != "" {
				differs = fmt.Sprintf("%+v after %v: %s", *c, operations[:i+1], differs)
				return
			}
		}
	})
	return differs
}

// end lets those go who still wait.
func (r *driven) end() {
	for _, call := range r.calls {
		if call != nil {
			call.stop()
		}
	}
}

// replayAll does to package gate, from every line that the crowd can form in the
// model, everything that can be done next. Of these operations it leaves out all
// but every nth. It stops at the first difference.
func (c *crowd) replayAll(t *testing.T, nth int) (lines, operations int, differs string) {
	ways := map[line][]operation{{}: nil}
	for queue := []line{{}}; len(queue) > 0; queue = queue[1:] {
		lines++
		l := queue[0]
		for _, o := range c.possible(&l) {
			operations++
			way := append(slices.Clone(ways[l]), o)
			if operations%nth == 0 {
				if differs = c.replay(t, way); differs != "" {
					return lines, operations, differs
				}
			}
			if o.racer != 0 {
				continue
			}
			if next := c.after(l, o); ways[next] == nil {
				ways[next] = way
				queue = append(queue, next)
			}
		}
	}
	return lines, operations, ""
}

// TestGateIsAsModelled holds package gate against the model of it.
func TestGateIsAsModelled(t *testing.T) {
	t.Parallel()
	nth := 1
	if testing.Short() {
		nth = 31
	}
	for _, c := range []crowd{
		{modes: [maxUnits]Mode{Exclusive, Exclusive, Exclusive}, size: 3},
		{modes: [maxUnits]Mode{Update, Shared, Update}, size: 3},
		{modes: [maxUnits]Mode{Shared, Shared, Exclusive, Shared}, size: 4},
		{modes: [maxUnits]Mode{Exclusive, Exclusive, Exclusive, Exclusive}, names: [maxUnits]int{0, 0, 1, 1}, size: 4},
	} {
		lines, operations, differs := c.replayAll(t, nth)
		if differs != "" {
			t.Error(differs)
		}
		t.Logf("modes %v of names %v: %d lines, %d operations", c.modes[:c.size], c.names[:c.size], lines, operations)
	}
}

// TestGateDiffersFromBrokenModels shows that the comparison can fail.
func TestGateDiffersFromBrokenModels(t *testing.T) {
	t.Parallel()
	for m := WakesNobody; m <= DeckWithoutRoom; m++ {
		if m == CancelledKeeps {
			continue // package gate may be as quick as to give no pass
		}
		c := crowd{modes: [maxUnits]Mode{Exclusive, Exclusive, Exclusive, Exclusive}, size: 4, broken: m}
		if _, _, differs := c.replayAll(t, 1); differs == "" {
			t.Errorf("no difference where the model has it that %v", m)
		} else {
			t.Logf("%v: %s", m, differs)
		}
	}
}

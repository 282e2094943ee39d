package chaos

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lockstep-go/lockstep/dialect"
)

// What a breach is a breach of, as tables name it.
const (
	breachCommitted = "a committed unit is missing, incomplete or there twice"
	breachRolled    = "a unit rolled back has left something"
	breachDoubt     = "Resolve told what is not so"
	breachHalf      = "a unit without outcome is there by halves"
	breachHooks     = "hooks were told another outcome"
	breachInside    = "two units were inside a lock at once"
	breachFence     = "a fence has a number twice or left one out"
	breachSums      = "a counter or a balance is not what was committed"
	breachSeen      = "a worker saw a promise broken"
	breachSlow      = "a unit lasted far longer than all of its limits"
	breachLeft      = "a lock, session or goroutine was left"
)

// Breach is a promise that was found broken.
type Breach struct{ What, Detail string }

// checker holds the histories against the database.
type checker struct {
	w        *world
	units    map[string]*unitRecord
	ordered  []*unitRecord // by their begin
	rows     map[string][]row
	faults   []fault
	breaches []Breach
	lost     int // acknowledged units that a lossy stage has lost
	departed int
}

// row is one of the table effects.
type row struct {
	Unit    string `db:"unit"`
	Attempt int    `db:"attempt"`
	effect
}

func (c *checker) breach(what, format string, args ...any) {
	c.breaches = append(c.breaches, Breach{what, fmt.Sprintf(format, args...)})
}

// leftovers waits for what must vanish from the server, and tells what does not.
func (c *checker) leftovers(ctx context.Context, connections bool) {
	var found []string
	var err error
	for limit := time.Now().Add(20 * time.Second); time.Now().Before(limit); {
		found, err = c.w.target.leftovers(ctx, c.w.admin(), connections)
		if err == nil && len(found) == 0 {
			return
		}
		sleep(ctx, 100*time.Millisecond)
	}
	if err != nil {
		found = append(found, err.Error())
	}
	for _, what := range found {
		c.breach(breachLeft, "%s", what)
	}
}

// check reads everything and holds it together.
func (c *checker) check(ctx context.Context) error {
	c.units, c.rows = map[string]*unitRecord{}, map[string][]row{}
	c.faults = c.w.ledger.all()
	for _, s := range c.w.slots {
		for _, path := range s.histories {
			if err := readHistory(path, func(e event) { c.learn(s.number, e) }); err != nil {
				return err
			}
		}
	}
	slices.SortFunc(c.ordered, func(a, b *unitRecord) int { return int(a.began - b.began) })
	if c.departed != len(c.w.slots) {
		c.breach(breachLeft, "%d of %d workers left in order", c.departed, len(c.w.slots))
	}
	if err := c.readRows(ctx); err != nil {
		return err
	}
	for _, u := range c.ordered {
		c.checkUnit(u)
	}
	for id := range c.rows {
		if c.units[id] == nil {
			c.breach(breachHalf, "%s is in the database and in no history", id)
		}
	}
	if err := c.checkInside(ctx); err != nil {
		return err
	}
	return c.checkSums(ctx)
}

// learn takes in one event of a worker.
func (c *checker) learn(worker int, e event) {
	switch e.What {
	case breached:
		c.breach(breachSeen, "%s, run %d: %s", e.Unit, e.Attempt, e.Text)
	case departed:
		c.departed++
		if e.Text != "" {
			c.breach(breachLeft, "worker %d: %s", worker, e.Text)
		}
	case injected:
		at := time.UnixMicro(e.At)
		c.faults = append(c.faults, fault{kind: e.Kind, worker: worker, unit: e.Unit, from: at, to: at})
	case began:
		u := &unitRecord{id: e.Unit, kind: e.Kind, worker: worker, began: e.At, last: e.At, outcome: outcomeUnknown}
		if c.units[e.Unit] != nil {
			c.breach(breachHalf, "%s began twice", e.Unit)
		}
		c.units[e.Unit] = u
		c.ordered = append(c.ordered, u)
	default:
		c.units[e.Unit].learn(e)
	}
}

func (c *checker) readRows(ctx context.Context) error {
	rows, err := c.w.admin().QueryxContext(ctx, "select unit, attempt, seq, lockname, n, counted, account, delta from effects")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var r row
		if err := rows.StructScan(&r); err != nil {
			return err
		}
		c.rows[r.Unit] = append(c.rows[r.Unit], r)
	}
	return rows.Err()
}

// slowest is how long a unit may last: its own limit, those of COMMIT and
// ROLLBACK, the 5 s that a cancelled statement may take to be answered, and as
// much again for a stopped process and a busy machine.
const slowest = 20 * time.Second

// checkUnit holds one unit's outcome against its rows.
func (c *checker) checkUnit(u *unitRecord) {
	if d := time.Duration(u.end-u.began) * time.Microsecond; u.end > 0 && d > slowest && u.kind != "requires new" {
		c.breach(breachSlow, "%s lasted %v", u.describe(nil), d.Round(time.Millisecond))
	}
	rows := c.rows[u.id]
	complete := u.isComplete(rows)
	switch u.truth() {
	case dialect.Committed.String():
		switch {
		case complete:
		case u.resolution != "":
			c.breach(breachDoubt, "%s", u.describe(rows))
		case c.w.stage.lossy && len(rows) == 0:
			c.lost++
		default:
			c.breach(breachCommitted, "%s", u.describe(rows))
		}
	case dialect.RolledBack.String():
		switch {
		case len(rows) == 0:
		case u.resolution != "":
			c.breach(breachDoubt, "%s", u.describe(rows))
		default:
			c.breach(breachRolled, "%s", u.describe(rows))
		}
	default:
		if len(rows) > 0 && !complete {
			c.breach(breachHalf, "%s", u.describe(rows))
		}
	}
	c.checkHooks(u)
}

// isComplete reports whether rows are what the unit voted to write, once.
func (u *unitRecord) isComplete(rows []row) bool {
	if u.vote == nil {
		return len(rows) == 0 && u.heldFully
	}
	if len(rows) != len(u.vote.Effects) {
		return false
	}
	slices.SortFunc(rows, func(a, b row) int { return a.Seq - b.Seq })
	for i, r := range rows {
		if r.Attempt != u.vote.Attempt || r.effect != u.vote.Effects[i] {
			return false
		}
	}
	return true
}

func (u *unitRecord) describe(rows []row) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s (%s) was reported %s", u.id, u.kind, u.outcome)
	if u.resolution != "" {
		fmt.Fprintf(&text, " and resolved to %s", u.resolution)
	}
	if u.vote != nil {
		fmt.Fprintf(&text, ", voted %d rows in run %d", len(u.vote.Effects), u.vote.Attempt)
	}
	fmt.Fprintf(&text, "; the database has %d rows", len(rows))
	for _, r := range rows {
		fmt.Fprintf(&text, " [run %d %+v]", r.Attempt, r.effect)
	}
	fmt.Fprintf(&text, "; %s", strings.Join(u.texts, "; "))
	return text.String()
}

// checkHooks holds what hooks were told against what the caller was told.
func (c *checker) checkHooks(u *unitRecord) {
	want := hookSightings{Outcome: u.outcome}
	switch u.outcome {
	case outcomeUnknown:
		return
	case dialect.Committed.String():
		want.Commits = 1
	case dialect.RolledBack.String():
		if u.hooks == (hookSightings{}) {
			return // the function was not called, so there were no hooks
		}
	}
	if u.hooks != want {
		c.breach(breachHooks, "%s (%s) was reported %s, its hooks saw %+v", u.id, u.kind, u.outcome, u.hooks)
	}
}

// checkInside looks for units that were inside a lock at once.
func (c *checker) checkInside(ctx context.Context) error {
	var seals []struct {
		Unit    string `db:"unit"`
		Attempt int    `db:"attempt"`
		Tick    int64  `db:"tick"`
		Epoch   string `db:"epoch"`
	}
	if query := c.w.target.seals(); query != "" {
		if err := c.w.admin().SelectContext(ctx, &seals, query); err != nil {
			return err
		}
	}
	for _, s := range seals {
		if u := c.units[s.Unit]; u != nil {
			u.seal(s.Attempt, s.Tick, s.Epoch)
		}
	}
	var all []*interval
	for _, u := range c.ordered {
		if u.kind != "held" || u.heldFully {
			all = append(all, u.inside...)
		}
	}
	overlaps(all, func(a, b *interval) {
		c.breach(breachInside, "%s: %s (%s, run %d) %v at ticks %d to %d, and %s (%s, run %d) %v at ticks %d to %d", a.name,
			a.unit.id, a.unit.kind, a.run, a.mode, a.first, a.last, b.unit.id, b.unit.kind, b.run, b.mode, b.first, b.last)
	})
	return nil
}

// checkSums holds fences, counters and balances against the effects.
func (c *checker) checkSums(ctx context.Context) error {
	fences, counted, balances := map[string][]int64{}, map[string]int64{}, map[int]int64{}
	for _, rows := range c.rows {
		for _, r := range rows {
			if r.Lock != "" {
				fences[r.Lock] = append(fences[r.Lock], r.N)
			}
			if r.Counted {
				counted[r.Lock]++
			}
			balances[r.Account] += r.Delta
		}
	}
	for name, numbers := range fences {
		slices.Sort(numbers)
		for i, n := range numbers {
			if i > 0 && n == numbers[i-1] {
				c.breach(breachFence, "%s has number %d twice", name, n)
			}
		}
		if unlike := slices.Compact(numbers); unlike[len(unlike)-1] != int64(len(unlike)) {
			c.breach(breachFence, "%s has %d numbers and reaches %d", name, len(unlike), unlike[len(unlike)-1])
		}
	}
	for i := range names {
		var count, balance int64
		if err := c.w.admin().GetContext(ctx, &count, "select n from counters where lockname = '"+lockName(i)+"'"); err != nil {
			return err
		}
		if want := counted[lockName(i)]; count != want {
			c.breach(breachSums, "%s was counted to %d by %d committed units", lockName(i), count, want)
		}
		if err := c.w.admin().GetContext(ctx, &balance, fmt.Sprintf("select balance from accounts where id = %d", i)); err != nil {
			return err
		}
		if want := accountStart + balances[i]; balance != want {
			c.breach(breachSums, "account %d has %d, and the committed transfers make %d", i, balance, want)
		}
	}
	return nil
}

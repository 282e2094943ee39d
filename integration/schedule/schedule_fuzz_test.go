// Package schedule holds fuzz targets that run small random programs of units
// of work through a network that fails at random bytes and messages, and then
// hold what each unit was told against what the database has.
package schedule

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"go.uber.org/goleak"

	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/integration/servers/serverstest"
	"github.com/lockstep-go/lockstep/internal/faultproxy"
	"github.com/lockstep-go/lockstep/internal/pooltest"
	"github.com/lockstep-go/lockstep/uow"
)

func TestMain(m *testing.M) { os.Exit(serverstest.Main(m)) }

// patience bounds every wait for what must come, however slow the machine.
const patience = 2 * time.Minute

// A target is a server with the tables of these tests, made once for a process.
type target struct {
	open    func(address string) (*sqlx.DB, error) // through a proxy at address; directly where that is empty
	address string
	dialect dialect.Dialect
	admin   *sqlx.DB
	held    string // counts the named locks that are held or waited for
}

// runs numbers the runs of a process.
var runs atomic.Int64

// A run is one program under one schedule.
type run struct {
	*target
	t      *testing.T
	id     int64
	ctx    context.Context
	proxy  *faultproxy.Proxy
	db     *sqlx.DB
	m      *uow.Manager
	cancel context.CancelFunc // of the program's ctx
	calm   bool               // nothing is in its way, so it must commit
	limit  time.Duration
	units  []*result
	rival  []error // what the units of another pool returned
}

// result is one outermost unit, or one that RequiresNew has begun.
type result struct {
	work    work
	err     error
	outcome uow.Outcome // as AfterCompletion was told
	told    bool
}

// work is what a scope has done that must be there if it is kept.
type work struct {
	rows       []int
	increments int
}

func (w *work) add(inner work) {
	w.rows = append(w.rows, inner.rows...)
	w.increments += inner.increments
}

// The first byte of a program.
const (
	warm      = 0x01 // the pool has a connection already
	contended = 0x20 // others count under the lock
	locked    = 0x40 // it is declared
)

// swallows is the how of an operation whose error does not end its function.
const swallows = 1

var seeds = []struct{ program, schedule []byte }{
	{},
	{[]byte{warm, insert, 0, insertInto, 0, prepared, 0}, nil},
	{[]byte{warm, nested, swallows, insert, 0, failHere, 0, insert, 0}, nil},
	{[]byte{warm, joined, swallows, insert, 0, failHere, 0, insert, 0}, nil},
	{[]byte{warm, nested, 0, insert, 0, leave, 0, requiresNew, swallows, insert, 0, failHere, 0, insert, 0}, nil},
	{[]byte{warm, insert, 0, refused, swallows, insert, swallows}, nil},
	{[]byte{warm, nested, swallows, acquire, 0, count, 0, refused, swallows, leave, 0, count, 0, insert, 0}, nil},
	{[]byte{warm, insert, 0, cancelStatement, swallows, insert, swallows}, nil},
	{[]byte{warm, insert, 0, cancelUnit, 0, insert, swallows}, nil},
	{[]byte{warm | locked | contended, count, 0, insert, 0, count, 0}, nil},
	{[]byte{warm | contended, acquire, 0, count, 0, nested, 0, count, 0, leave, 0, tryAcquire, 2}, nil},
	{[]byte{locked | contended, nested, 0, count, 0, leave, 0, joined, 0, prepared, 0, leave, 0, read, 0}, nil},
	{[]byte{acquire, 2, tryAcquire, 0, acquire, 0, count, 0, nested, 0, acquire, 6, insert, 0, leave, 0, insertInto, 0}, nil},
	{[]byte{warm | locked, insert, 0, count, 0}, []byte{beforeCommit, 0, 0}},
	{[]byte{warm | locked | contended, insert, 0, count, 0}, []byte{afterCommit, 0, 0}},
	{[]byte{warm | locked, insert, 0, count, 0}, []byte{commitUnanswered, 0, 0}},
	{[]byte{warm, insert, 0, nested, 0, insert, 0, leave, 0}, []byte{cutUp, 1, 0x40}},
	{[]byte{locked, insert, 0, count, 0}, []byte{silenceDown, 2, 0}},
	{[]byte{warm | locked, insert, 0, read, 0}, []byte{beforeText, 4, 0}},
	{[]byte{warm | contended, acquire, 0, count, 0, doom, 0}, []byte{stall, 1, 0}},
}

func fuzz(f *testing.F, server *target) {
	for _, s := range seeds {
		f.Add(s.program, s.schedule)
	}
	more := 9
	switch {
	case flag.Lookup("test.fuzz").Value.String() != "":
		more = 150
	case testing.Short():
		more = 3
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range more {
		f.Add(randomBytes(random, 9+random.IntN(24)), randomBytes(random, 3*random.IntN(4)))
	}
	f.Fuzz(func(t *testing.T, program, schedule []byte) {
		before := goleak.IgnoreCurrent()
		server.try(t, program, schedule)
		if err := serverstest.FindLeaks(before); err != nil {
			t.Error(err)
		}
	})
}

func randomBytes(random *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

// try runs a program under a schedule and checks what has become of it.
func (s *target) try(t *testing.T, program, schedule []byte) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r := &run{target: s, t: t, id: runs.Add(1), ctx: ctx, calm: calm(program, schedule), limit: limit}
	if r.calm {
		r.limit = patience / 4
	}
	r.do("insert into counter (run, n) values (%d, 0)", r.id)
	var err error
	if r.proxy, err = faultproxy.Start(s.address); err != nil {
		t.Fatal(err)
	}
	defer r.proxy.Close()
	if r.db, err = s.open(r.proxy.Addr()); err != nil {
		t.Fatal(err)
	}
	defer r.db.Close()
	r.db.SetMaxOpenConns(3)
	r.m = uow.New(r.db, s.dialect, uow.CommitTimeout(r.limit), uow.RollbackTimeout(r.limit))
	r.perform(program, schedule)
	r.check()
}

func (r *run) do(format string, args ...any) {
	r.t.Helper()
	if _, err := r.admin.ExecContext(r.ctx, fmt.Sprintf(format, args...)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *run) count(format string, args ...any) (n int) {
	r.t.Helper()
	if err := r.admin.GetContext(r.ctx, &n, fmt.Sprintf(format, args...)); err != nil {
		r.t.Fatal(err)
	}
	return n
}

// untilNone waits until nothing is counted.
func (r *run) untilNone(query string) {
	r.t.Helper()
	for r.count("%s", query) != 0 {
		select {
		case <-r.ctx.Done():
			r.t.Fatalf("never none: %s", query)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// check holds what the units were told against the database.
func (r *run) check() {
	r.t.Helper()
	pooltest.WantAllBack(r.t, r.db)
	if err := r.units[0].err; r.calm && err != nil {
		r.t.Errorf("not committed, with nothing in its way: %v", err)
	}
	increments := 0
	var claimed []int
	for i, unit := range r.units {
		increments += r.checkUnit(i, unit)
		claimed = append(claimed, unit.work.rows...)
	}
	if n := r.unclaimed(claimed); n != 0 {
		r.t.Errorf("%d rows are there that were undone, or whose statement has failed", n)
	}
	r.untilNone(r.held)
	for _, err := range r.rival {
		var doubt *uow.InDoubtError
		if errors.As(err, &doubt) {
			r.t.Errorf("a unit with no fault in its way: %v", err)
		}
		if err == nil {
			increments++
		}
	}
	if n := r.count("select n from counter where run = %d", r.id); n != increments {
		r.t.Errorf("the counter is %d after %d committed increments", n, increments)
	}
}

// checkUnit returns how often the unit has counted.
func (r *run) checkUnit(i int, unit *result) (increments int) {
	r.t.Helper()
	outcome := r.reported(i)
	if unit.told && unit.outcome != outcome {
		r.t.Errorf("unit %d: AfterCompletion was told %v, and the caller %v", i, unit.outcome, unit.err)
	}
	if outcome == uow.InDoubt {
		outcome = r.resolve(i, unit)
	}
	there := 0
	for _, row := range unit.work.rows {
		n := r.count("select count(*) from item where run = %d and id = %d", r.id, row)
		if n > 1 {
			r.t.Errorf("unit %d: row %d is there %d times", i, row, n)
		}
		there += min(n, 1)
	}
	if outcome == uow.InDoubt { // nobody can tell: whole or not at all
		if len(unit.work.rows) == 0 || there != 0 && there != len(unit.work.rows) {
			r.t.Errorf("unit %d: in doubt, with %d of %d rows", i, there, len(unit.work.rows))
		}
		outcome = uow.RolledBack
		if there > 0 {
			outcome = uow.Committed
		}
	}
	want := 0
	if outcome == uow.Committed {
		want, increments = len(unit.work.rows), unit.work.increments
	}
	if there != want {
		r.t.Errorf("unit %d: %v (%v), and %d of its %d rows are there", i, outcome, unit.err, there, len(unit.work.rows))
	}
	return increments
}

// reported is what the caller was told. A doubt that a unit has passed on from
// one within it is not its own.
func (r *run) reported(i int) uow.Outcome {
	own := r.units[i].doubt()
	for _, inner := range r.units[i+1:] {
		if own != nil && inner.doubt() == own {
			own = nil
		}
	}
	switch {
	case r.units[i].err == nil:
		return uow.Committed
	case own != nil:
		return uow.InDoubt
	}
	return uow.RolledBack
}

func (u *result) doubt() (doubt *uow.InDoubtError) {
	errors.As(u.err, &doubt)
	return doubt
}

// resolve asks what became of a unit. Only of one that was not seen to write may
// nobody be able to tell.
func (r *run) resolve(i int, unit *result) uow.Outcome {
	r.t.Helper()
	outcome, err := unit.doubt().Resolve(r.ctx)
	if err != nil && (len(unit.work.rows) > 0 || !errors.Is(err, dialect.Unresolvable)) {
		r.t.Errorf("unit %d: %v: not resolved: %v", i, unit.err, err)
	}
	if err == nil && outcome == uow.InDoubt {
		r.t.Errorf("unit %d: resolved to %v without an error", i, outcome)
	}
	if err != nil && len(unit.work.rows) == 0 {
		return uow.RolledBack // it has nothing that could be there
	}
	return outcome
}

// unclaimed counts the rows that are there and that no unit has kept.
func (r *run) unclaimed(claimed []int) int {
	list := strings.Trim(strings.ReplaceAll(fmt.Sprint(claimed), " ", ","), "[]")
	if list == "" {
		list = "-1"
	}
	return r.count("select count(*) from item where run = %d and id not in (%s)", r.id, list)
}

package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/uow"
)

// orderVariable makes this program a worker.
const orderVariable = "LOCKSTEP_CHAOS_WORKER"

// order is what a worker is told when it is started.
type order struct {
	URL         string
	Name        string // of this process: worker and how often it was started
	History     string // the file to write
	Seed        uint64
	Goroutines  int
	Connections int    // the limit of the pool
	Names       int    // how many locks and accounts there are
	Kind        string // of all units; empty for a mix
	Cancel      int    // of 100 units, how many get a ctx that may end early
	Crowd       int    // how many locks a unit takes that is to exhaust the server's memory
}

// What a worker is told while it runs, a line each.
const (
	sayStarve = "starve" // hold every connection of the pool for a while
	sayCrowd  = "crowd"  // take very many locks
	sayDie    = "die"    // end by SIGKILL about when the next COMMIT is sent
	sayFinish = "finish" // begin no more units, and leave
)

// Worker runs this process as a worker and ends it, if it was started as one.
// Programs that call [Run] call it first.
func Worker() {
	text := os.Getenv(orderVariable)
	if text == "" {
		return
	}
	var o order
	err := json.Unmarshal([]byte(text), &o)
	if err == nil {
		err = work(o, os.Stdin)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos: worker:", err)
		os.Exit(exitTrouble)
	}
	os.Exit(0)
}

// worker is one process under load.
type worker struct {
	order
	target  target
	kinds   []unitKind
	db      *sqlx.DB
	m       *uow.Manager
	history *history
	stop    atomic.Bool
	units   atomic.Int64
	crowds  atomic.Int64 // how many crowding units are asked for
	dying   atomic.Bool  // the next COMMIT is the process's end
	extra   sync.WaitGroup
}

// How long the library may wait where a caller could not end it.
const (
	commitLimit   = time.Second
	rollbackLimit = time.Second
	unitLimit     = 3 * time.Second
	// driverLimit is how long pgx goes on with connections that it closes: 15 s.
	driverLimit  = 25 * time.Second
	resolveLimit = 45 * time.Second // a doubt may outlive a crash of the server
)

func work(o order, commands io.Reader) error {
	before := runtime.NumGoroutine()
	t, err := targetOf(o.URL)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(o.History, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	w := &worker{order: o, target: t, kinds: kindsOn(t, o.Kind), history: &history{file: file}}
	if w.db, err = t.open(o.URL); err != nil {
		return err
	}
	w.db.SetMaxOpenConns(o.Connections)
	w.db.SetMaxIdleConns(o.Connections)
	w.m = uow.New(w.db, t.dialect(), uow.CommitTimeout(commitLimit), uow.RollbackTimeout(rollbackLimit),
		uow.Logger(slog.New(slog.DiscardHandler)))
	finished := make(chan struct{})
	go w.obey(commands, finished)
	var lines sync.WaitGroup
	for g := range o.Goroutines {
		lines.Go(func() { w.line(g) })
	}
	lines.Wait()
	w.extra.Wait()
	<-finished
	return w.depart(before)
}

// obey does what the lines say. Their end means that whoever started this
// process is gone.
func (w *worker) obey(commands io.Reader, finished chan struct{}) {
	defer close(finished)
	for lines := bufio.NewScanner(commands); lines.Scan(); {
		switch lines.Text() {
		case sayStarve:
			w.extra.Go(w.starve)
		case sayCrowd:
			w.crowds.Add(1)
		case sayDie:
			w.dying.Store(true)
		case sayFinish:
			w.stop.Store(true)
			return
		}
	}
	os.Exit(exitTrouble)
}

// starve takes what the pool has and keeps it for a while. It is a fault only if
// it got all.
func (w *worker) starve() {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
	defer cancel()
	for range w.Connections {
		conn, err := w.db.Connx(ctx)
		if err != nil {
			return
		}
		defer conn.Close()
	}
	w.history.write(event{What: injected, Kind: faultStarve})
	sleep(ctx, 400*time.Millisecond)
}

// die ends the process within the time that a COMMIT may take.
func (w *worker) die(r *rand.Rand) {
	limit := []int{500, 5000, 30000}[r.IntN(3)]
	time.AfterFunc(time.Duration(r.IntN(limit))*time.Microsecond, func() {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	})
}

// line runs units one after the other.
func (w *worker) line(number int) {
	for n := 0; !w.stop.Load(); n++ {
		id := fmt.Sprintf("%s-%d.%d", w.Name, number, n)
		w.units.Add(1)
		newUnitRun(w, id).run()
	}
}

// newRand makes what a unit does a function of the seed and its id.
func newRand(seed uint64, id string) *rand.Rand {
	sum := fnv.New64a()
	_, _ = io.WriteString(sum, id)
	return rand.New(rand.NewPCG(seed, sum.Sum64()))
}

// depart closes the database and tells what is left in this process.
func (w *worker) depart(goroutinesBefore int) error {
	left := []string{}
	// What nobody waits for any more may still be being opened.
	if !within(driverLimit, func() bool { return w.db.Stats().InUse == 0 }) {
		left = append(left, fmt.Sprintf("%d connections of the pool in use", w.db.Stats().InUse))
	}
	if err := w.db.Close(); err != nil {
		left = append(left, fmt.Sprintf("closing the pool: %v", err))
	}
	if !within(driverLimit, func() bool { return runtime.NumGoroutine() <= goroutinesBefore }) {
		left = append(left, fmt.Sprintf("goroutines:\n%s", stacks()))
	}
	if open := w.db.Stats().OpenConnections; open > 0 {
		left = append(left, fmt.Sprintf("%d connections of the closed pool", open))
	}
	w.history.write(event{What: departed, Text: strings.Join(left, "; ")})
	return errors.Join(w.history.file.Sync(), w.history.file.Close())
}

// within asks until it is so, or limit has passed.
func within(limit time.Duration, so func() bool) bool {
	for end := time.Now().Add(limit); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

func stacks() string {
	text := make([]byte, 1<<20)
	return string(text[:runtime.Stack(text, true)])
}

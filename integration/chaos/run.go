package chaos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/integration/servers"
	"github.com/lockstep-go/lockstep/internal/faultproxy"
	"github.com/lockstep-go/lockstep/internal/tdstest"
)

// Config says what to run, and for how long.
type Config struct {
	Stage    string        // one of Stages
	Duration time.Duration // of the load, without what comes before and after; above 0
	Seed     uint64
	Workers  int       // processes, at least 1
	Out      io.Writer // where progress and tables go
	// Sparse spares the machine: fewer units at a time, and faults at a
	// quarter of the pace.
	Sparse bool
	// Kind has all units be of one kind, as the tables name it; empty means all.
	Kind string
	// Keep leaves the histories in their folder, and prints which.
	Keep bool
}

// world is one run.
type world struct {
	Config
	stage  *stage
	target target
	slots  []*workerSlot
	ledger ledger
	dir    string
	server *servers.PostgresCluster // what the nemesis may crash; nil if nothing
	// simulator stands in for SQL Server; nil on other stages.
	simulator *tdstest.Server

	mu       sync.Mutex
	db       *sqlx.DB // the checker's
	troubles []error
}

// names is how many locks and accounts there are: few enough for units to meet.
const names = 40

// accountStart is what every account has at first.
const accountStart = 1000

// Run makes a run and checks it. The error tells why it could not be made, or why
// it shows nothing; what the checker found is in the Report.
func Run(ctx context.Context, c Config) (*Report, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "lockstep-chaos-")
	if err != nil {
		return nil, err
	}
	w := &world{Config: c, dir: dir}
	defer func() {
		if c.Keep {
			fmt.Fprintf(c.Out, "histories: %s\n", dir)
			return
		}
		_ = os.RemoveAll(dir)
	}()
	if w.stage, err = setStage(ctx, w); err != nil {
		return nil, err
	}
	defer w.stage.stop()
	report, err := w.run(ctx)
	return report, errors.Join(append([]error{err}, w.troubles...)...)
}

func (w *world) run(ctx context.Context) (*Report, error) {
	defer w.close()
	if err := w.prepare(ctx); err != nil {
		return nil, err
	}
	if err := w.startWorkers(); err != nil {
		return nil, err
	}
	began := time.Now()
	load, cancel := context.WithTimeout(ctx, w.Duration)
	defer cancel()
	var turning sync.WaitGroup
	var turned time.Time
	if w.stage.turn != nil {
		turning.Go(func() {
			if sleep(load, w.Duration/2) {
				w.noteTrouble("turn", w.stage.turn(ctx, w))
				turned = time.Now()
			}
		})
	}
	if w.stage.watch != nil {
		turning.Go(func() { w.noteTrouble("watch", w.stage.watch(load, w)) })
	}
	w.unleash(load, w.pace(w.stage.nemeses))
	<-load.Done()
	turning.Wait()
	if !turned.IsZero() || w.Kind == "" { // some kinds never write
		w.awaitProgress(ctx, turned)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return w.conclude(ctx, time.Since(began))
}

// awaitProgress lets the load go on until a unit has written something, one that
// began after the turn if there was one: on a busy machine that may take longer
// than the run.
func (w *world) awaitProgress(ctx context.Context, turned time.Time) {
	patience := 2 * time.Minute
	if turned.IsZero() {
		patience = 20 * time.Second
	}
	sleep(ctx, time.Until(turned.Add(unitLimit+commitLimit)))
	before := 0
	if !turned.IsZero() {
		before = -1 // not known yet
	}
	for limit := time.Now().Add(patience); time.Now().Before(limit) && sleep(ctx, 200*time.Millisecond); {
		now, err := w.countEffects(ctx)
		if err != nil {
			continue
		}
		if before >= 0 && now > before {
			return
		}
		before = now
	}
}

// countEffects counts what was written. Where readers wait for writers, there
// may be no end to them while the load goes on.
func (w *world) countEffects(ctx context.Context) (n int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	err = w.admin().GetContext(ctx, &n, "select count(*) from effects")
	return n, err
}

// pace slows the nemeses down where the machine is to be spared.
func (w *world) pace(nemeses []nemesis) []nemesis {
	if w.Sparse {
		return slower(4, nemeses)
	}
	return nemeses
}

// conclude ends the workers, waits for what they may have left on the server,
// and checks.
func (w *world) conclude(ctx context.Context, took time.Duration) (*Report, error) {
	var finishing sync.WaitGroup
	for _, s := range w.slots {
		finishing.Go(func() {
			if err := s.finish(2 * time.Minute); err != nil {
				w.trouble("the end of a worker", err)
			}
		})
	}
	finishing.Wait()
	if err := errors.Join(w.troubles...); err != nil {
		return nil, err
	}
	c := &checker{w: w}
	w.closeProxies() // they may keep silent connections open
	c.leftovers(ctx, w.stage.pooler == nil)
	if err := c.check(ctx); err != nil {
		return nil, err
	}
	r := newReport(c, took)
	return r, r.idle
}

// prepare makes the tables and the rows that units change.
func (w *world) prepare(ctx context.Context) error {
	var err error
	if w.target, err = targetOf(w.stage.adminURL); err != nil {
		return err
	}
	if len(kindsOn(w.target, w.Kind)) == 0 {
		return fmt.Errorf("chaos: no kind of unit %q on stage %s", w.Kind, w.Stage)
	}
	if w.db, err = w.target.open(w.stage.adminURL); err != nil {
		return err
	}
	w.db.SetMaxOpenConns(4)
	statements := append(w.target.schema(), "insert into taken values (1)")
	for i := range names {
		statements = append(statements, fmt.Sprintf("insert into counters values ('%s', 0)", lockName(i)),
			fmt.Sprintf("insert into accounts values (%d, %d)", i, accountStart))
	}
	for _, statement := range append(statements, w.stage.grants...) {
		if _, err := w.db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%w: %s", err, statement)
		}
	}
	if w.stage.ready == nil {
		return nil
	}
	return w.stage.ready(ctx, w)
}

// startWorkers starts the proxies and the processes.
func (w *world) startWorkers() error {
	for i := range w.Workers {
		s := &workerSlot{number: i + 1, dir: w.dir, order: order{
			Seed: w.Seed, Kind: w.Kind, Goroutines: 5, Connections: 5, Names: names, Cancel: cmp.Or(w.stage.cancel, 18), Crowd: 3000,
		}}
		if w.Sparse {
			s.order.Goroutines, s.order.Connections = 3, 4
		}
		var addresses []string
		for _, upstream := range w.stage.upstreams {
			p, err := faultproxy.Start(upstream)
			if err != nil {
				return err
			}
			s.proxies = append(s.proxies, p)
			addresses = append(addresses, p.Addr())
		}
		w.slots = append(w.slots, s)
		s.order.URL = w.stage.workerURL(addresses)
		if err := s.start(); err != nil {
			return err
		}
	}
	return nil
}

// admin is the checker's database, which another server may have taken over.
func (w *world) admin() *sqlx.DB {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.db
}

// moveTo makes another server the one that is checked.
func (w *world) moveTo(url string) error {
	db, err := w.target.open(url)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	err = w.db.Close()
	w.db = db
	return err
}

func (w *world) noteTrouble(of string, err error) {
	if err != nil {
		w.trouble(of, err)
	}
}

// trouble notes what keeps the run from being one.
func (w *world) trouble(of string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.troubles = append(w.troubles, fmt.Errorf("%s: %w", of, err))
}

func (w *world) closeProxies() {
	for _, s := range w.slots {
		for _, p := range s.proxies {
			_ = p.Close()
		}
	}
}

func (w *world) close() {
	for _, s := range w.slots {
		s.kill()
	}
	w.closeProxies()
	if w.db != nil {
		_ = w.db.Close()
	}
}

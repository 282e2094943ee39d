package chaos

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/internal/faultproxy"
)

// nemesis does one kind of fault again and again. What it does is seeded; when
// it happens to whom is the machine's.
type nemesis struct {
	kind  string
	every time.Duration // the mean of random pauses; faults of one kind do not overlap unless lanes say so
	lanes int           // how many at a time; 0 means 1
	do    func(ctx context.Context, w *world, r *rand.Rand) (fault, error)
}

// errMissed says that a fault found nobody to meet.
var errMissed = errors.New("chaos: nothing to break")

// unleash runs the nemeses until ctx ends, and returns when none is under way.
func (w *world) unleash(ctx context.Context, nemeses []nemesis) {
	var running sync.WaitGroup
	for i, n := range nemeses {
		for lane := range max(n.lanes, 1) {
			r := rand.New(rand.NewPCG(w.Seed, uint64(i)<<8|uint64(lane)))
			running.Go(func() { w.torment(ctx, n, r) })
		}
	}
	running.Wait()
}

func (w *world) torment(ctx context.Context, n nemesis, r *rand.Rand) {
	for {
		mean := n.every * time.Duration(max(n.lanes, 1))
		if !sleep(ctx, time.Duration(r.ExpFloat64()*float64(mean))) {
			return
		}
		began := time.Now()
		f, err := n.do(ctx, w, r)
		switch {
		case err == nil:
			f.kind, f.to = n.kind, time.Now()
			if f.from.IsZero() {
				f.from = began
			}
			w.ledger.add(f)
		case !errors.Is(err, errMissed) && ctx.Err() == nil:
			w.trouble(n.kind, err)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// wireNemeses break connections at the proxies.
func wireNemeses() []nemesis {
	before, lost, silent := faultproxy.CutBefore, faultproxy.CutAfter, faultproxy.BlackholeReply
	return []nemesis{
		{kind: faultCut, every: 150 * time.Millisecond, lanes: 6, do: cutBytes(faultproxy.Abort, faultproxy.Orderly)},
		{kind: faultHalfCut, every: 800 * time.Millisecond, do: cutBytes(faultproxy.HalfClose)},
		{kind: faultSilence, every: 2 * time.Second, do: silence},
		{kind: faultCommitUnsent, every: 600 * time.Millisecond, lanes: 2, do: atMessage(isCommit, before)},
		{kind: faultCommitLost, every: 400 * time.Millisecond, lanes: 2, do: atMessage(isCommit, lost)},
		{kind: faultCommitSilent, every: 2 * time.Second, do: atMessage(isCommit, silent)},
		{kind: faultLockLost, every: 700 * time.Millisecond, do: atMessage(takesLock, lost)},
		{kind: faultStall, every: 2 * time.Second, do: stall},
		{kind: faultRefuse, every: 4 * time.Second, do: refuse},
	}
}

// processNemeses break workers.
func processNemeses() []nemesis {
	return []nemesis{
		{kind: faultKill, every: 3 * time.Second, do: killWorker},
		{kind: faultFreeze, every: 3 * time.Second, do: freezeWorker},
		{kind: faultStarve, every: 4 * time.Second, do: tell(sayStarve)},
	}
}

// sessionNemeses end sessions on the server, as far as the target can.
func sessionNemeses(t target) []nemesis {
	var all []nemesis
	o, ok := t.(observer)
	if !ok {
		return nil
	}
	all = append(all, nemesis{kind: faultTerminate, every: 160 * time.Millisecond, lanes: 3, do: onSession(o, o.terminate)})
	if i, ok := t.(interrupter); ok {
		all = append(all, nemesis{kind: faultInterrupt, every: 120 * time.Millisecond, lanes: 3, do: onSession(o, i.interrupt)})
	}
	return all
}

// slower makes the pauses of nemeses so many times as long.
func slower(times time.Duration, nemeses []nemesis) []nemesis {
	for i := range nemeses {
		nemeses[i].every *= times
	}
	return nemeses
}

func (w *world) anySlot(r *rand.Rand) *workerSlot { return w.slots[r.IntN(len(w.slots))] }

func (s *workerSlot) anyProxy(r *rand.Rand) *faultproxy.Proxy {
	return s.proxies[r.IntN(len(s.proxies))]
}

// armed is how long a cut or a rule waits for what it is for.
const armed = 2 * time.Second

// cutBytes cuts a connection after a random number of bytes.
func cutBytes(modes ...faultproxy.CutMode) func(context.Context, *world, *rand.Rand) (fault, error) {
	return func(ctx context.Context, w *world, r *rand.Rand) (fault, error) {
		slot, direction := w.anySlot(r), faultproxy.Direction(r.IntN(2))
		cut := slot.anyProxy(r).CutAfter(direction, int64(r.IntN(4000)), modes[r.IntN(len(modes))])
		return awaitFault(ctx, slot, cut.Fired(), cut.Remove)
	}
}

// silence lets a connection fall silent in one direction. A server that was cut
// off within a message waits for the rest of it under no time limit but that of
// the network, so the network ends it.
func silence(ctx context.Context, w *world, r *rand.Rand) (fault, error) {
	slot := w.anySlot(r)
	proxy := slot.anyProxy(r)
	cut := proxy.CutAfter(faultproxy.Direction(r.IntN(2)), int64(r.IntN(4000)), faultproxy.Blackhole)
	f, err := awaitFault(ctx, slot, cut.Fired(), cut.Remove)
	if err == nil && sleep(ctx, 3*time.Second) {
		proxy.CutAll()
	}
	return f, err
}

// atMessage does an action at a message of a client.
func atMessage(match faultproxy.Matcher, action faultproxy.Action) func(context.Context, *world, *rand.Rand) (fault, error) {
	return func(ctx context.Context, w *world, r *rand.Rand) (fault, error) {
		slot := w.anySlot(r)
		rule := slot.anyProxy(r).Rule(match, action)
		return awaitFault(ctx, slot, rule.Fired(), rule.Remove)
	}
}

// awaitFault waits until the fault happens, or calls it off.
func awaitFault(ctx context.Context, slot *workerSlot, fired <-chan struct{}, remove func() bool) (fault, error) {
	limit, cancel := context.WithTimeout(ctx, armed)
	defer cancel()
	select {
	case <-fired:
	case <-limit.Done():
		if remove() {
			return fault{}, errMissed
		}
	}
	return fault{worker: slot.number, from: time.Now()}, nil
}

func isCommit(m faultproxy.Message) bool {
	if m.Type == faultproxy.TDSTransaction {
		return strings.HasPrefix(m.SQL, "COMMIT")
	}
	return strings.EqualFold(strings.TrimSpace(m.SQL), "commit")
}

func takesLock(m faultproxy.Message) bool {
	return strings.Contains(m.SQL, "pg_advisory") || strings.Contains(m.SQL, "sp_getapplock")
}

// connected counts the connections through the slot's proxies.
func (s *workerSlot) connected() int {
	n := 0
	for _, p := range s.proxies {
		for _, c := range p.ConnectionStats() {
			if c.Open {
				n++
			}
		}
	}
	return n
}

// refused counts the connections that the slot's proxies have not let in.
func (s *workerSlot) refused() int {
	n := 0
	for _, p := range s.proxies {
		n += p.Refused()
	}
	return n
}

func stall(ctx context.Context, w *world, r *rand.Rand) (fault, error) {
	slot := w.anySlot(r)
	if slot.connected() == 0 {
		return fault{}, errMissed
	}
	directions := [][]faultproxy.Direction{{faultproxy.Up}, {faultproxy.Down}, {faultproxy.Up, faultproxy.Down}}[r.IntN(3)]
	for _, p := range slot.proxies {
		p.Stall(directions...)
		defer p.Resume()
	}
	sleep(ctx, time.Duration(50+r.IntN(600))*time.Millisecond)
	return fault{worker: slot.number}, nil
}

func refuse(ctx context.Context, w *world, r *rand.Rand) (fault, error) {
	slot := w.anySlot(r)
	cut, before := slot.connected(), slot.refused()
	for _, p := range slot.proxies {
		p.Refuse(true)
		defer p.Refuse(false)
		p.CutAll()
	}
	sleep(ctx, time.Duration(20+r.IntN(300))*time.Millisecond)
	if cut == 0 && slot.refused() == before {
		return fault{}, errMissed
	}
	return fault{worker: slot.number}, nil
}

func killWorker(_ context.Context, w *world, r *rand.Rand) (fault, error) {
	slot := w.anySlot(r)
	killed, err := slot.replace()
	return fault{worker: slot.number, process: killed}, err
}

func freezeWorker(ctx context.Context, w *world, r *rand.Rand) (fault, error) {
	slot := w.anySlot(r)
	d := time.Duration(20+r.IntN(400)) * time.Millisecond
	if r.IntN(5) == 0 {
		d = time.Duration(1+r.IntN(3)) * time.Second
	}
	return fault{worker: slot.number}, slot.freeze(d)
}

// tell has a worker do a fault itself. It counts what it has done.
func tell(word string) func(context.Context, *world, *rand.Rand) (fault, error) {
	return func(_ context.Context, w *world, r *rand.Rand) (fault, error) {
		w.anySlot(r).say(word)
		return fault{}, errMissed
	}
}

// onSession does something to the session of a unit.
func onSession(o observer, do func(context.Context, *sqlx.DB, session) (bool, error)) func(context.Context, *world, *rand.Rand) (fault, error) {
	return func(ctx context.Context, w *world, r *rand.Rand) (fault, error) {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		admin := w.admin()
		found, err := o.sessions(ctx, admin)
		if err != nil || len(found) == 0 {
			return fault{}, errMissed // the server may be down
		}
		chosen := found[r.IntN(len(found))]
		if done, err := do(ctx, admin, chosen); err != nil || !done {
			return fault{}, errMissed
		}
		return fault{unit: chosen.Unit}, nil
	}
}

// crash ends the server at once and starts it again.
func crash(ctx context.Context, w *world, r *rand.Rand) (fault, error) {
	if err := w.server.Crash(); err != nil {
		return fault{}, err
	}
	sleep(ctx, time.Duration(r.IntN(500))*time.Millisecond)
	return fault{}, w.server.Restart(context.WithoutCancel(ctx))
}

package locks

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// ErrTimeout is returned when a lock was not granted in time.
var ErrTimeout = errors.New("locks: timeout")

// ErrDeadlock is returned to the victim of a deadlock. It still holds what it
// held before.
var ErrDeadlock = errors.New("locks: deadlock victim")

// Forever is a timeout that never comes.
const Forever = time.Duration(-1)

// Manager grants locks. It is safe for concurrent use.
type Manager struct {
	mu    sync.Mutex
	locks map[Resource]*lock
}

// NewManager returns a manager of no locks.
func NewManager() *Manager { return &Manager{locks: map[Resource]*lock{}} }

// Acquire takes r for o in mode, or in the union of mode and what o holds. It
// waits up to timeout: not at all for 0, without limit for Forever. It reports
// whether it had to wait. The error is ErrTimeout, ErrDeadlock or ctx's cause;
// then o holds what it held before.
func (m *Manager) Acquire(ctx context.Context, o *Owner, r Resource, mode Mode, timeout time.Duration) (waited bool, err error) {
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	m.mu.Lock()
	q := m.enqueue(o, r, mode)
	if q.want == None {
		m.mu.Unlock()
		return false, nil
	}
	if timeout == 0 {
		m.withdraw(q)
		m.mu.Unlock()
		return false, ErrTimeout
	}
	m.breakCycles(q)
	m.mu.Unlock()
	return true, m.await(ctx, q, timeout)
}

// await waits for the answer to q. An answer that came at the same time as the
// timeout or ctx's end counts.
func (m *Manager) await(ctx context.Context, q *request, timeout time.Duration) error {
	var late <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		late = timer.C
	}
	var cause error
	select {
	case err := <-q.answer:
		return err
	case <-late:
		cause = ErrTimeout
	case <-ctx.Done():
		cause = context.Cause(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case err := <-q.answer:
		return err
	default:
	}
	m.withdraw(q)
	return cause
}

// enqueue grants the request or puts it where it has to wait.
func (m *Manager) enqueue(o *Owner, r Resource, mode Mode) *request {
	l := m.locks[r]
	if l == nil {
		l = &lock{resource: r}
		m.locks[r] = l
	}
	q := o.held[r]
	if q == nil {
		q = &request{owner: o, lock: l}
	}
	q.want = Union(q.mode, mode)
	switch {
	case q.want == q.mode || l.grantable(q, len(l.waiting)):
		q.grant()
		return q
	case q.mode != None:
		l.waiting = slices.Insert(l.waiting, l.conversions(), q)
	default:
		l.waiting = append(l.waiting, q)
	}
	q.answer = make(chan error, 1)
	return q
}

func (l *lock) conversions() int {
	n := 0
	for n < len(l.waiting) && l.waiting[n].converting() {
		n++
	}
	return n
}

// grantable reports whether q can be granted beside the granted group and, for
// a newcomer, beside the first ahead waiters.
func (l *lock) grantable(q *request, ahead int) bool {
	for _, g := range l.granted {
		if conflict(g.mode, q, g) {
			return false
		}
	}
	if q.mode != None {
		return true
	}
	for _, w := range l.waiting[:ahead] {
		if conflict(w.want, q, w) {
			return false
		}
	}
	return true
}

func conflict(held Mode, q, other *request) bool {
	return other.owner.Session != q.owner.Session && !Compatible(held, q.want)
}

// grant gives q what it wants.
func (q *request) grant() {
	if q.mode == None {
		q.place = q.owner.next
		q.owner.next++
		q.owner.held[q.lock.resource] = q
		q.lock.granted = append(q.lock.granted, q)
	}
	q.mode, q.want = q.want, None
	q.count++
}

// withdraw takes a waiting request out of its queue.
func (m *Manager) withdraw(q *request) {
	l := q.lock
	if i := slices.Index(l.waiting, q); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}
	q.want = None
	m.settle(l)
}

// settle grants whatever can be granted now and forgets a lock nobody wants.
func (m *Manager) settle(l *lock) {
	for i := 0; i < len(l.waiting); {
		q := l.waiting[i]
		if !l.grantable(q, i) {
			i++
			continue
		}
		l.waiting = slices.Delete(l.waiting, i, i+1)
		q.grant()
		q.answer <- nil
	}
	if len(l.granted) == 0 && len(l.waiting) == 0 {
		delete(m.locks, l.resource)
	}
}

// Release undoes one Acquire of r by o; the last one frees the lock. It reports
// whether o held it.
func (m *Manager) Release(o *Owner, r Resource) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	q := o.held[r]
	if q == nil {
		return false
	}
	if q.count--; q.count == 0 {
		m.free(q)
	}
	return true
}

func (m *Manager) free(q *request) {
	l, o := q.lock, q.owner
	l.granted = slices.DeleteFunc(l.granted, func(g *request) bool { return g == q })
	delete(o.held, l.resource)
	m.settle(l)
}

// ReleaseAll frees all that o holds.
func (m *Manager) ReleaseAll(o *Owner) { m.ReleaseSince(o, 0) }

// Mark returns a point in o's history for ReleaseSince.
func (m *Manager) Mark(o *Owner) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return o.next
}

// ReleaseSince frees the locks that o first took after mark. A lock that was
// held before and made stronger since stays as strong.
func (m *Manager) ReleaseSince(o *Owner, mark int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var since []*request
	for _, q := range o.held {
		if q.place >= mark {
			since = append(since, q)
		}
	}
	slices.SortFunc(since, func(a, b *request) int { return b.place - a.place })
	for _, q := range since {
		m.free(q)
	}
}

// Held returns the mode in which o holds r.
func (m *Manager) Held(o *Owner, r Resource) Mode {
	m.mu.Lock()
	defer m.mu.Unlock()
	if q := o.held[r]; q != nil {
		return q.mode
	}
	return None
}

// Test reports whether Acquire would be granted without a wait.
func (m *Manager) Test(o *Owner, r Resource, mode Mode) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.locks[r]
	if l == nil {
		return true
	}
	q := &request{owner: o, lock: l}
	if held := o.held[r]; held != nil {
		q.mode = held.mode
	}
	q.want = Union(q.mode, mode)
	return q.want == q.mode || l.grantable(q, len(l.waiting))
}

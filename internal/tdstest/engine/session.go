package engine

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/locks"
)

// Session is one login. It is used by one goroutine at a time, but for ID, Done
// and Descriptor.
type Session struct {
	server *Server
	id     int
	login  Login
	user   *login
	began  time.Time
	owner  *locks.Owner // of locks that the session holds by itself

	life context.Context // ends when the session is killed or closed
	stop context.CancelCauseFunc
	done chan struct{}
	gone chan struct{} // closed when everything is given up
	once sync.Once

	// running is held while a request runs, and guards what follows.
	running     sync.Mutex
	closed      bool
	home, db    *database
	options     options
	isolation   Isolation
	contextInfo []byte
	tran        *transaction // nil when @@TRANCOUNT is 0
	count       int          // @@TRANCOUNT
	lastError   int32
	lastRows    int64
	identity    any
	temporary   map[string]*table

	descriptor atomic.Uint64
	seen       atomic.Pointer[appearance]
}

// options are what SET sets and the end of a procedure restores.
type options struct {
	nocount, xactAbort, implicit bool
	lockTimeout                  time.Duration
	rowCount                     int64
	priority                     int32
	flags                        map[string]bool // the rest, such as ANSI_NULLS; replaced when changed
}

func defaultOptions() options {
	flags := map[string]bool{}
	for _, name := range []string{
		"ANSI_NULLS", "ANSI_PADDING", "ANSI_WARNINGS", "ARITHABORT", "CONCAT_NULL_YIELDS_NULL", "QUOTED_IDENTIFIER",
		"ANSI_NULL_DFLT_ON",
	} {
		flags[name] = true
	}
	return options{lockTimeout: locks.Forever, flags: flags}
}

// appearance is what other sessions see of one.
type appearance struct {
	running     bool
	command     string
	since       time.Time
	db          *database
	contextInfo []byte
	isolation   Isolation
	count       int
	tran        *transaction
	lockTimeout time.Duration
}

func newSession(s *Server, l Login, who *login) *Session {
	n := &Session{
		server: s, login: l, user: who, began: s.now(), done: make(chan struct{}), gone: make(chan struct{}), options: defaultOptions(), isolation: ReadCommitted,
		temporary: map[string]*table{},
	}
	n.life, n.stop = context.WithCancelCause(context.Background())
	return n
}

// ID returns @@SPID.
func (s *Session) ID() int { return s.id }

// Done is closed when the session was killed or met a fatal error; the client's
// connection must then be dropped.
func (s *Session) Done() <-chan struct{} { return s.done }

// Descriptor names the open transaction; it is 0 when there is none and never
// the same for two transactions.
func (s *Session) Descriptor() uint64 { return s.descriptor.Load() }

// Reset makes the session as after its login, as the reset bit of a request
// does: it rolls back, frees the session's locks, resets SET options, the
// database and context_info. The isolation level stays.
func (s *Session) Reset() {
	s.running.Lock()
	defer s.running.Unlock()
	if s.closed {
		return
	}
	s.cleanUp()
	s.publish("AWAITING COMMAND", false)
}

func (s *Session) cleanUp() {
	if s.tran != nil {
		s.endTransaction(false)
	}
	s.server.locks.ReleaseAll(s.owner)
	s.options = defaultOptions()
	s.contextInfo = nil
	s.db = s.home
	s.temporary = map[string]*table{}
	s.lastError, s.lastRows, s.identity = 0, 0, nil
}

// Close ends the session when its connection is gone: it rolls back and frees
// everything.
func (s *Session) Close() { s.end(context.Canceled) }

// end stops the request that runs and cleans up after it: at once when none
// does, else as soon as it is over. Done is closed first, for the request may
// wait on a client that is told to go by it.
func (s *Session) end(cause error) {
	s.stop(cause)
	s.once.Do(func() {
		close(s.done)
		if s.running.TryLock() {
			s.leave()
			return
		}
		go func() {
			s.running.Lock()
			s.leave()
		}()
	})
}

// leave gives up everything. It releases running.
func (s *Session) leave() {
	s.cleanUp()
	s.closed = true
	s.running.Unlock()
	s.server.clients.Lock()
	delete(s.server.sessions, s.id)
	s.server.clients.Unlock()
	close(s.gone)
}

// use makes a database the current one.
func (s *Session) use(name string) *failure {
	d := s.server.database(name)
	if d == nil {
		return fault(911, "Database '%s' does not exist. Make sure that the name is entered correctly.", name)
	}
	if d.singleUser.Load() {
		for _, other := range s.server.everySession() {
			if seen := other.seen.Load(); other != s && seen != nil && seen.db == d {
				return fault(924, "Database '%s' is already open and can only have one user at a time.", d.name)
			}
		}
	}
	s.db = d
	return nil
}

// publish tells the views of other sessions how this one stands.
func (s *Session) publish(command string, running bool) {
	since := s.server.now()
	if old := s.seen.Load(); old != nil && old.running && running {
		since = old.since
	}
	s.seen.Store(&appearance{
		running: running, command: strings.ToUpper(command), since: since, db: s.db, contextInfo: s.contextInfo,
		isolation: s.isolation, count: s.count, tran: s.tran, lockTimeout: s.options.lockTimeout,
	})
	s.owner.Priority.Store(s.options.priority)
	if s.tran != nil {
		s.tran.owner.Priority.Store(s.options.priority)
	}
}

// beginTransaction raises @@TRANCOUNT. It reports whether a transaction began.
func (s *Session) beginTransaction(name string) bool {
	s.count++
	if s.count > 1 {
		return false
	}
	s.tran = s.server.newTransaction(s.id, s.isolation, name)
	s.descriptor.Store(s.tran.descriptor)
	s.showTransaction()
	return true
}

// endTransaction commits or rolls back whatever @@TRANCOUNT says.
func (s *Session) endTransaction(commit bool) (descriptor uint64) {
	t := s.tran
	s.tran, s.count = nil, 0
	s.descriptor.Store(0)
	s.server.finish(t, commit)
	s.showTransaction()
	return t.descriptor
}

// showTransaction tells the views of other sessions that a transaction began
// or ended within a request.
func (s *Session) showTransaction() {
	if seen := s.seen.Load(); seen != nil {
		s.publish(seen.command, seen.running)
	}
}

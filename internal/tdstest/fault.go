package tdstest

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine"
)

// Match selects requests. A zero field matches anything.
type Match struct {
	Kind Kind
	// Text must occur in [Request.Text], letter for letter.
	Text string
	// Procedure must equal [Request.Procedure] but for case.
	Procedure string
	Operation Operation
	// Connection is that of [Request.Connection].
	Connection int
	// Where is called by several connections at a time.
	Where func(Request) bool
	// Nth skips the first Nth-1 requests that match all else.
	Nth int
}

func (m Match) accepts(r Request) bool {
	return (m.Kind == 0 || m.Kind == r.Kind) &&
		(m.Text == "" || strings.Contains(r.Text, m.Text)) &&
		(m.Procedure == "" || strings.EqualFold(m.Procedure, r.Procedure)) &&
		(m.Operation == 0 || m.Operation == r.Operation) &&
		(m.Connection == 0 || m.Connection == r.Connection) &&
		(m.Where == nil || m.Where(r))
}

// Cut is when a connection is cut. The session is closed, so that all it holds
// is free, before the client sees the end of the stream.
type Cut int

const (
	// CutNever leaves the connection open.
	CutNever Cut = iota
	// CutBeforeRun cuts before the request is run.
	CutBeforeRun
	// CutBeforeReply runs the request and sends nothing of its reply.
	CutBeforeReply
	// CutInReply runs the request and sends the first [Fault.CutAt] bytes of its
	// reply, packet headers included, or all of a shorter one.
	CutInReply
	// CutAfterReply sends the whole reply.
	CutAfterReply
)

// Fault is what befalls a request. Its fields may be combined and act in the
// order in which they stand here.
type Fault struct {
	// HoldRun, then DelayRun, is waited for before the request is run. An
	// attention or a lost connection ends every wait of a fault.
	HoldRun  <-chan struct{}
	DelayRun time.Duration
	// Kill kills the session instead of running the request, as KILL would.
	Kill bool
	// Rollback rolls the session's transaction back first, and tells the client.
	Rollback bool
	// Errors are the reply; the request is not run.
	Errors []engine.Message
	// Trailing adds that many DONE tokens to the end of the reply, be it that of
	// Errors or of the request. go-mssqldb leaves them unread after the error of
	// a query, and blocks for ever when there are more than a few.
	Trailing int
	// ServerError sets the SRVERROR bit in the reply's last DONE.
	ServerError bool
	// HoldReply, then DelayReply, is waited for once the request was run and
	// before the reply's first packet is sent.
	HoldReply  <-chan struct{}
	DelayReply time.Duration
	Cut        Cut
	CutAt      int

	// Times is how many requests the fault befalls: 0 means one, -1 any number.
	Times int
}

// Rule is a fault that waits for its requests.
type Rule struct {
	server *Server
	match  Match
	fault  Fault
	fired  chan struct{}
	firing sync.Once

	// Guarded by the server's mutex.
	seen, count int
}

// Inject adds a rule. If several match a request, the one added first has it.
// It may be called at any time.
func (s *Server) Inject(m Match, f Fault) *Rule {
	r := &Rule{server: s, match: m, fault: f, fired: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = append(s.rules, r)
	return r
}

// Fired returns a channel that is closed when a first request has matched,
// before any wait.
func (r *Rule) Fired() <-chan struct{} { return r.fired }

// Count returns how many requests the fault has befallen.
func (r *Rule) Count() int {
	r.server.mu.Lock()
	defer r.server.mu.Unlock()
	return r.count
}

// Remove calls the rule off for later requests.
func (r *Rule) Remove() {
	r.server.mu.Lock()
	defer r.server.mu.Unlock()
	r.server.rules = slices.DeleteFunc(r.server.rules, func(other *Rule) bool { return other == r })
}

// claim returns the fault that befalls a request, if any. Matchers run without
// the lock, as they may call the server.
func (s *Server) claim(request Request) Fault {
	s.mu.Lock()
	rules := slices.Clone(s.rules)
	s.mu.Unlock()
	for _, r := range rules {
		if r.match.accepts(request) && r.take() {
			r.firing.Do(func() { close(r.fired) })
			return r.fault
		}
	}
	return Fault{}
}

// take reports whether it is this rule's turn.
func (r *Rule) take() bool {
	r.server.mu.Lock()
	defer r.server.mu.Unlock()
	r.seen++
	times := max(r.fault.Times, 1)
	if r.seen < r.match.Nth || r.fault.Times >= 0 && r.count >= times {
		return false
	}
	r.count++
	return true
}

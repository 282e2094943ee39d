package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/locks"
)

// Version is the product version that the simulator gives itself: that of
// SQL Server 2022, with a build that no server has.
const Version = "16.0.9999.0"

// Server is a simulated instance. It is safe for concurrent use.
type Server struct {
	version string
	name    string
	now     func() time.Time
	started time.Time
	locks   *locks.Manager
	ids     atomic.Uint64 // of transactions and owners

	// data guards databases and all that is in them. It is never held while
	// something waits.
	data      sync.Mutex
	databases map[string]*database
	nextDB    int
	stamp     uint64 // of the last commit
	snapshots map[*transaction]struct{}

	// clients guards the sessions and logins.
	clients     sync.Mutex
	sessions    map[int]*Session
	logins      map[string]*login
	nextSession int
}

type login struct {
	name, password string
	all            bool
	perms          map[string]bool
}

// Option changes a Server that New makes.
type Option func(*Server)

// WithClock makes now the server's clock.
func WithClock(now func() time.Time) Option { return func(s *Server) { s.now = now } }

// WithServerName sets @@SERVERNAME.
func WithServerName(name string) Option { return func(s *Server) { s.name = name } }

// New returns a server with the databases master, tempdb, model and msdb and
// the login sa, whose password is empty: any is taken.
func New(opts ...Option) *Server {
	s := &Server{
		version: "Lockstep's simulator of Microsoft SQL Server 2022, not SQL Server - " + Version,
		name:    "SIMULATOR", now: time.Now, locks: locks.NewManager(),
		databases: map[string]*database{}, snapshots: map[*transaction]struct{}{}, stamp: 1,
		sessions: map[int]*Session{}, logins: map[string]*login{}, nextSession: 50,
	}
	for _, o := range opts {
		o(s)
	}
	s.started = s.now()
	s.ids.Store(1000)
	for _, name := range []string{"master", "tempdb", "model", "msdb"} {
		s.addDatabase(name)
	}
	s.databases["master"].allowsSnapshot.Store(true)
	s.databases["msdb"].allowsSnapshot.Store(true)
	s.logins["sa"] = &login{name: "sa", all: true}
	return s
}

// addDatabase makes an empty database. Server.data is held, or s is not shared
// yet.
func (s *Server) addDatabase(name string) *database {
	s.nextDB++
	d := &database{
		id: s.nextDB, name: name, created: s.now(), objects: map[string]object{}, nextID: 901578250,
		schemas: map[string]int{"dbo": 1, "guest": 2, "sys": 4, "information_schema": 3},
		users:   map[string]int{"public": 0, "dbo": 1, "guest": 2},
	}
	s.databases[foldName(name)] = d
	return d
}

// SetUser adds a login or changes one. An empty password lets any pass. perms
// are names of permissions such as "VIEW SERVER STATE"; "CONTROL SERVER" has
// all, as sa does. The login can use every database.
func (s *Server) SetUser(name, password string, perms ...string) {
	s.clients.Lock()
	defer s.clients.Unlock()
	l := &login{name: name, password: password, all: foldName(name) == "sa", perms: map[string]bool{}}
	for _, p := range perms {
		l.grant(p)
	}
	s.logins[foldName(name)] = l
}

func (l *login) grant(permission string) {
	p := strings.ToUpper(permission)
	l.perms[p] = true
	l.all = l.all || p == "CONTROL SERVER"
}

func (s *Server) may(l *login, permission string) bool {
	s.clients.Lock()
	defer s.clients.Unlock()
	return l.all || l.perms[permission]
}

// Login opens a session. The error is a *Message: 18456 for a wrong name or
// password, 4060 for a database that cannot be opened.
func (s *Server) Login(l Login) (*Session, error) {
	s.clients.Lock()
	who := s.logins[foldName(l.User)]
	s.clients.Unlock()
	if who == nil || who.password != "" && who.password != l.Password {
		return nil, &Message{Number: 18456, State: 1, Class: 14, Text: fmt.Sprintf("Login failed for user '%s'.", l.User)}
	}
	name := l.Database
	if name == "" {
		name = "master"
	}
	n := newSession(s, l, who)
	if f := n.use(name); f != nil {
		return nil, &Message{Number: 4060, State: 1, Class: 11,
			Text: fmt.Sprintf("Cannot open database \"%s\" requested by the login. The login failed.", name)}
	}
	n.home = n.db
	s.clients.Lock()
	defer s.clients.Unlock()
	s.nextSession++
	n.id = s.nextSession
	n.owner = locks.NewOwner(s.ids.Add(1), n.id, true)
	s.sessions[n.id] = n
	n.publish("AWAITING COMMAND", false)
	return n, nil
}

// Kill ends a session as KILL does: its request ends, its transaction is
// rolled back and Done is closed. It reports whether there was such a session.
// The rollback of a session in the middle of a request may come later.
func (s *Server) Kill(id int) bool {
	s.clients.Lock()
	n := s.sessions[id]
	s.clients.Unlock()
	if n == nil {
		return false
	}
	n.end(ErrKilled)
	return true
}

// everySession returns the sessions by their ids.
func (s *Server) everySession() []*Session {
	s.clients.Lock()
	defer s.clients.Unlock()
	return slices.SortedFunc(maps.Values(s.sessions), func(a, b *Session) int { return a.id - b.id })
}

func (s *Server) everyDatabase() []*database {
	s.data.Lock()
	defer s.data.Unlock()
	return slices.SortedFunc(maps.Values(s.databases), func(a, b *database) int { return a.id - b.id })
}

func (s *Server) database(name string) *database {
	s.data.Lock()
	defer s.data.Unlock()
	return s.databases[foldName(name)]
}

// foldName makes names comparable, as the default collation does.
func foldName(name string) string { return strings.ToLower(strings.TrimRight(name, " ")) }

func sameName(a, b string) bool { return foldName(a) == foldName(b) }

package model

// phase is where a unit is.
type phase uint8

const (
	idle       phase = iota
	lining           // in line before the gate of lock number at, or let in and not aware of it
	pooling          // wants a connection
	beginning        // BEGIN and the locks were sent
	reading          // the first statement was sent
	writing          // the second
	nesting          // wants a connection for the unit inside it
	inner            // that unit is under way
	committing       // COMMIT was sent
	undoing          // ROLLBACK was sent
	parting          // the connection goes back
	leaving          // the gates are left, the last one first; at are to be left
	asking           // in doubt, before Resolve
	done
	killed
)

// outcome is what the unit was told.
type outcome uint8

const (
	unknown outcome = iota
	committed
	rolledBack
	inDoubt
)

// A unit is a Unit under way. Every field of a state fits a byte, which keeps
// states small.
type unit struct {
	phase     phase
	at        uint8 // gates entered or, while leaving, to be left
	attempt   uint8
	session   uint8 // plus one
	outcome   outcome
	cancelled bool
	again     bool  // to be retried
	commits   uint8 // what the server knows: how often its work was committed
}

// request is what a session has been sent and has not answered.
type request uint8

const (
	nothing request = iota
	begin
	read
	write
	commit
	release // the second half of commit, on the server alone
	rollback
)

// reply is what the client has not read yet.
type reply uint8

const (
	none reply = iota
	fine
	failed
)

// transaction is the state of a session's.
type transaction uint8

const (
	noTransaction transaction = iota
	open
	aborted
)

// A session is the server's end of a connection, and the connection.
type session struct {
	used    bool
	dead    bool // the server has ended it
	gone    bool // the client has
	cut     bool // the client hears no more from it
	cancel  bool // a cancel is on its way
	stray   bool // it has written outside a lock
	waiting bool // in the queue of lock number next
	process uint8
	user    uint8 // the unit that has it, plus one; 0 when idle in the pool
	runs    uint8 // the unit whose transaction it is, plus one
	request request
	reply   reply
	tx      transaction
	next    uint8           // the lock of the unit to be taken next
	wrote   uint8           // units whose work the transaction holds
	answer  [maxNames]uint8 // what was read, and goes with what is written
	pending [maxNames]uint8 // what was written
}

// A lock is one name's on the server.
type lock struct {
	shared, update, exclusive uint8 // sets of sessions
	queue                     [maxSessions]uint8
}

func (l *lock) held(m Mode) *uint8 {
	switch m {
	case Shared:
		return &l.shared
	case Update:
		return &l.update
	}
	return &l.exclusive
}

// A state is everything at one moment.
type state struct {
	units    [maxUnits]unit
	gates    [maxProcesses]table
	sessions [maxSessions]session
	locks    [maxNames]lock
	values   [maxNames]uint8 // as committed
	crashed  uint8           // set of processes
	faults   uint8           // that have happened
}

// inUse counts the connections of a process that are taken from its pool.
func (w *world) inUse(s *state, process int) (n int) {
	for i := range w.Units {
		if w.Units[i].Process != process {
			continue
		}
		if s.units[i].session != 0 {
			n++
		}
		if s.units[i].phase == inner {
			n++
		}
	}
	return n
}

// idleIn returns a session that idles in the pool of the process.
func (s *state) idleIn(process int) (int, bool) {
	for i := range s.sessions {
		c := &s.sessions[i]
		if c.used && !c.gone && c.user == 0 && int(c.process) == process {
			return i, true
		}
	}
	return 0, false
}

// vacancy returns a place for a new session.
func (s *state) vacancy() (int, bool) {
	for i := range s.sessions {
		if !s.sessions[i].used {
			return i, true
		}
	}
	return 0, false
}

// sweep forgets a session that both sides have ended.
func (s *state) sweep(i int) {
	if s.sessions[i].gone && s.sessions[i].dead {
		s.sessions[i] = session{}
	}
}

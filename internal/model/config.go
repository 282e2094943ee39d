package model

import "fmt"

// Bounds of the model: a state is of fixed size.
const (
	maxProcesses = 2
	maxUnits     = 5
	maxNames     = 2
	maxSessions  = 7
)

// Mode is how a lock is asked for.
type Mode uint8

// The modes, weakest first.
const (
	Shared Mode = iota + 1
	Update
	Exclusive
)

func (m Mode) compatible(n Mode) bool {
	return m != Exclusive && n != Exclusive && (m == Shared || n == Shared)
}

// Lock is one lock that a unit declares.
type Lock struct {
	Name int
	Mode Mode
}

// Unit is what one goroutine does, once: it takes its locks, reads the numbers
// of their names, writes them back one greater where the lock is exclusive,
// reads them again where not, and commits.
type Unit struct {
	Process int
	Locks   []Lock // taken in this order
	Inner   bool   // before its commit it runs another unit, on a connection of its own
	Retry   bool   // runs again once after a connection lost before COMMIT
}

// Config is what Search starts from.
type Config struct {
	Units  []Unit
	Pool   int // connections of each process
	Faults int // how many may happen
	Broken Mutant
}

// Mutant is one way to break the rules.
type Mutant int

// The mutants; Faithful breaks nothing.
const (
	Faithful Mutant = iota
	// What the library might do wrong.
	SkipsLock          // BEGIN is sent without the locks
	FreesBeforeCommit  // the locks are given back before the work is committed
	LocksElsewhere     // the locks are on another session than the transaction
	SnapshotBeforeLock // what is read was fixed before the wait for the lock
	WritesAfterAbort   // statements go on after the server has ended the transaction
	RetriesInDoubt     // a unit whose COMMIT was not answered is run again
	ReusesInDoubt      // its connection goes back to the pool
	CancelIsRollback   // a ctx that ends during COMMIT is reported as a rollback
	ResolvesOpen       // Resolve calls a transaction that is still open rolled back
	KeepsConnection    // a cancelled unit does not give its connection back
	KeepsPass          // a cancelled wait for a connection leaves the gates closed
	// What the gate might do wrong.
	WakesNobody      // who leaves lets nobody in
	WakesTheWrongOne // the head of the line is let in, and the tail taken off it
	CancelledStays   // who gives up stays in the line
	CancelledKeeps   // who gives up keeps the pass that it got meanwhile
	DeckStaysTaken   // who was on deck is counted for ever
	DeckWithoutRoom  // on deck whatever the pool has left
	// What the argument relies on the server, or the caller, for.
	AcknowledgesEarly // COMMIT is answered before it is durable
	GrantsTwice       // the lock queue lets in who does not go with the holders
	OwnOrder          // units take their locks in orders of their own
)

var mutantNames = [...]string{
	"faithful", "lock skipped", "locks freed before COMMIT", "locks on another session", "snapshot before the lock",
	"statement after abort", "retry when in doubt", "reuse of a connection in doubt", "cancelled COMMIT taken for a rollback",
	"open transaction resolved as rolled back", "connection kept", "pass kept", "nobody woken", "wrong one woken",
	"cancelled waiter stays in line", "cancelled waiter keeps its pass", "deck stays taken", "on deck without room",
	"COMMIT answered before it is durable", "lock granted twice", "locks in any order",
}

// String names the mutant.
func (m Mutant) String() string { return mutantNames[m] }

// check returns what is wrong with c.
func (c *Config) check() error {
	if len(c.Units) == 0 || len(c.Units) > maxUnits || c.Pool < 1 {
		return fmt.Errorf("model: %d units, pool of %d", len(c.Units), c.Pool)
	}
	for i, u := range c.Units {
		if u.Process < 0 || u.Process >= maxProcesses || len(u.Locks) == 0 {
			return fmt.Errorf("model: unit %d: process %d, %d locks", i, u.Process, len(u.Locks))
		}
		for j, l := range u.Locks {
			if l.Name < 0 || l.Name >= maxNames || l.Mode < Shared || l.Mode > Exclusive {
				return fmt.Errorf("model: unit %d: lock %+v", i, l)
			}
			if j > 0 && l.Name <= u.Locks[j-1].Name && c.Broken != OwnOrder {
				return fmt.Errorf("model: unit %d: locks out of order", i)
			}
		}
	}
	return nil
}

// modes returns the mode in which each unit asks for the name; 0 for those that
// do not.
func (c *Config) modes(name int) (m callers) {
	for i, u := range c.Units {
		for _, l := range u.Locks {
			if l.Name == name {
				m[i] = l.Mode
			}
		}
	}
	return m
}

package dialect

import (
	"context"
	"database/sql"
	"time"
)

// Dialect is one database engine. An implementation is safe for concurrent use
// and keeps nothing that belongs to one database: several Managers may share it.
type Dialect interface {
	// Name is the engine's name for messages and metrics, such as "postgres".
	Name() string

	// Begin starts a transaction on conn and takes b.Locks in the order given,
	// in as few round trips as it can. The transaction's isolation must be set
	// so that the next user of conn cannot see it.
	//
	// ctx governs the waiting; it must not be tied to the transaction, which
	// outlives it. Under an isolation that reads from one snapshot, every lock
	// must be granted before that snapshot is taken.
	//
	// On failure no transaction is open, no lock is held, and conn is as it was
	// found; where that cannot be had, the error is an *Error with Poisoned set.
	// A lock that was not granted is reported as a *LockError.
	Begin(ctx context.Context, conn *sql.Conn, b Begin) (Tx, error)

	// Classify tells what err means. It is the only place that does: nil, errors
	// of no known meaning and errors that never reached the server are Unknown,
	// a server's refusal of no special meaning is Refused. It looks through
	// wrapping and never at messages.
	Classify(err error) Kind
}

// Begin says what kind of transaction to begin.
type Begin struct {
	Isolation sql.IsolationLevel // LevelDefault is the database's own default
	ReadOnly  bool               // the server must refuse writes
	Label     string             // owner shown by the server's own views; empty for none
	Locks     []Lock             // taken in this order, before anything else
	Idle      bool               // it will hold its locks for long and do nothing: limits on that are lifted for it
	Query     string             // the query that follows, if it is known; what it needs to know may travel with BEGIN

	// Unit stands for the unit of work that the transaction is of, and Within for
	// the units of the same pool around it, whose transactions stay open until it
	// has ended. Where one of those bars this one for good, the error is of kind
	// Deadlock and Lasting.
	Unit   any
	Within []any
}

// Tx is one open transaction on one connection. It is used by one goroutine at
// a time. Every ctx governs that call alone and never the transaction.
type Tx interface {
	// Exec runs a statement in the transaction as sql.Conn.ExecContext would,
	// with the same arguments and results. It should refuse, with Unsupported
	// and nothing sent, a statement that would end the transaction.
	Exec(ctx context.Context, query string, args ...any) (sql.Result, error)

	// Lock takes locks in the order given. When it fails for any reason but a
	// lost connection, none of these locks is held, the transaction is as usable
	// as before, and every setting of the session is as it was. Under an
	// isolation that reads from one snapshot it must refuse with SnapshotTaken.
	// A lock that was not granted is reported as a *LockError.
	Lock(ctx context.Context, locks []Lock) error

	// Savepoint marks a point to return to. Names are unique within the
	// transaction, ASCII letters, digits and underscores, 32 at most.
	Savepoint(ctx context.Context, name string) error

	// RollbackTo undoes all that came after the savepoint and removes it. It must
	// work after a statement's error wherever the engine can recover from one.
	RollbackTo(ctx context.Context, name string) error

	// Release removes a savepoint and keeps what came after it.
	Release(ctx context.Context, name string) error

	// State tells what is known of the transaction without asking the server.
	State() State

	// Commit ends the transaction. Its ctx carries a time limit and is otherwise
	// never cancelled. The outcome must be
	//   - Committed, with no error, when the server acknowledged it;
	//   - RolledBack, with an error, when the server's own answer was that the
	//     transaction did not commit, or when nothing was sent;
	//   - InDoubt, with an error, in every other case.
	Commit(ctx context.Context) (Outcome, error)

	// Rollback undoes the transaction. Its ctx carries a time limit and is
	// otherwise never cancelled. When it fails, the connection is not reused.
	Rollback(ctx context.Context) error
}

// ExecBeginner is implemented by a Dialect that can begin a transaction and run
// its first statement in one round trip. It is asked only for transactions
// without declared locks.
type ExecBeginner interface {
	// BeginExec is Begin followed by Tx.Exec. If the statement fails but the
	// transaction was begun, it returns the Tx and the error.
	BeginExec(ctx context.Context, conn *sql.Conn, b Begin, query string, args ...any) (Tx, sql.Result, error)
}

// Observer is implemented by a Tx that wants to know of statements which are
// not run through Exec.
type Observer interface {
	// Observe is told the text of a query or prepared statement before it is
	// sent, and "" when the caller is about to use the driver's connection. If
	// it returns an error, the caller reports it and sends nothing.
	Observe(query string) error
}

// Discarder is implemented by a Dialect whose connections may outlive their
// discard by database/sql, as those of a pool below it do.
type Discarder interface {
	// Discard closes the driver's connection, if it knows it and can do so
	// without harm to its second closing by database/sql.
	Discard(driverConn any)
}

// Unwrapper is implemented by a Dialect whose pools hold the driver's connections
// in something of its own.
type Unwrapper interface {
	// DriverConn returns the driver's own connection in place of what the pool
	// holds, or its argument if it does not know it.
	DriverConn(pooled any) any
}

// Resolver is implemented by a Dialect that can find out what became of a
// transaction whose COMMIT got no answer.
type Resolver interface {
	// Resolve asks the server, over a connection that has no part in the
	// transaction, for the outcome of the one that ref names. It waits within
	// ctx while the transaction is still running. It returns InDoubt with an
	// error of kind Unresolvable when the server cannot say.
	Resolve(ctx context.Context, conn *sql.Conn, ref Ref) (Outcome, error)
}

// Identified is implemented by a Tx whose outcome a Resolver can find out.
type Identified interface {
	// Ref names the transaction, without a round trip.
	Ref() Ref
}

// Ref names a transaction on its server.
type Ref struct {
	ID       string // the server's own name of the transaction; empty when it has none or it is not known
	History  string // which of the server's histories the ID belongs to, where it can have several; empty when unknown
	Session  string // the server's name of the session that ran it; empty when unknown
	ReadOnly bool   // it is certain that the transaction had nothing to commit
}

// Inspector is implemented by a Dialect whose server shows locks.
type Inspector interface {
	// Inspect tells who holds and who waits for the named locks of conn's
	// database, one LockStatus a name in the order given; without names, for
	// every lock of this kind that the server shows.
	Inspect(ctx context.Context, conn *sql.Conn, names []string) ([]LockStatus, error)
}

// Forever is the Limit of a Lock whose wait ends with its ctx alone.
const Forever = time.Duration(-1)

// Lock is the request for one named lock.
type Lock struct {
	Name  string
	Mode  Mode
	Limit time.Duration // how long to wait, counted from the call; 0 does not wait; Forever has no limit
}

// Mode is how a lock shares with others. A greater mode is stronger.
type Mode int

// The modes. Shared is compatible with Shared and Update; Update with Shared
// alone; Exclusive with none.
const (
	Shared Mode = iota + 1
	Update
	Exclusive
)

// String returns "shared", "update" or "exclusive".
func (m Mode) String() string {
	switch m {
	case Shared:
		return "shared"
	case Update:
		return "update"
	case Exclusive:
		return "exclusive"
	}
	return "invalid mode"
}

// Compatible reports whether two units may hold one lock in modes m and n at
// the same time.
func (m Mode) Compatible(n Mode) bool {
	return m != Exclusive && n != Exclusive && (m == Shared || n == Shared)
}

// State is what is known of a transaction without asking the server.
type State int

// The states. The zero value claims nothing.
const (
	StateUnknown State = iota // the driver does not tell
	Active                    // open, and no statement of it has failed on the server since the last RollbackTo
	Failed                    // the server refuses all but a rollback
	Ended                     // a statement ended the transaction
	Busy                      // rows of an earlier query are still open
	Broken                    // the connection is closed
)

// Outcome is what became of a transaction.
type Outcome int

// The outcomes. The zero value claims nothing.
const (
	InDoubt    Outcome = iota // the server's answer to COMMIT is not known
	Committed                 // the server acknowledged COMMIT
	RolledBack                // nothing was written
)

// String returns "in doubt", "committed" or "rolled back".
func (o Outcome) String() string {
	switch o {
	case Committed:
		return "committed"
	case RolledBack:
		return "rolled back"
	}
	return "in doubt"
}

// Session is a session of the server that holds or waits for a lock. Fields
// that the server does not show to the asking role are zero.
type Session struct {
	ID    string    // the server's name of the session: a process id on PostgreSQL, empty for a prepared transaction
	Label string    // the unit's label, or what the session calls itself
	User  string    // the role it runs as
	Host  string    // the client's address
	Mode  Mode      // how it holds or wants the lock
	Since time.Time // when its transaction began, by the server's clock
}

// LockStatus tells who holds and who waits for one lock.
type LockStatus struct {
	Name    string    // as asked; empty where the server knows only a key
	Key     string    // what the server calls the lock
	Holders []Session // empty when the lock is free
	Waiters []Session // in no order
}

package uow

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect"
)

// Outcome is what became of a unit: Committed, RolledBack or InDoubt.
type Outcome = dialect.Outcome

// The outcomes of a unit.
const (
	InDoubt    = dialect.InDoubt    // COMMIT was sent and its answer is not known
	Committed  = dialect.Committed  // the server acknowledged COMMIT, or there was nothing to commit
	RolledBack = dialect.RolledBack // nothing was written
)

// InDoubtError is returned when COMMIT was sent and anything but the server's
// answer came back: the connection broke, or the commit timeout passed. The
// work may be committed or not; the connection was discarded. Such a unit is
// never retried: Resolve first.
type InDoubtError struct {
	Label string // the unit's label
	Err   error  // what came instead of an answer

	core *core
	ref  dialect.Ref
}

// Error tells what came instead of an answer.
func (e *InDoubtError) Error() string {
	return fmt.Sprintf("uow: outcome of COMMIT in doubt: %v", e.Err)
}

// Unwrap returns what came instead of an answer.
func (e *InDoubtError) Unwrap() error { return e.Err }

// SafeToRetry is what pgconn.SafeToRetry and those who use it ask: it never is.
func (e *InDoubtError) SafeToRetry() bool { return false }

// TransactionID returns the server's name of the transaction, for logs and for
// asking by hand; empty when it had none or it is not known.
func (e *InDoubtError) TransactionID() string { return e.ref.ID }

// Resolve asks the server what became of the transaction, over another
// connection. It returns Committed or RolledBack with no error, and waits
// within ctx while the server has not decided. It returns InDoubt with an error
// when ctx ends, when no connection can be had, and, as dialect.Unresolvable,
// when the server cannot say; it may be called again. A unit that was
// read-only, or ran no statement, resolves to Committed without asking.
func (e *InDoubtError) Resolve(ctx context.Context) (Outcome, error) {
	if e.ref.ReadOnly {
		return Committed, nil
	}
	if e.core == nil {
		return InDoubt, dialect.Unresolvable
	}
	resolver, ok := e.core.dialect.(dialect.Resolver)
	if !ok || e.ref.ID == "" {
		return InDoubt, &dialect.Error{Kind: dialect.Unresolvable, Detail: "the transaction's identity is not known"}
	}
	outcome := InDoubt
	err := e.core.ask(ctx, func(conn *sqlx.Conn) (err error) {
		outcome, err = resolver.Resolve(ctx, conn.Conn, e.ref)
		return err
	})
	return outcome, err
}

package postgres

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lockstep-go/lockstep/dialect"
)

// tx implements dialect.Tx, Observer and Identified.
type tx struct {
	conn     *sql.Conn
	wire     wire
	native   *native // nil behind a driver wrapper
	readOnly bool
	snapshot bool // reads from one snapshot
	identity identity
	since    int  // how many statements had been prepared on the connection before it
	proven   bool // a statement that was prepared before this transaction has run in it
}

func newTx(conn *sql.Conn, w wire, b dialect.Begin) *tx {
	t := &tx{conn: conn, wire: w, readOnly: b.ReadOnly, snapshot: readsSnapshot(b.Isolation)}
	if n, ok := w.(*native); ok {
		t.native, t.since = n, n.link.count
		if p := n.link.profile; p != nil && p.snapshot && b.Isolation == sql.LevelDefault {
			t.snapshot = true
		}
	}
	return t
}

// State implements dialect.Tx.
func (t *tx) State() dialect.State { return t.wire.state() }

// Savepoint implements dialect.Tx.
func (t *tx) Savepoint(ctx context.Context, name string) error {
	return t.runAsking(ctx, t.wire.run, "savepoint "+name)
}

// RollbackTo implements dialect.Tx.
func (t *tx) RollbackTo(ctx context.Context, name string) error {
	return t.runAsking(ctx, t.wire.last, "rollback to savepoint "+name, "release savepoint "+name)
}

// Release implements dialect.Tx.
func (t *tx) Release(ctx context.Context, name string) error {
	return t.runAsking(ctx, t.wire.last, "release savepoint "+name)
}

// Rollback implements dialect.Tx.
func (t *tx) Rollback(ctx context.Context) error {
	switch t.State() {
	case dialect.Busy:
		// Rows left open bar every statement; without its client the server
		// rolls back.
		err := t.native.use(func(c *pgx.Conn) error { return c.Close(ctx) })
		return &dialect.Error{Kind: dialect.ConnectionLost, Detail: "rows were left open", Err: err, Poisoned: true}
	case dialect.Broken:
		return &dialect.Error{Kind: dialect.ConnectionLost, Poisoned: true}
	}
	_, err := t.wire.last(ctx, "rollback")
	return err
}

// commitStatements end the transaction. Where the command's tag is not to be
// seen, a statement before COMMIT fails if the transaction is aborted, in the
// same message, so that COMMIT is never answered by a rollback unnoticed.
func (t *tx) commit(ctx context.Context) (tag string, err error) {
	if t.native != nil {
		return t.native.commit(ctx)
	}
	_, err = t.conn.ExecContext(ctx, "select 1;commit")
	return "COMMIT", err
}

// Commit implements dialect.Tx.
func (t *tx) Commit(ctx context.Context) (dialect.Outcome, error) {
	if s := t.State(); s == dialect.Busy || s == dialect.Broken {
		return dialect.RolledBack, &dialect.Error{Kind: dialect.ConnectionLost, Detail: "before COMMIT was sent", Poisoned: true}
	}
	if err := t.identify(ctx); err != nil {
		return t.notSent(err)
	}
	tag, err := t.commit(ctx)
	var answer *pgconn.PgError
	switch {
	case err == nil && tag == "COMMIT":
		return dialect.Committed, nil
	case err == nil:
		return dialect.RolledBack, &dialect.Error{Kind: dialect.NotCommitted}
	case errors.As(err, &answer) && !isFatal(answer) && t.mayHaveEnded():
		return dialect.RolledBack, t.afterRefusal(answer)
	case answer != nil && answer.Code == idleInTransaction:
		// The session was ended while it was idle: COMMIT found nobody.
		return dialect.RolledBack, answer
	}
	return dialect.InDoubt, err
}

// mayHaveEnded reports whether the answer to COMMIT was the end of the
// transaction: a refusal that leaves the connection elsewhere is not the
// server's.
func (t *tx) mayHaveEnded() bool {
	state := t.State()
	return state == dialect.Ended || state == dialect.StateUnknown
}

// notSent rolls back after a failure that came before COMMIT.
func (t *tx) notSent(err error) (dialect.Outcome, error) {
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	if undone := t.Rollback(ctx); undone != nil {
		err = &dialect.Error{Kind: d{}.Classify(err), Err: errors.Join(err, undone), Poisoned: true}
	}
	return dialect.RolledBack, err
}

// afterRefusal gives the server's refusal of COMMIT its kind. The transaction
// is over, save behind a wrapper, where the statement before COMMIT may have
// been refused.
func (t *tx) afterRefusal(answer *pgconn.PgError) error {
	if t.native != nil {
		return answer
	}
	if answer.Code == "25P02" {
		_, err := t.notSent(&dialect.Error{Kind: dialect.NotCommitted, Err: answer})
		return err
	}
	_, err := t.notSent(answer)
	return err
}

// Lock implements dialect.Tx.
func (t *tx) Lock(ctx context.Context, locks []dialect.Lock) error {
	began := time.Now()
	if t.snapshot {
		return locked(locks[:1], 0, &dialect.Error{Kind: dialect.SnapshotTaken, Detail: "declare the lock with the unit"}, nil)
	}
	now := len(locks) == 1 && immediate(locks) && locks[0].Mode != dialect.Update
	var s script
	s.add("savepoint "+lockSavepoint, refuseSnapshot)
	if now {
		s.lock(0, attempt(locks))
	} else {
		s.add(saveLimits, liftLimits)
		s.take(byTransaction, locks)
		s.add(restoreLimits)
	}
	s.statements[s.first()] += stateColumns
	known := knownProfile(t.wire)
	if known == nil {
		s.add(probe(locks[0]))
	}
	s.add("release savepoint " + lockSavepoint)
	rows, err := t.wire.run(ctx, s.statements...)
	if err != nil {
		return elapsed(t.lockError(locks, s.failed(len(rows)), len(rows), err), began)
	}
	if refused := refusedAttempt(now, rows[s.first()]); refused >= 0 {
		return elapsed(lockError(t.wire, locks, refused, &dialect.Error{Kind: dialect.LockTimeout}), began)
	}
	t.answeredBy(rows[s.first()][2])
	if known == nil {
		_, err = learned(t.wire, rows[len(rows)-2])
	}
	return err
}

const lockSavepoint = "lockstep_lock"

// refuseSnapshot fails where the transaction reads from one snapshot, which a
// default or a SET TRANSACTION may have brought about unseen.
const refuseSnapshot = "select 1/(pg_catalog.current_setting('transaction_isolation') in ('read committed','read uncommitted'))::int"

func (t *tx) lockError(locks []dialect.Lock, failed, completed int, err error) error {
	undo := []string{"rollback to savepoint " + lockSavepoint, "release savepoint " + lockSavepoint}
	if completed == 0 {
		undo = nil // not even the savepoint was set: the transaction had failed before
	}
	var answer *pgconn.PgError
	if completed == 1 && errors.As(err, &answer) && answer.Code == "22012" {
		t.snapshot = true
		err = &dialect.Error{Kind: dialect.SnapshotTaken, Detail: "declare the lock with the unit"}
		failed = 0
	}
	return lockError(t.wire, locks, failed, err, undo...)
}

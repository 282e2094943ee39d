package postgres

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/lockstep-go/lockstep/dialect"
)

// cleanupTimeout bounds what must be undone on a connection after a failure,
// whatever the caller's ctx.
const cleanupTimeout = 10 * time.Second

type d struct{}

// Dialect returns the dialect of PostgreSQL for uow.New.
func Dialect() dialect.Dialect { return d{} }

// Name implements dialect.Dialect.
func (d) Name() string { return "postgres" }

// readsSnapshot reports whether a level reads everything from one snapshot.
func readsSnapshot(level sql.IsolationLevel) bool {
	return level == sql.LevelRepeatableRead || level == sql.LevelSnapshot || level == sql.LevelSerializable
}

// Begin implements dialect.Dialect.
func (d) Begin(ctx context.Context, conn *sql.Conn, b dialect.Begin) (dialect.Tx, error) {
	first, err := openingOf(b)
	if err != nil {
		return nil, err
	}
	w, err := connect(conn)
	if err != nil {
		return nil, err
	}
	t := newTx(conn, w, b)
	if t.native != nil {
		if err := t.native.stale(); err != nil {
			return nil, err
		}
	}
	switch {
	case len(b.Locks) == 0:
		err = undoBegin(w, t.beginPlainly(ctx, first, b))
	case t.snapshot:
		err = t.lockBeforeSnapshot(ctx, first, b)
	default:
		err = t.lockAtBegin(ctx, first, b)
		if errors.Is(err, errSnapshotDefault) {
			err = t.lockBeforeSnapshot(ctx, first, b)
			t.snapshot = true
		}
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// beginPlainly begins without locks. For a query that will write, the
// transaction's id is assigned now: the question for it costs nothing here.
func (t *tx) beginPlainly(ctx context.Context, first opening, b dialect.Begin) error {
	statements := first.statements()
	if t.readOnly || effectOf(b.Query) != writes {
		if t.native != nil {
			return t.native.begin(ctx, strings.Join(statements, ";"))
		}
		_, err := t.wire.run(ctx, statements...)
		return err
	}
	rows, err := t.wire.run(ctx, append(statements, t.assignment())...)
	if err == nil {
		t.learn(rows[len(statements)][0])
	}
	return err
}

// undoBegin rolls back what a failed begin has left; a connection that cannot
// be cleaned is poisoned.
func undoBegin(w wire, err error) error {
	if err == nil || dialect.IsPoisoned(err) {
		return err
	}
	if s := w.state(); s == dialect.Ended || s == dialect.Broken {
		return err
	}
	if _, behindWrapper := w.(plain); behindWrapper && classifiedAs(err, dialect.ConnectionLost) {
		return &dialect.Error{Kind: dialect.ConnectionLost, Err: err, Poisoned: true, Stale: true}
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	if _, undone := w.last(ctx, "rollback"); undone != nil {
		return &dialect.Error{Kind: d{}.Classify(err), Err: errors.Join(err, undone), Poisoned: true}
	}
	return err
}

package uow

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect"
)

// endUnit ends the outermost scope and with it the unit.
func (u *UnitOfWork) endUnit(ctx context.Context, vote error) error {
	t := u.unit
	if vote == nil {
		vote = t.doomedAlready()
	}
	if vote == nil {
		vote = t.beforeCommit(ctx)
	}
	outcome, err := t.conclude(ctx, vote)
	t.runAfter(outcome)
	return err
}

// doomedAlready spares the hooks of BeforeCommit a unit that will not commit. A
// unit in use elsewhere is left to conclude.
func (t *unit) doomedAlready() error {
	if !t.wire.TryLock() {
		return nil
	}
	defer t.wire.Unlock()
	return t.root.objection()
}

// conclude commits or rolls back, gives the connection and the gates back, and
// closes the unit for further use.
func (t *unit) conclude(ctx context.Context, vote error) (Outcome, error) {
	if !t.wire.TryLock() {
		vote = errors.Join(vote, ErrConcurrentUse)
		t.wire.Lock()
	}
	defer t.wire.Unlock()
	t.markEnded()
	defer t.letGo()
	if vote == nil {
		vote = endedContext(ctx, t.root.ctx)
	}
	if t.tx != nil && t.tx.State() == dialect.Ended {
		return t.inDoubt(errors.Join(ErrTransactionEnded, vote))
	}
	if vote == nil {
		vote = t.root.objection()
	}
	if t.tx == nil {
		return emptyOutcome(vote), vote
	}
	if vote != nil {
		return RolledBack, t.rollback(t.lostInRows(vote))
	}
	return t.commit()
}

// lostInRows gives a vote its kind where fn met the loss of the unit's connection
// in rows or a prepared statement.
func (t *unit) lostInRows(vote error) error {
	lost := t.tx.State() == dialect.Broken && t.core.dialect.Classify(vote) == dialect.ConnectionLost
	if t.unseen.Load() && t.tx.State() == dialect.StateUnknown {
		lost = errors.Is(vote, sql.ErrConnDone) || errors.Is(vote, driver.ErrBadConn)
	}
	if !lost || dialect.KindOf(vote) != dialect.Unknown {
		return vote
	}
	return &dialect.Error{Kind: dialect.ConnectionLost, Err: vote}
}

func emptyOutcome(vote error) Outcome {
	if vote == nil {
		return Committed
	}
	return RolledBack
}

func (t *unit) markEnded() {
	t.state.Lock()
	defer t.state.Unlock()
	t.pop(t.root)
	t.phase = concluded
}

// commit sends COMMIT and reports the true outcome.
func (t *unit) commit() (Outcome, error) {
	ctx := t.shield(t.core.commitTimeout)
	defer ctx.release()
	if o, ok := t.tx.(dialect.Observer); ok && t.unseen.Load() {
		_ = o.Observe("") // what prepared statements did was not seen
	}
	outcome, err := t.tx.Commit(ctx)
	if err == nil && outcome == Committed {
		return Committed, nil
	}
	if outcome != RolledBack {
		return t.inDoubt(err)
	}
	err = describe(ctx, t.core.dialect, err)
	t.discarded = t.discarded || connectionEnded(err)
	if dialect.KindOf(err) == dialect.NotCommitted {
		err = &UnexpectedRollbackError{Cause: err}
	}
	return RolledBack, err
}

// inDoubt poisons the connection: what the server still does with it must not
// meet the next user.
func (t *unit) inDoubt(err error) (Outcome, error) {
	t.discarded = true
	doubt := &InDoubtError{Label: t.opts.label, Err: err, core: t.core}
	if tx, ok := t.tx.(dialect.Identified); ok {
		doubt.ref = tx.Ref()
	}
	return InDoubt, doubt
}

// rollback undoes the transaction; its failure joins the cause. A connection
// that is gone needs none: the server rolls back by itself.
func (t *unit) rollback(cause error) error {
	t.rows.close()
	if t.discarded || t.tx.State() == dialect.Broken {
		t.discarded = true
		return cause
	}
	ctx := t.shield(t.core.rollbackTimeout)
	defer ctx.release()
	err := describe(ctx, t.core.dialect, t.tx.Rollback(ctx))
	if err == nil {
		return cause
	}
	t.discarded = true
	if connectionEnded(err) {
		return cause
	}
	return errors.Join(cause, err)
}

// letGo gives back what the unit holds of the process: first the connection,
// which whoever is let in by a gate will need.
func (t *unit) letGo() {
	t.dropConnection()
	t.state.Lock()
	t.book.truncate(0)
	t.state.Unlock()
}

func (t *unit) dropConnection() {
	if t.conn == nil {
		return
	}
	if t.unseen.Load() || t.tx.State() == dialect.Busy {
		t.releaseUnread()
	} else {
		t.core.release(t.conn, t.discarded)
	}
	t.conn, t.tx = nil, nil
	t.connected.Store(false)
	t.unsuspend()
}

// releaseUnread releases a connection that may have open rows, which database/sql
// waits for without end.
func (t *unit) releaseUnread() {
	done := make(chan struct{})
	go func(conn *sqlx.Conn, discard bool) {
		defer close(done)
		t.core.release(conn, discard)
	}(t.conn, t.discarded || t.tx.State() == dialect.Busy)
	limit := time.NewTimer(t.core.rollbackTimeout)
	defer limit.Stop()
	select {
	case <-done:
	case <-limit.C:
		t.core.log().Error("uow: rows left open keep the connection of an ended unit", "label", t.opts.label)
	}
}

// connectionEnded reports whether err says that its connection is of no use.
func connectionEnded(err error) bool {
	return errors.Is(err, dialect.ConnectionLost) || errors.Is(err, dialect.Unavailable) || dialect.IsPoisoned(err)
}

// poison makes database/sql discard a connection instead of pooling it.
func (c *core) poison(driverConn any) error {
	if d, ok := c.dialect.(dialect.Discarder); ok {
		d.Discard(driverConn)
	}
	return driver.ErrBadConn
}

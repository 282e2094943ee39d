package uow

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect"
)

// rowSource is what *sql.Rows, *sqlx.Rows and *sqlx.Row have in common:
// Columns fails once the rows are closed, which is the only sign of it that
// database/sql gives.
type rowSource interface {
	Columns() ([]string, error)
}

// handedRows are rows that the caller has to close, or a row that it has to
// scan. The end of their ctx closes those that nothing else can.
type handedRows struct {
	source rowSource // nil for *sql.Row, which shows nothing
	cancel context.CancelFunc
}

// openRows remembers what was handed out and not seen closed yet.
type openRows struct{ handed []handedRows }

func (o *openRows) add(r rowSource, cancel context.CancelFunc) {
	o.handed = append(o.handed, handedRows{r, cancel})
}

// any reports whether rows are known to be open, and forgets those known to be
// closed. state is that of the transaction.
func (o *openRows) any(state dialect.State) bool {
	known := state == dialect.Busy
	o.handed = slices.DeleteFunc(o.handed, func(h handedRows) bool {
		closed := state != dialect.Busy && state != dialect.StateUnknown
		if h.source != nil {
			_, err := h.source.Columns()
			closed = err != nil
			known = known || !closed
		}
		if closed {
			h.cancel()
		}
		return closed
	})
	return known
}

// close closes what is left open. Rows that are not cancelled may be read to
// their end first, however long that takes.
func (o *openRows) close() {
	for _, h := range o.handed {
		h.cancel()
		if c, ok := h.source.(interface{ Close() error }); ok {
			_ = c.Close()
		}
	}
	o.handed = nil
}

// stuck reports whether rows of a prepared statement keep the connection from
// answering, where the driver does not tell its state. database/sql then waits
// for their end without limit, so that the question is asked beside this
// goroutine; a connection that is stuck is never used again.
func (t *unit) stuck() bool {
	if !t.unseen.Load() || t.tx == nil || t.discarded || t.tx.State() != dialect.StateUnknown {
		return false
	}
	ctx := t.shield(t.core.rollbackTimeout)
	defer ctx.release()
	asked := make(chan error, 1)
	go func(conn *sqlx.Conn) {
		_, err := conn.ExecContext(ctx, "select 1")
		asked <- err
	}(t.conn)
	select {
	case <-asked: // what it says is for the next statement to find
		return false
	case <-ctx.Done():
	}
	t.discarded = true
	t.core.log().Error("uow: rows left open keep the connection of an ended unit", "label", t.opts.label)
	t.state.Lock()
	defer t.state.Unlock()
	t.root.doom(ErrRowsOpen)
	return true
}

// refusal is a database that answers every request with one error. There is no
// other way to make a row that carries it.
type refusal struct{ err error }

func (r refusal) Connect(context.Context) (driver.Conn, error) { return nil, r.err }
func (r refusal) Driver() driver.Driver                        { return r }
func (r refusal) Open(string) (driver.Conn, error)             { return nil, r.err }

func refusedRow(ctx context.Context, err error) *sql.Row {
	db := sql.OpenDB(refusal{err})
	defer db.Close()
	return db.QueryRowContext(context.WithoutCancel(ctx), "")
}

func (u *UnitOfWork) refusedRowx(ctx context.Context, err error) *sqlx.Row {
	db := sqlx.NewDb(sql.OpenDB(refusal{err}), u.DriverName())
	defer db.Close()
	return db.QueryRowxContext(context.WithoutCancel(ctx), "")
}

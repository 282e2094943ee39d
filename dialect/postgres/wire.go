package postgres

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/lockstep-go/lockstep/dialect"
)

// row is the first row of a statement's result, as text. NULL reads as "".
type row []string

// wire sends the library's own statements, which have no arguments.
type wire interface {
	// run sends statements in as few round trips as it can and stops at the
	// first that fails. It returns a row for each that did not. When ctx ends,
	// the statement under way is cancelled and the connection kept if possible.
	run(ctx context.Context, statements ...string) ([]row, error)
	// last is run for what must not be cancelled half-way: ctx is only a limit,
	// after which the connection is closed.
	last(ctx context.Context, statements ...string) ([]row, error)
	// state is what the driver knows of the transaction.
	state() dialect.State
}

// connect finds the fastest way to talk over conn.
func connect(conn *sql.Conn) (wire, error) {
	var own *native
	err := conn.Raw(func(driverConn any) error {
		if c, ok := driverConn.(*stdlib.Conn); ok {
			own = &native{conn, c.Conn(), linkOf(c.Conn())}
		}
		return nil
	})
	if own == nil {
		return plain{conn}, err
	}
	return own, err
}

// native talks through the driver's own connection.
type native struct {
	conn *sql.Conn
	pgx  *pgx.Conn
	link *link
}

// use runs f alone on the connection: database/sql may close rows that were left
// open from a goroutine of its own, whenever their ctx ends. Where f does not come
// back, because a hook on notices panics for example, the connection is closed: a
// pgxpool would lend it in the middle of what it was doing.
func (n *native) use(f func(*pgx.Conn) error) error {
	var err error
	// What f returns must not pass through Raw, which would act on ErrBadConn.
	raw := n.conn.Raw(func(any) error {
		returned := false
		defer func() {
			if !returned {
				hangUp(n.pgx.PgConn())
			}
		}()
		err = f(n.pgx)
		returned = true
		return nil
	})
	if raw != nil {
		return raw
	}
	return err
}

// stale returns an error if the server has left the connection while it idled.
func (n *native) stale() error {
	var dead bool
	err := n.use(func(c *pgx.Conn) error {
		dead = c.IsClosed() || n.link.left != nil && n.link.left()
		return nil
	})
	if err == nil && !dead {
		return nil
	}
	return &dialect.Error{Kind: dialect.ConnectionLost, Err: err, Poisoned: true, Stale: true}
}

// Discard implements dialect.Discarder: a pgxpool below database/sql keeps what
// is idle.
func (d) Discard(driverConn any) {
	if c, ok := driverConn.(*stdlib.Conn); ok {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = c.Conn().Close(ctx)
	}
}

func (n *native) state() dialect.State {
	state := dialect.Broken
	_ = n.use(func(c *pgx.Conn) error {
		state = stateOf(c.PgConn())
		return nil
	})
	return state
}

func stateOf(pg *pgconn.PgConn) dialect.State {
	switch {
	case pg.IsClosed():
		return dialect.Broken
	case pg.IsBusy():
		return dialect.Busy
	}
	switch pg.TxStatus() {
	case 'T':
		return dialect.Active
	case 'E':
		return dialect.Failed
	}
	return dialect.Ended
}

func (n *native) run(ctx context.Context, statements ...string) ([]row, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var rows []row
	err := n.use(func(c *pgx.Conn) (err error) {
		rows, err = sendCancellable(ctx, c.PgConn(), statements)
		return err
	})
	return rows, err
}

func sendCancellable(ctx context.Context, pg *pgconn.PgConn, statements []string) ([]row, error) {
	if ctx.Done() == nil {
		return send(pg, statements)
	}
	var rows []row
	err := cancellably(ctx, pg, func() (err error) {
		rows, err = send(pg, statements)
		return err
	})
	return rows, err
}

// cancellably does what talks to the server, and asks the server to cancel it
// when ctx ends.
func cancellably(ctx context.Context, pg *pgconn.PgConn, talk func() error) error {
	if ctx.Done() == nil {
		return talk()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx) // nothing was sent
	}
	cancel := &canceller{conn: pg, done: make(chan struct{})}
	stop := context.AfterFunc(ctx, cancel.cancel)
	returned := false
	defer func() {
		if !returned && !stop() {
			<-cancel.done
		}
	}()
	err := talk()
	returned = true
	if !stop() {
		<-cancel.done
		err = cancel.settle(err)
	}
	return err
}

// begin is run for statements whose rows tell nothing.
func (n *native) begin(ctx context.Context, statements string) error {
	return n.use(func(c *pgx.Conn) error {
		return cancellably(ctx, c.PgConn(), func() error {
			_, err := n.link.talk.ask(c.PgConn(), statements, answers{})
			return err
		})
	})
}

// commit returns the tag of the answer.
func (n *native) commit(ctx context.Context) (tag string, err error) {
	err = n.use(func(c *pgx.Conn) error {
		return within(ctx, c.PgConn(), func() error {
			_, err := n.link.talk.ask(c.PgConn(), "commit", answers{tag: func(_ int, answer []byte) {
				if tag = "COMMIT"; string(answer) != tag {
					tag = string(answer)
				}
			}})
			return err
		})
	})
	return tag, err
}

func (n *native) last(ctx context.Context, statements ...string) ([]row, error) {
	var rows []row
	err := n.use(func(c *pgx.Conn) (err error) {
		rows, err = sendWithin(ctx, c.PgConn(), statements)
		return err
	})
	return rows, err
}

func sendWithin(ctx context.Context, pg *pgconn.PgConn, statements []string) (rows []row, err error) {
	err = within(ctx, pg, func() (err error) {
		rows, err = send(pg, statements)
		return err
	})
	return rows, err
}

// within does what talks to the server, and closes the connection when ctx's
// deadline has passed.
func within(ctx context.Context, pg *pgconn.PgConn, talk func() error) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		return talk()
	}
	if err := pg.Conn().SetDeadline(deadline); err != nil {
		return err
	}
	err := talk()
	if !pg.IsClosed() {
		err = errors.Join(err, pg.Conn().SetDeadline(time.Time{}))
	}
	return err
}

// send uses the simple protocol: one message, and the server leaves out what
// comes after a failure.
func send(pg *pgconn.PgConn, statements []string) ([]row, error) {
	reader := pg.Exec(context.Background(), strings.Join(statements, ";"))
	var rows []row
	for reader.NextResult() {
		r, err := firstRow(reader.ResultReader())
		if err != nil {
			break // Close reports it
		}
		rows = append(rows, r)
	}
	return rows, reader.Close()
}

func firstRow(reader *pgconn.ResultReader) (row, error) {
	var first row
	for reader.NextRow() {
		if first == nil {
			for _, value := range reader.Values() {
				first = append(first, string(value))
			}
		}
	}
	tag, err := reader.Close()
	if first == nil {
		first = row{tag.String()}
	}
	return first, err
}

// canceller asks the server to cancel what its connection is doing, whatever
// the driver does by itself when a ctx ends.
type canceller struct {
	conn *pgconn.PgConn
	done chan struct{}
}

func (c *canceller) cancel() {
	defer close(c.done)
	limit := time.Now().Add(cancelGrace)
	_ = c.conn.Conn().SetDeadline(limit)
	ctx, stop := context.WithDeadline(context.Background(), limit)
	defer stop()
	_ = c.conn.CancelRequest(ctx)
}

// settle makes sure that a late cancel cannot hit a later statement: unless the
// answer shows that it has arrived, the connection is not used again.
func (c *canceller) settle(err error) error {
	if !c.conn.IsClosed() {
		_ = c.conn.Conn().SetDeadline(time.Time{})
	}
	var answer *pgconn.PgError
	if errors.As(err, &answer) && answer.Code == "57014" {
		return err
	}
	return &dialect.Error{Kind: dialect.Cancelled, Err: err, Poisoned: true}
}

// plain talks through database/sql alone, a round trip a statement.
type plain struct{ conn *sql.Conn }

func (plain) state() dialect.State { return dialect.StateUnknown }

func (p plain) last(ctx context.Context, statements ...string) ([]row, error) {
	return p.run(ctx, statements...)
}

func (p plain) run(ctx context.Context, statements ...string) ([]row, error) {
	var rows []row
	for _, s := range statements {
		r, err := p.query(ctx, s)
		if err != nil {
			return rows, err
		}
		rows = append(rows, r)
	}
	return rows, nil
}

func (p plain) query(ctx context.Context, statement string) (row, error) {
	if !strings.HasPrefix(statement, "select ") {
		_, err := p.conn.ExecContext(ctx, statement)
		return nil, err
	}
	rows, err := p.conn.QueryContext(ctx, statement)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	values, targets := make([]sql.NullString, len(columns)), make([]any, len(columns))
	for i := range values {
		targets[i] = &values[i]
	}
	first := make(row, len(columns))
	if rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return nil, err
		}
		for i, v := range values {
			first[i] = v.String
		}
	}
	return first, errors.Join(rows.Err(), rows.Close())
}

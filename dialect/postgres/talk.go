package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// talk sends what is queued on a connection in one flush and reads the answers.
// It is pgconn's own protocol layer without the objects that pgconn and pgx make
// for each statement, which cost more than a round trip within one host. The
// messages are fields so that they are not allocated anew.
type talk struct {
	bind    pgproto3.Bind
	execute pgproto3.Execute
	close   pgproto3.Close
	sync    pgproto3.Sync
	query   pgproto3.Query
}

// smallEnough is what may be sent without reading meanwhile: more than the
// buffers of both ends hold could leave both ends writing.
const smallEnough = 32 << 10

// run queues a prepared statement. The values are copied.
func (t *talk) run(pg *pgconn.PgConn, statement string, values [][]byte, formats, resultFormats []int16) {
	t.bind = pgproto3.Bind{
		PreparedStatement:    statement,
		ParameterFormatCodes: formats,
		Parameters:           values,
		ResultFormatCodes:    resultFormats,
	}
	pg.Frontend().SendBind(&t.bind)
	pg.Frontend().SendExecute(&t.execute)
	t.bind = pgproto3.Bind{}
}

// answers are called with what comes back. Each is optional.
type answers struct {
	// row gets the first row of the i-th statement; its values are gone with
	// the next message.
	row func(i int, values [][]byte)
	// tag gets the command tag of the i-th statement, likewise.
	tag func(i int, tag []byte)
}

// finish sends what was queued and reads until the server is ready. The server
// leaves out what comes after a failure, so that nothing runs outside of a
// transaction whose BEGIN failed. The last statement's portal is closed: its
// snapshot would hold back vacuum, and keep who builds an index concurrently
// waiting, for as long as the transaction idles. done is how many statements
// have succeeded.
func (t *talk) finish(pg *pgconn.PgConn, a answers) (done int, err error) {
	t.close.ObjectType = 'P'
	pg.Frontend().SendClose(&t.close)
	pg.Frontend().SendSync(&t.sync)
	return t.flush(pg, a)
}

// ask is finish for one message of the simple protocol.
func (t *talk) ask(pg *pgconn.PgConn, text string, a answers) (done int, err error) {
	t.query.String = text
	pg.Frontend().SendQuery(&t.query)
	return t.flush(pg, a)
}

func (t *talk) flush(pg *pgconn.PgConn, a answers) (done int, err error) {
	if err := pg.Frontend().Flush(); err != nil {
		hangUp(pg)
		return 0, &brokenOff{err}
	}
	var failure error
	first := true
	for {
		message, err := pg.ReceiveMessage(context.Background())
		if err != nil {
			hangUp(pg)
			return done, firstOf(failure, &brokenOff{err})
		}
		switch m := message.(type) {
		case *pgproto3.DataRow:
			if first && a.row != nil {
				a.row(done, m.Values)
			}
			first = false
		case *pgproto3.CommandComplete:
			if a.tag != nil {
				a.tag(done, m.CommandTag)
			}
			done, first = done+1, true
		case *pgproto3.EmptyQueryResponse:
			done, first = done+1, true
		case *pgproto3.ErrorResponse:
			failure = firstOf(failure, pgconn.ErrorResponseToPgError(m))
		case *pgproto3.ReadyForQuery:
			return done, failure
		}
	}
}

// brokenOff is the end of a conversation in its middle. pgconn calls any failure
// to receive safe to retry, which it is not once something was sent.
type brokenOff struct{ err error }

func (e *brokenOff) Error() string { return e.err.Error() }

// Unwrap gives pgconn's own error.
func (e *brokenOff) Unwrap() error { return e.err }

// SafeToRetry is what pgconn.SafeToRetry asks.
func (e *brokenOff) SafeToRetry() bool { return false }

// hangUp closes a connection whose conversation broke off in the middle.
func hangUp(pg *pgconn.PgConn) {
	if !pg.IsClosed() {
		_ = pg.Conn().SetDeadline(time.Now()) // no last word to one who does not listen
		_ = pg.Close(context.Background())
	}
}

package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"os"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lockstep-go/lockstep/dialect"
)

const idleInTransaction = "25P03"

// kinds maps the SQLSTATEs that mean more than a refusal.
var kinds = map[string]dialect.Kind{
	"25006":           dialect.ReadOnly,
	"25P02":           dialect.Aborted,
	idleInTransaction: dialect.IdleTimeout,
	"40001":           dialect.Serialization,
	"40P01":           dialect.Deadlock,
	"53200":           dialect.OutOfLocks,
	"53300":           dialect.Unavailable,
	"55P03":           dialect.LockTimeout,
	"57014":           dialect.Cancelled,
	"57P03":           dialect.Unavailable,
}

// Classify implements dialect.Dialect.
func (d) Classify(err error) dialect.Kind {
	var connecting *pgconn.ConnectError
	var answer *pgconn.PgError
	switch {
	case err == nil:
		return dialect.Unknown
	case errors.As(err, &connecting):
		return dialect.Unavailable
	case errors.As(err, &answer):
		return classifyAnswer(answer)
	case isContext(err):
		return dialect.Unknown
	case lostConnection(err):
		return dialect.ConnectionLost
	}
	return dialect.Unknown
}

// aboutSession are kinds that only a fatal answer can have.
var aboutSession = map[dialect.Kind]bool{dialect.IdleTimeout: true, dialect.Unavailable: true}

func classifyAnswer(e *pgconn.PgError) dialect.Kind {
	kind, ok := kinds[e.Code]
	switch {
	case isFatal(e) && !ok:
		return dialect.ConnectionLost
	case !isFatal(e) && (!ok || aboutSession[kind]):
		return dialect.Refused // of another session, when it comes through one's own
	}
	return kind
}

// isFatal reports whether the server ended the connection with this answer, so
// that it says nothing about the statement it came in place of.
func isFatal(e *pgconn.PgError) bool {
	severity := e.SeverityUnlocalized
	if severity == "" {
		severity = e.Severity
	}
	return severity == "FATAL" || severity == "PANIC"
}

// isContext reports whether err is a ctx's own and not the driver's word for a
// connection that it closed because of one.
func isContext(err error) bool {
	return (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) && !pgconn.Timeout(err)
}

func lostConnection(err error) bool {
	for _, lost := range []error{
		driver.ErrBadConn, sql.ErrConnDone, pgconn.ErrConnClosed, net.ErrClosed, io.EOF, io.ErrUnexpectedEOF,
	} {
		if errors.Is(err, lost) {
			return true
		}
	}
	// Not net.Error: context.DeadlineExceeded is one.
	var network *net.OpError
	return errors.As(err, &network) || errors.Is(err, os.ErrDeadlineExceeded) || pgconn.Timeout(err)
}

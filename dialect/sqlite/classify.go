package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"

	sqlite "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"github.com/lockstep-go/lockstep/dialect"
)

// kinds are what result codes mean beyond a refusal, extended ones before those
// that they extend.
var kinds = map[int]dialect.Kind{
	codes.SQLITE_BUSY:           dialect.LockTimeout,
	codes.SQLITE_BUSY_SNAPSHOT:  dialect.Serialization,
	codes.SQLITE_PROTOCOL:       dialect.LockTimeout, // too many were at the log's locks at once
	codes.SQLITE_READONLY:       dialect.ReadOnly,
	codes.SQLITE_INTERRUPT:      dialect.Cancelled,
	codes.SQLITE_ABORT_ROLLBACK: dialect.Aborted,
	codes.SQLITE_CANTOPEN:       dialect.Unavailable,
}

// Classify implements dialect.Dialect.
func (d) Classify(err error) dialect.Kind { return classify(err) }

func classify(err error) dialect.Kind {
	var known *dialect.Error
	var answer *sqlite.Error
	switch {
	case err == nil:
		return dialect.Unknown
	case errors.As(err, &known):
		return known.Kind
	case errors.As(err, &answer):
		if kind, ok := kinds[answer.Code()]; ok {
			return kind
		}
		if kind, ok := kinds[answer.Code()&0xff]; ok {
			return kind
		}
		return dialect.Refused
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return dialect.Unknown
	case errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone):
		return dialect.ConnectionLost
	}
	return dialect.Unknown
}

// isBusy reports whether another connection had what err says could not be had.
func isBusy(err error) bool {
	var answer *sqlite.Error
	return errors.As(err, &answer) && (answer.Code()&0xff == codes.SQLITE_BUSY || answer.Code()&0xff == codes.SQLITE_PROTOCOL)
}

// isAnswer reports whether the engine has said err.
func isAnswer(err error) bool {
	var answer *sqlite.Error
	return errors.As(err, &answer)
}

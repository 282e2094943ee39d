package mssql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"os"

	mssql "github.com/microsoft/go-mssqldb"

	"github.com/lockstep-go/lockstep/dialect"
)

// fatalClass is the severity from which on the server ends the connection.
const fatalClass = 20

// numbers are the errors that mean more than a refusal, by their kind. From
// Microsoft's list of database engine events and errors.
var numbers = map[dialect.Kind][]int32{
	dialect.Deadlock:   {1205},
	dialect.OutOfLocks: {1204},
	dialect.LockTimeout: {
		1222, // SET LOCK_TIMEOUT ran out
	},
	dialect.Serialization: {
		3960, 3966, // snapshot isolation: update conflict, version lost
		41301, 41302, 41305, 41325, 41839, // memory-optimized tables
	},
	dialect.Aborted: {
		0,                    // the driver's own guard
		266, 628, 3902, 3903, // no transaction, or another count than before
		3930, 3931, 3998, 6401, // a doomed transaction; an unknown savepoint
	},
	dialect.ConnectionLost: {
		596, 3971, 3980, 3989, // the session, or its transaction, is not what the driver takes it for
	},
	dialect.ReadOnly: {3906, 3908},
	dialect.Unavailable: {
		978,                                            // a secondary replica for clients of read-only intent
		4221, 10928, 10929, 40143, 40197, 40501, 40540, // Azure SQL: throttled or moving
		40613, 42108, 42109, 49918, 49919, 49920,
	},
	dialect.Unsupported: {2812}, // no such procedure
}

var kinds = byNumber()

func byNumber() map[int32]dialect.Kind {
	kinds := make(map[int32]dialect.Kind)
	for kind, all := range numbers {
		for _, number := range all {
			kinds[number] = kind
		}
	}
	return kinds
}

// Classify implements dialect.Dialect.
func (d) Classify(err error) dialect.Kind { return classify(err) }

func classify(err error) dialect.Kind {
	var answer mssql.Error
	var ended mssql.ServerError
	switch {
	case err == nil:
		return dialect.Unknown
	case errors.As(err, &ended):
		return dialect.ConnectionLost
	case errors.As(err, &answer):
		return classifyAnswer(answer)
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return dialect.Unknown
	case lostConnection(err):
		return dialect.ConnectionLost
	}
	return dialect.Unknown
}

// classifyAnswer looks at all errors of a reply: the driver's own fields are
// those of the last, which seldom says why.
func classifyAnswer(e mssql.Error) dialect.Kind {
	all := e.All
	if len(all) == 0 {
		all = []mssql.Error{e}
	}
	kind := dialect.Refused
	for _, one := range all {
		known, ok := kinds[one.Number]
		switch {
		case ok && (kind == dialect.Refused || kind == dialect.Aborted):
			kind = known // what led to an abort tells more than the abort
		case !ok && one.Class >= fatalClass:
			return dialect.ConnectionLost
		}
	}
	return kind
}

func lostConnection(err error) bool {
	for _, lost := range []error{
		driver.ErrBadConn, sql.ErrConnDone, net.ErrClosed, io.EOF, io.ErrUnexpectedEOF, os.ErrDeadlineExceeded,
	} {
		if errors.Is(err, lost) {
			return true
		}
	}
	var network *net.OpError
	var stream mssql.StreamError
	return errors.As(err, &network) || errors.As(err, &stream)
}

// kindOf is the kind that err has or would be given.
func kindOf(err error) dialect.Kind {
	if kind := dialect.KindOf(err); kind != dialect.Unknown {
		return kind
	}
	return classify(err)
}

package mssql

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	mssql "github.com/microsoft/go-mssqldb"

	"github.com/lockstep-go/lockstep/dialect"
)

func number(all ...int32) mssql.Error {
	var e mssql.Error
	for _, n := range all {
		e.Number, e.Class = n, 16
		e.All = append(e.All, mssql.Error{Number: n, Class: 16})
	}
	return e
}

func TestClassify(t *testing.T) {
	t.Parallel()
	fatal := mssql.Error{Number: 823, Class: 24}
	for what, c := range map[string]struct {
		err  error
		want dialect.Kind
	}{
		"nil":                  {nil, dialect.Unknown},
		"own":                  {errors.New("other"), dialect.Unknown},
		"context":              {context.Canceled, dialect.Unknown},
		"deadline":             {context.DeadlineExceeded, dialect.Unknown},
		"deadlock":             {number(1205), dialect.Deadlock},
		"wrapped":              {fmt.Errorf("saving: %w", number(3960)), dialect.Serialization},
		"in memory":            {number(41302), dialect.Serialization},
		"lock timeout":         {number(1222), dialect.LockTimeout},
		"no locks left":        {number(1204), dialect.OutOfLocks},
		"duplicate key":        {number(2627), dialect.Refused},
		"terminated statement": {number(2627, 3621), dialect.Refused},
		"first of several":     {number(1205, 3902), dialect.Deadlock},
		"reason after doom":    {number(3930, 1205), dialect.Deadlock},
		"read-only database":   {number(3906), dialect.ReadOnly},
		"guard":                {mssql.Error{}, dialect.Aborted},
		"doomed":               {number(3998), dialect.Aborted},
		"lost descriptor":      {number(3926, 3971), dialect.ConnectionLost},
		"other count":          {number(3989), dialect.ConnectionLost},
		"throttled":            {number(40501), dialect.Unavailable},
		"fatal":                {fatal, dialect.ConnectionLost},
		"server error":         {mssql.ServerError{}, dialect.ConnectionLost},
		"stream":               {mssql.StreamError{InnerError: io.EOF}, dialect.ConnectionLost},
		"network":              {&net.OpError{Op: "read", Err: io.EOF}, dialect.ConnectionLost},
		"bad connection":       {driver.ErrBadConn, dialect.ConnectionLost},
		"end":                  {io.EOF, dialect.ConnectionLost},
	} {
		if got := Dialect().Classify(c.err); got != c.want {
			t.Errorf("%s: %v, want %v", what, got, c.want)
		}
	}
}

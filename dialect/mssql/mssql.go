package mssql

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/lockstep-go/lockstep/dialect"
)

// d implements dialect.Dialect, Inspector and Unwrapper.
type d struct{ settings }

type settings struct {
	outcomes string // quoted name of the outcome table; empty for none
	granted  func(lock dialect.Lock, waited bool)
	err      error
}

// Option changes what Dialect returns.
type Option func(*settings)

// WithOutcomeTable makes every unit that may have written leave a row in the
// named table, just before its COMMIT and in the same transaction, at the cost
// of one round trip. A COMMIT whose reply was lost can then be resolved. The
// name is that of a table that CreateOutcomeTable has made, in one or two parts.
func WithOutcomeTable(name string) Option {
	return func(s *settings) { s.outcomes, s.err = quoteTable(name) }
}

// OnGrant sets a function that is told of every lock that the server granted,
// and whether it had to be waited for there: sp_getapplock tells contention. It
// is called on the unit's goroutine and should be quick.
func OnGrant(f func(lock dialect.Lock, waited bool)) Option {
	return func(s *settings) { s.granted = f }
}

// Dialect returns the dialect of SQL Server. What is wrong with an option is
// reported by the first use of the dialect.
func Dialect(opts ...Option) dialect.Dialect {
	var s settings
	for _, o := range opts {
		o(&s)
	}
	if s.outcomes != "" {
		return recorded{d{s}}
	}
	return d{s}
}

// Name implements dialect.Dialect.
func (d) Name() string { return "mssql" }

// levels are the isolations that SQL Server has.
var levels = map[sql.IsolationLevel]sql.IsolationLevel{
	// The level of a session outlives its transactions: never the session's own.
	sql.LevelDefault:         sql.LevelReadCommitted,
	sql.LevelReadUncommitted: sql.LevelReadUncommitted,
	sql.LevelReadCommitted:   sql.LevelReadCommitted,
	sql.LevelRepeatableRead:  sql.LevelRepeatableRead,
	sql.LevelSnapshot:        sql.LevelSnapshot,
	sql.LevelSerializable:    sql.LevelSerializable,
}

// Begin implements dialect.Dialect.
func (d d) Begin(ctx context.Context, conn *sql.Conn, b dialect.Begin) (dialect.Tx, error) {
	level, ok := levels[b.Isolation]
	switch {
	case d.err != nil:
		return nil, d.err
	case !ok:
		return nil, unsupported("SQL Server has no isolation level " + b.Isolation.String())
	case b.ReadOnly:
		return nil, unsupported("SQL Server has no read-only transactions")
	}
	t := &tx{conn: conn, options: d.settings, level: level}
	err := t.use(func(c *Conn) error {
		if err := c.begin(ctx, level); err != nil {
			return err
		}
		err := t.takeFirst(ctx, c, b)
		if err == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return c.abandon(err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// takeFirst takes the declared locks and sets the label, in one round trip;
// where there is neither, in none.
func (t *tx) takeFirst(ctx context.Context, c *Conn, b dialect.Begin) error {
	if len(b.Locks) == 0 && b.Label == "" && !c.labelled {
		return nil
	}
	text := "SET XACT_ABORT ON;" + labelStatement(b.Label)
	if len(b.Locks) == 0 {
		if err := c.exec(ctx, text); err != nil {
			return err
		}
		c.abort, c.labelled = abortOn, b.Label != ""
		return nil
	}
	if err := t.takeLocks(ctx, c, text, b.Locks, true); err != nil {
		return err
	}
	c.abort, c.labelled = abortOn, b.Label != ""
	return nil
}

// labelStatement makes the label visible as sys.dm_exec_sessions.context_info.
func labelStatement(label string) string {
	if label == "" {
		return "SET CONTEXT_INFO 0x;"
	}
	return fmt.Sprintf("SET CONTEXT_INFO 0x%x;", label)
}

func unsupported(detail string) error {
	return &dialect.Error{Kind: dialect.Unsupported, Detail: detail}
}

// DriverConn implements dialect.Unwrapper.
func (d) DriverConn(conn any) any {
	if c, ok := conn.(*Conn); ok {
		return c.Conn
	}
	return conn
}

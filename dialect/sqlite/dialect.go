package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/lockstep-go/lockstep/dialect"
)

// d implements dialect.Dialect, Inspector and Unwrapper.
type d struct{ settings }

type settings struct {
	writeWait time.Duration
	err       error
}

// DefaultWriteWait is how long a unit waits for another writer unless WriteWait
// says otherwise.
const DefaultWriteWait = time.Minute

// Option changes what Dialect returns.
type Option func(*settings)

// WriteWait sets how long a unit that is about to begin waits for whoever writes
// the database, if its ctx does not end before. It must be positive.
func WriteWait(limit time.Duration) Option {
	return func(s *settings) {
		s.writeWait = limit
		if limit <= 0 {
			s.err = unsupported("sqlite: WriteWait of " + limit.String())
		}
	}
}

// Dialect returns the dialect of SQLite. What is wrong with an option is
// reported by the first use of the dialect.
func Dialect(opts ...Option) dialect.Dialect {
	s := settings{writeWait: DefaultWriteWait}
	for _, o := range opts {
		o(&s)
	}
	return d{s}
}

// Name implements dialect.Dialect.
func (d) Name() string { return "sqlite" }

// beginAt says how a unit of an isolation is begun. SQLite's transactions are
// serializable, which meets every weaker level; an IMMEDIATE one also sees
// everything that was committed before it began.
func beginAt(level sql.IsolationLevel, readOnly bool) (string, bool) {
	switch {
	case level == sql.LevelSnapshot, level <= sql.LevelSerializable && readOnly:
		return beginReading, true
	case level <= sql.LevelSerializable:
		return beginWriting, true
	}
	return "", false
}

// Begin implements dialect.Dialect. With locks it begins no transaction of the
// engine: the first statement does, after the locks were granted.
func (d d) Begin(ctx context.Context, conn *sql.Conn, b dialect.Begin) (dialect.Tx, error) {
	begin, ok := beginAt(b.Isolation, b.ReadOnly)
	switch {
	case d.err != nil:
		return nil, d.err
	case !ok:
		return nil, unsupported("SQLite has no isolation level " + b.Isolation.String())
	}
	if b.Idle {
		begin = beginReading // others write while it holds its locks
	}
	t := &tx{conn: conn}
	err := t.use(func(c *Conn) error {
		if c.unit != nil {
			return &dialect.Error{Kind: dialect.ConnectionLost, Detail: "a unit was left open on the connection", Poisoned: true}
		}
		c.unit = &unit{begin: begin, readOnly: b.ReadOnly, idle: b.Idle, label: b.Label, limit: d.writeWait, id: b.Unit, within: b.Within}
		err := c.first(ctx, b)
		if err == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err == nil {
			t.session = c.unit.sessionID()
			return nil
		}
		return c.abandon(err)
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

func (c *Conn) first(ctx context.Context, b dialect.Begin) error {
	if len(b.Locks) > 0 {
		return c.acquire(ctx, b.Locks)
	}
	if b.Idle {
		return nil
	}
	return c.start(ctx)
}

func (u *unit) sessionID() string {
	if u.session == nil {
		return ""
	}
	return u.session.ID()
}

// abandon undoes a begin that failed.
func (c *Conn) abandon(cause error) error {
	err := c.rollback()
	if err == nil {
		return cause
	}
	var refused *dialect.LockError
	poisoned := &dialect.Error{Kind: classify(cause), Err: errors.Join(cause, err), Poisoned: true}
	if errors.As(cause, &refused) {
		refused.Err = poisoned
		return refused
	}
	return poisoned
}

// DriverConn implements dialect.Unwrapper.
func (d) DriverConn(conn any) any {
	c, ok := conn.(*Conn)
	if !ok {
		return conn
	}
	if t, ok := c.engine.(traced); ok {
		return t.engine
	}
	return c.engine
}

// Inspect implements dialect.Inspector.
func (d) Inspect(ctx context.Context, conn *sql.Conn, names []string) (all []dialect.LockStatus, err error) {
	err = use(conn, func(c *Conn) error {
		all, err = c.place.locks.Inspect(ctx, names)
		return err
	})
	return all, err
}

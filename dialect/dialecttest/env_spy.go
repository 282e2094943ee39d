package dialecttest

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"sync"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/uow"
)

// spy passes on what units ask of the dialect under test and notes it, save
// for queries, which do not go through the dialect.
type spy struct {
	dialect.Dialect
	before func(ctx context.Context, call string) // nil, or sees a call before it is passed on
	answer func(call string, err error) error     // nil, or replaces a call's error
	// doubtful makes every commit that the server acknowledges look in doubt.
	doubtful bool

	mu    sync.Mutex
	calls []string
}

// spied returns a Manager on db whose dialect is watched. What it is to do
// beyond that is set before its first unit.
func (e *env) spied(db *sqlx.DB, opts ...uow.ManagerOption) (*spy, *uow.Manager) {
	s := &spy{Dialect: e.h.Dialect()}
	return s, uow.New(db, s, opts...)
}

// pass notes a call, makes it, and returns what the unit gets to see of it.
func (s *spy) pass(ctx context.Context, call string, f func() error) error {
	s.mu.Lock()
	s.calls = append(s.calls, call)
	s.mu.Unlock()
	if s.before != nil {
		s.before(ctx, call)
	}
	err := f()
	if s.answer != nil {
		return s.answer(call, err)
	}
	return err
}

// called returns the calls so far that begin with one of the verbs.
func (s *spy) called(verbs ...string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.calls), func(call string) bool {
		verb, _, _ := strings.Cut(call, " ")
		return !slices.Contains(verbs, verb)
	})
}

// Discard implements dialect.Discarder where the dialect does.
func (s *spy) Discard(driverConn any) {
	if d, ok := s.Dialect.(dialect.Discarder); ok {
		d.Discard(driverConn)
	}
}

// Begin implements dialect.Dialect.
func (s *spy) Begin(ctx context.Context, conn *sql.Conn, b dialect.Begin) (tx dialect.Tx, err error) {
	err = s.pass(ctx, "begin", func() error {
		tx, err = s.Dialect.Begin(ctx, conn, b)
		return err
	})
	if tx == nil {
		return nil, err
	}
	return &spyTx{tx, s}, err
}

// spyTx is a transaction that a spy watches.
type spyTx struct {
	dialect.Tx
	spy *spy
}

// Exec implements dialect.Tx.
func (t *spyTx) Exec(ctx context.Context, query string, args ...any) (result sql.Result, err error) {
	err = t.spy.pass(ctx, "exec", func() error {
		result, err = t.Tx.Exec(ctx, query, args...)
		return err
	})
	return result, err
}

// Savepoint implements dialect.Tx.
func (t *spyTx) Savepoint(ctx context.Context, name string) error {
	return t.spy.pass(ctx, "savepoint "+name, func() error { return t.Tx.Savepoint(ctx, name) })
}

// RollbackTo implements dialect.Tx.
func (t *spyTx) RollbackTo(ctx context.Context, name string) error {
	return t.spy.pass(ctx, "undo "+name, func() error { return t.Tx.RollbackTo(ctx, name) })
}

// Release implements dialect.Tx.
func (t *spyTx) Release(ctx context.Context, name string) error {
	return t.spy.pass(ctx, "release "+name, func() error { return t.Tx.Release(ctx, name) })
}

// Commit implements dialect.Tx.
func (t *spyTx) Commit(ctx context.Context) (outcome dialect.Outcome, err error) {
	err = t.spy.pass(ctx, "commit", func() error {
		outcome, err = t.Tx.Commit(ctx)
		return err
	})
	if t.spy.doubtful {
		outcome = dialect.InDoubt
	}
	return outcome, err
}

// Rollback implements dialect.Tx.
func (t *spyTx) Rollback(ctx context.Context) error {
	return t.spy.pass(ctx, "rollback", func() error { return t.Tx.Rollback(ctx) })
}

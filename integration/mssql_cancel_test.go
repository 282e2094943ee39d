package integration

import (
	"context"
	"errors"
	"testing"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/uow"
)

// expiring is a ctx whose deadline passes when the test says so.
type expiring struct {
	context.Context
	passed chan struct{}
}

// Done implements context.Context.
func (e expiring) Done() <-chan struct{} { return e.passed }

// Err implements context.Context.
func (e expiring) Err() error {
	select {
	case <-e.passed:
		return context.DeadlineExceeded
	default:
		return e.Context.Err()
	}
}

// endings are the two ways in which a ctx ends. The driver takes the second for
// a broken network.
var endings = map[string]func(context.Context) (context.Context, func(), error){
	"cancel": func(ctx context.Context) (context.Context, func(), error) {
		ctx, cancel := context.WithCancel(ctx)
		return ctx, cancel, context.Canceled
	},
	"deadline": func(ctx context.Context) (context.Context, func(), error) {
		e := expiring{ctx, make(chan struct{})}
		return e, func() { close(e.passed) }, context.DeadlineExceeded
	},
}

// interrupted runs f until the server shows that it waits, ends its ctx, and
// returns its error.
func (l *mssqlLab) interrupted(ending string, f func(context.Context) error) {
	l.Helper()
	ctx, end, want := endings[ending](l.ctx)
	done := l.start(func() error { return f(ctx) })
	l.until(mssqlWaiting, "1")
	end()
	l.wantIs(l.ended(done), want)
	l.until(mssqlWaiting, "0")
}

// TestMSSQLInterruptedDeclared ends the wait for declared locks of which one was
// granted.
func TestMSSQLInterruptedDeclared(t *testing.T) {
	for ending := range endings {
		t.Run(ending, func(t *testing.T) {
			l := newMSSQLLab(t)
			l.begin(l.pool(1), applock.With(applock.Exclusive("b")))
			m := l.pool(1)
			session := l.spid(m.DB())
			l.interrupted(ending, func(ctx context.Context) error {
				return m.Do(ctx, func(context.Context, *uow.UnitOfWork) error {
					t.Error("the function was called")
					return nil
				}, applock.With(exclusive, applock.Exclusive("b")))
			})
			l.wants(l.watch, mssqlHeld, "1")
			l.wants(m.DB(), "select concat(@@SPID, ' ', @@TRANCOUNT)", session+" 0")
		})
	}
}

// TestMSSQLInterruptedAcquire ends the wait for one of several locks in an open
// unit, which stays usable and holds what it held.
func TestMSSQLInterruptedAcquire(t *testing.T) {
	for ending := range endings {
		t.Run(ending, func(t *testing.T) {
			l := newMSSQLLab(t)
			l.begin(l.pool(1), applock.With(applock.Exclusive("b")))
			m := l.pool(1)
			l.check(m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
				l.check(exec("insert into item values (4,4)")(ctx, u))
				session := l.spid(u)
				l.interrupted(ending, func(ctx context.Context) error {
					return applock.Acquire(ctx, u, exclusive, applock.Exclusive("b"))
				})
				l.wants(u, "select concat(@@SPID, ' ', @@TRANCOUNT, ' ', @@OPTIONS & 16384)", session+" 1 16384")
				l.wants(u, "select applock_mode('public', 'a', 'Transaction')", "NoLock")
				l.wants(u, "select applock_mode('public', 'kept', 'Transaction')", "Exclusive")
				return exec("insert into item values (5,5)")(ctx, u)
			}, applock.With(applock.Exclusive("kept"))))
			l.wants(l.watch, "select count(*) from item", "5")
			l.wants(l.watch, mssqlHeld, "1")
		})
	}
}

// TestMSSQLInterruptedStatement ends a statement that waits for a row: the server
// rolls the transaction back, and the connection serves on.
func TestMSSQLInterruptedStatement(t *testing.T) {
	for ending := range endings {
		t.Run(ending, func(t *testing.T) {
			l := newMSSQLLab(t)
			writer, err := l.watch.BeginTxx(l.ctx, nil)
			l.check(err)
			defer writer.Rollback()
			l.check(drop(writer.ExecContext(l.ctx, "update item set n = 9 where id = 2")))
			proxy, m := l.proxied(1)
			session := l.spid(m.DB())
			for _, statement := range []uow.Func{exec("update item set n = 1 where id = 2"), get("select n from item where id = 2")} {
				err := m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
					l.check(exec("insert into item values (4,4)")(ctx, u))
					l.interrupted(ending, func(ctx context.Context) error { return statement(ctx, u) })
					if err := exec(leak)(ctx, u); !errors.Is(err, uow.ErrRollbackOnly) {
						t.Errorf("error %v", err)
					}
					return nil
				})
				var unexpected *uow.UnexpectedRollbackError
				if !errors.As(err, &unexpected) {
					t.Errorf("error %v", err)
				}
				l.wants(m.DB(), "select concat(@@SPID, ' ', @@TRANCOUNT)", session+" 0")
			}
			l.wantUnsent(proxy, "99")
			l.check(writer.Rollback())
			l.wants(l.watch, "select count(*) from item", "3")
		})
	}
}

// TestMSSQLInterruptedNested ends a statement in a nested scope: the enclosing
// unit goes on.
func TestMSSQLInterruptedNested(t *testing.T) {
	for ending, want := range map[string]error{"cancel": context.Canceled, "deadline": context.DeadlineExceeded} {
		t.Run(ending, func(t *testing.T) {
			l := newMSSQLLab(t)
			writer, err := l.watch.BeginTxx(l.ctx, nil)
			l.check(err)
			defer writer.Rollback()
			l.check(drop(writer.ExecContext(l.ctx, "update item set n = 9 where id = 2")))
			m := l.pool(1)
			l.check(m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
				l.check(exec("insert into item values (4,4)")(ctx, u))
				err := m.Do(ctx, func(_ context.Context, u *uow.UnitOfWork) error {
					l.check(exec("insert into item values (5,5)")(ctx, u))
					l.interrupted(ending, func(ctx context.Context) error {
						return exec("update item set n = 1 where id = 2")(ctx, u)
					})
					return want
				}, uow.Nested())
				l.wantIs(err, want)
				return exec("insert into item values (6,6)")(ctx, u)
			}))
			l.check(writer.Rollback())
			l.wants(l.watch, "select string_agg(cast(id as varchar(9)), ',') from item where id > 3", "4,6")
		})
	}
}

// manyRows is a result that fits in no buffer.
const manyRows = "select a.id from item a, item b, item c, item d, item e, item f, item g"

// TestMSSQLInterruptedRows ends the ctx of rows that are being read.
func TestMSSQLInterruptedRows(t *testing.T) {
	for ending := range endings {
		t.Run(ending, func(t *testing.T) {
			l := newMSSQLLab(t)
			m := l.pool(1)
			session := l.spid(m.DB())
			err := m.Do(l.ctx, func(_ context.Context, u *uow.UnitOfWork) error {
				l.check(exec("insert into item values (4,4)")(l.ctx, u))
				ctx, end, want := endings[ending](l.ctx)
				rows, err := u.QueryContext(ctx, manyRows)
				l.check(err)
				defer rows.Close()
				if !rows.Next() {
					t.Error("no rows")
				}
				end()
				for rows.Next() {
					continue
				}
				l.wantIs(rows.Err(), want)
				_ = rows.Close() // waits for database/sql, which closes them on a goroutine of its own
				l.wantIs(exec(leak)(l.ctx, u), uow.ErrRollbackOnly)
				return nil
			})
			var unexpected *uow.UnexpectedRollbackError
			if !errors.As(err, &unexpected) {
				t.Errorf("error %v", err)
			}
			l.wants(m.DB(), "select concat(@@SPID, ' ', @@TRANCOUNT)", session+" 0")
			l.wants(l.watch, "select count(*) from item", "3")
		})
	}
}

package integration

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	mssqldb "github.com/microsoft/go-mssqldb"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/uow"
)

const (
	abortOption = "select @@OPTIONS & 16384"
	abortOn     = "16384"
	abortOff    = "0"
)

// wantAbort asks for the XACT_ABORT that statements of every kind run under.
func (l *mssqlLab) wantAbort(ctx context.Context, u *uow.UnitOfWork, want string) {
	l.Helper()
	l.check(exec("update item set n = @@OPTIONS & 16384 where id = 1")(ctx, u))
	l.wants(u, "select n from item where id = 1", want)
	l.check(drop(u.ExecContext(ctx, "update item set n = @@OPTIONS & 16384 where id = @p1", 2)))
	l.wants(u, "select n from item where id = 2", want)
	l.wants(u, abortOption, want)
	var n string
	l.check(u.GetContext(ctx, &n, abortOption+" where 1 = @p1", 1))
	if n != want {
		l.Errorf("a query with arguments ran under %s, want %s", n, want)
	}
	stmt, err := u.PrepareContext(ctx, abortOption)
	l.check(err)
	defer stmt.Close()
	l.check(stmt.QueryRowContext(ctx).Scan(&n))
	if n != want {
		l.Errorf("a prepared query ran under %s, want %s", n, want)
	}
}

// firsts are statements that a unit may begin with; each must set what it needs.
var firsts = map[string]func(*mssqlLab, context.Context, *uow.UnitOfWork){
	"nothing": func(*mssqlLab, context.Context, *uow.UnitOfWork) {},
	"arguments": func(l *mssqlLab, ctx context.Context, u *uow.UnitOfWork) {
		l.check(drop(u.ExecContext(ctx, "update item set n = @p1", 1)))
	},
	"definition": func(l *mssqlLab, ctx context.Context, u *uow.UnitOfWork) {
		l.check(exec("create view v as select id from item")(ctx, u))
	},
	"lock": func(l *mssqlLab, ctx context.Context, u *uow.UnitOfWork) { l.check(applock.Acquire(ctx, u, exclusive)) },
	"refused lock": func(l *mssqlLab, ctx context.Context, u *uow.UnitOfWork) {
		l.wantIs(applock.Acquire(ctx, u, applock.Exclusive("busy").NoWait()), applock.ErrTimeout)
	},
}

// TestMSSQLAbortSetting follows XACT_ABORT through a unit with nested scopes.
func TestMSSQLAbortSetting(t *testing.T) {
	for name, first := range firsts {
		t.Run(name, func(t *testing.T) {
			l := newMSSQLLab(t)
			l.begin(l.pool(1), applock.With(applock.Exclusive("busy")))
			m := l.pool(1)
			l.check(m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
				first(l, ctx, u)
				l.wantAbort(ctx, u, abortOn)
				l.check(m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
					l.wantAbort(ctx, u, abortOff)
					l.wantIs(applock.Acquire(ctx, u, applock.Exclusive("busy").NoWait()), applock.ErrTimeout)
					l.wantAbort(ctx, u, abortOff)
					err := m.Do(ctx, exec(duplicate), uow.Nested())
					if err == nil {
						t.Error("no error")
					}
					l.wantAbort(ctx, u, abortOff)
					return nil
				}, uow.Nested()))
				l.wantAbort(ctx, u, abortOn)
				l.wantIs(m.Do(ctx, func(context.Context, *uow.UnitOfWork) error { return errEnough }, uow.Nested()), errEnough)
				l.wantAbort(ctx, u, abortOn)
				return nil
			}))
			l.wants(m.DB(), abortOption, abortOff)
		})
	}
}

// TestMSSQLNestedRecovers has errors of statements, which a savepoint undoes, and
// of batches, which it cannot.
func TestMSSQLNestedRecovers(t *testing.T) {
	for statement, recovers := range map[string]bool{
		duplicate: true,
		"select 1/0 from item; insert into item values (99,99)": true,
		"raiserror('no', 16, 1)":                                true,
		"insert into missing values (1)":                        true,
		"throw 50001, 'no', 1":                                  true,
		"update item set n = 'many'":                            false,
	} {
		t.Run(statement, func(t *testing.T) {
			l := newMSSQLLab(t)
			m := l.pool(1)
			err := m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
				l.check(exec("insert into item values (4,4)")(ctx, u))
				err := m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
					l.check(exec("insert into item values (5,5)")(ctx, u))
					return exec(statement)(ctx, u)
				}, uow.Nested())
				if err == nil {
					t.Error("no error")
				}
				err = exec("insert into item values (6,6)")(ctx, u)
				if recovers {
					return err
				}
				l.wantIs(err, uow.ErrRollbackOnly)
				return nil
			})
			want := "4,6"
			if !recovers {
				var unexpected *uow.UnexpectedRollbackError
				if want = ""; !errors.As(err, &unexpected) {
					t.Errorf("error %v", err)
				}
			} else {
				l.check(err)
			}
			l.wants(l.watch, "select string_agg(cast(id as varchar(9)), ',') from item where id > 3", want)
		})
	}
}

// TestMSSQLSavepointNames looks at the names on the wire: the server would refuse
// more than 32 characters.
func TestMSSQLSavepointNames(t *testing.T) {
	l := newMSSQLLab(t)
	proxy, m := l.proxied(1)
	l.check(m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		for range 120 {
			l.check(m.Do(ctx, exec("update item set n = n + 1 where id = 1"), uow.Nested()))
		}
		return nil
	}))
	names := make(map[string]bool)
	for _, s := range statements(proxy) {
		if _, name, ok := strings.Cut(s, "SAVE TRANSACTION "); ok {
			if names[name] = true; len(name) > 32 || name == "" {
				t.Errorf("savepoint %q", name)
			}
		}
	}
	if len(names) != 120 {
		t.Errorf("%d names", len(names))
	}
}

// TestMSSQLDefinitions has definitions, which must be alone in their batch, and
// calls by name as the unit's first statements.
func TestMSSQLDefinitions(t *testing.T) {
	l := newMSSQLLab(t)
	m := l.pool(1)
	l.check(m.Do(l.ctx, exec("create procedure twice @a int, @b int output as begin insert into item values (@a, @@OPTIONS & 16384); set @b = 2 * @a; return 7 end")))
	l.check(m.Do(l.ctx, exec("create view whole as select id, n from item")))
	for _, nested := range []bool{false, true} {
		var doubled int64
		var status mssqldb.ReturnStatus
		call := func(ctx context.Context, u *uow.UnitOfWork) error {
			return drop(u.ExecContext(ctx, "dbo.twice", sql.Named("a", 21+len(l.ask(u, abortOption))), sql.Named("b", sql.Out{Dest: &doubled}), &status))
		}
		l.check(m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			if nested {
				return m.Do(ctx, call, uow.Nested())
			}
			return call(ctx, u)
		}))
		if status != 7 || doubled != 52 && doubled != 44 {
			t.Errorf("status %d, output %d", status, doubled)
		}
	}
	l.wants(l.watch, "select string_agg(concat(id, '/', n), ' ') from whole where id > 20", "22/0 26/16384")
}

// TestMSSQLCallFirst has a call by name as the very first statement of a unit: it
// must run under XACT_ABORT, which cannot stand before it.
func TestMSSQLCallFirst(t *testing.T) {
	l := newMSSQLLab(t)
	l.do("create procedure [it's; twice] as insert into item values (10, @@OPTIONS & 16384); " + duplicate + "; " + leak)
	proxy, m := l.proxied(1)
	err := m.Do(l.ctx, exec("[it's; twice]"))
	var answer mssqldb.Error
	if !errors.As(err, &answer) || answer.Number != 2627 {
		t.Errorf("error %v", err)
	}
	l.wantAborted(proxy)
	l.check(m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		if m.Do(ctx, exec("[it's; twice]"), uow.Nested()) == nil {
			t.Error("no error")
		}
		return exec("insert into item values (4,4)")(ctx, u)
	}))
	l.wants(l.watch, "select count(*) from item", "4")
}

// TestMSSQLRowsClosedEarly has rows that are closed after the first: the driver
// would cancel the query, and the server roll back.
func TestMSSQLRowsClosedEarly(t *testing.T) {
	l := newMSSQLLab(t)
	proxy, m := l.proxied(1)
	l.check(m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		l.check(exec("insert into item values (4,4)")(ctx, u))
		rows, err := u.QueryContext(ctx, manyRows)
		l.check(err)
		if !rows.Next() {
			t.Error("no rows")
		}
		l.wantIs(exec("insert into item values (5,5)")(ctx, u), uow.ErrRowsOpen)
		l.check(rows.Close())
		l.check(get(manyRows)(ctx, u))
		return exec("insert into item values (5,5)")(ctx, u)
	}))
	l.wants(l.watch, "select count(*) from item", "5")
	if n := proxy.Cancels(); n != 0 {
		t.Errorf("%d attentions", n)
	}
}

// TestMSSQLResultSets has several results in one reply, read and unread, and an
// error in the last.
func TestMSSQLResultSets(t *testing.T) {
	l := newMSSQLLab(t)
	m := l.pool(1)
	query := "select id from item; insert into item values (4,4); select n from item where id = 4; select 1/(n-4) from item where id = 4"
	for _, all := range []bool{true, false} {
		err := m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			rows, err := u.QueryContext(ctx, query)
			l.check(err)
			defer rows.Close()
			sets := 0
			for more := true; more && all; more = rows.NextResultSet() {
				for sets++; rows.Next(); {
					continue
				}
			}
			if all && (sets < 2 || rows.Err() == nil) {
				t.Errorf("%d results, then %v", sets, rows.Err())
			}
			_ = rows.Close()
			l.wantIs(exec(leak)(ctx, u), uow.ErrRollbackOnly)
			return nil
		})
		var unexpected *uow.UnexpectedRollbackError
		if !errors.As(err, &unexpected) {
			t.Errorf("error %v", err)
		}
	}
	l.wants(l.watch, "select count(*) from item", "3")
}

// TestMSSQLBulkCopy copies rows in a unit, and fails to. The simulator has no
// bulk load: there the failure alone is tested.
func TestMSSQLBulkCopy(t *testing.T) {
	l := newMSSQLLab(t)
	m := l.pool(1)
	bulk := func(id int) uow.Func {
		return func(ctx context.Context, u *uow.UnitOfWork) error {
			stmt, err := u.PrepareContext(ctx, mssqldb.CopyIn("item", mssqldb.BulkOptions{}, "id", "n"))
			l.check(err)
			defer stmt.Close()
			if _, err := stmt.ExecContext(ctx, id, 5); err != nil {
				return err
			}
			return drop(stmt.ExecContext(ctx))
		}
	}
	err := m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		l.check(exec("insert into item values (4,4)")(ctx, u))
		if err := bulk(1)(ctx, u); err == nil {
			t.Error("no error")
		}
		l.wantIs(exec(leak)(ctx, u), uow.ErrRollbackOnly)
		return nil // swallowed
	})
	var unexpected *uow.UnexpectedRollbackError
	if !errors.As(err, &unexpected) {
		t.Errorf("error %v", err)
	}
	l.wants(l.watch, "select count(*) from item", "3")
	var answer mssqldb.Error
	if err := m.Do(l.ctx, bulk(4)); errors.As(err, &answer) && answer.Number != 2627 {
		t.Skipf("no bulk load here: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	l.wants(l.watch, "select count(*) from item", "4")
}

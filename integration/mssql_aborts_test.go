package integration

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	mssqldb "github.com/microsoft/go-mssqldb"

	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/internal/faultproxy"
	"github.com/lockstep-go/lockstep/uow"
)

const (
	duplicate = "insert into item values (1,1)"
	leak      = "insert into item values (99,99)" // must never reach a table
)

// mssqlAborts are ways in which the server ends a unit's transaction. Each swallows
// the error.
var mssqlAborts = map[string]func(ctx context.Context, l *mssqlLab, u *uow.UnitOfWork) error{
	"duplicate key": func(ctx context.Context, _ *mssqlLab, u *uow.UnitOfWork) error { return exec(duplicate)(ctx, u) },
	"duplicate key with arguments": func(ctx context.Context, _ *mssqlLab, u *uow.UnitOfWork) error {
		return drop(u.ExecContext(ctx, "insert into item values (@p1,1)", 1))
	},
	"duplicate key in a query": func(ctx context.Context, _ *mssqlLab, u *uow.UnitOfWork) error {
		return u.GetContext(ctx, new(int), "insert into item output inserted.n values (1,1)")
	},
	"error among rows": func(ctx context.Context, l *mssqlLab, u *uow.UnitOfWork) error {
		rows, err := u.QueryContext(ctx, "select 10/(3-id) from item order by id")
		l.check(err)
		defer rows.Close()
		for rows.Next() {
			continue
		}
		return rows.Err()
	},
	"error after the row that was asked for": func(ctx context.Context, _ *mssqlLab, u *uow.UnitOfWork) error {
		return u.QueryRowContext(ctx, "select 10/(3-id) from item order by id").Scan(new(int))
	},
	"failed conversion": func(ctx context.Context, _ *mssqlLab, u *uow.UnitOfWork) error {
		return exec("update item set n = 'many'")(ctx, u)
	},
	"deadlock": loseDeadlock,
}

// loseDeadlock makes a unit the victim of a deadlock over rows.
func loseDeadlock(ctx context.Context, l *mssqlLab, u *uow.UnitOfWork) error {
	l.check(exec("set deadlock_priority low; update item set n = 1 where id = 1")(ctx, u))
	other, err := l.watch.BeginTxx(ctx, nil)
	l.check(err)
	defer other.Rollback()
	l.check(drop(other.ExecContext(ctx, "update item set n = 2 where id = 2")))
	done := l.start(func() error { return drop(other.ExecContext(ctx, "update item set n = 2 where id = 1")) })
	l.until(mssqlWaiting, "1")
	err = exec("update item set n = 1 where id = 2")(ctx, u)
	l.check(l.ended(done))
	l.wantIs(err, dialect.Deadlock)
	return err
}

// mssqlFollowers are statements after an abort: not one may be sent.
var mssqlFollowers = map[string]uow.Func{
	"exec": exec(leak),
	"arguments": writeWith(func(u *uow.UnitOfWork, ctx context.Context) error {
		return drop(u.ExecContext(ctx, "insert into item values (@p1,99)", 99))
	}),
	"query": get("insert into item output inserted.n values (99,99)"),
	"prepare": writeWith(func(u *uow.UnitOfWork, ctx context.Context) error {
		stmt, err := u.PrepareContext(ctx, leak)
		if err != nil {
			return err
		}
		defer stmt.Close()
		return drop(stmt.ExecContext(ctx))
	}),
	"raw": writeWith(func(u *uow.UnitOfWork, ctx context.Context) error {
		return u.Raw(func(conn any) error { return rawExec(conn, leak) })
	}),
	"nothing": nil, // COMMIT alone
}

// rawExec runs a statement on the driver's own connection.
func rawExec(conn any, query string) error {
	stmt, err := conn.(*mssqldb.Conn).Prepare(query)
	if err != nil {
		return err
	}
	//lint:ignore SA1019 there is no ctx
	return drop(stmt.Exec(nil))
}

// TestMSSQLNothingFollowsAnAbort has units that go on after the server has ended
// their transaction.
func TestMSSQLNothingFollowsAnAbort(t *testing.T) {
	for way, abort := range mssqlAborts {
		t.Run(way, func(t *testing.T) {
			l := newMSSQLLab(t)
			proxy, m := l.proxied(1)
			for name, follow := range mssqlFollowers {
				err := m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
					if abort(ctx, l, u) == nil {
						t.Error("no abort")
					}
					if follow != nil {
						if err := follow(ctx, u); !errors.Is(err, uow.ErrRollbackOnly) {
							t.Errorf("%s: error %v", name, err)
						}
					}
					return nil
				})
				var unexpected *uow.UnexpectedRollbackError
				if !errors.As(err, &unexpected) {
					t.Errorf("%s: error %v", name, err)
				}
			}
			l.wantAborted(proxy)
		})
	}
}

// wantAborted reports what a unit that the server had ended has left or sent.
func (l *mssqlLab) wantAborted(proxy *faultproxy.Proxy) {
	l.Helper()
	l.wants(l.watch, "select count(*) from item where id > 3 or n = 1", "0")
	l.wantUnsent(proxy, "99")
	l.wantUnsent(proxy, "COMMIT")
}

// TestMSSQLNothingFollowsUnseen has aborts that the unit does not see, through
// statements that it does not see either: the driver's guard is what holds.
func TestMSSQLNothingFollowsUnseen(t *testing.T) {
	l := newMSSQLLab(t)
	proxy, m := l.proxied(1)
	type step = func(ctx context.Context, u *uow.UnitOfWork, stmt *sql.Stmt) error
	follow := map[string]step{
		"prepared": func(ctx context.Context, _ *uow.UnitOfWork, stmt *sql.Stmt) error { return drop(stmt.ExecContext(ctx)) },
		"prepared query": func(ctx context.Context, _ *uow.UnitOfWork, stmt *sql.Stmt) error {
			rows, err := stmt.QueryContext(ctx)
			if err == nil {
				err = rows.Close()
			}
			return err
		},
		"raw": func(_ context.Context, u *uow.UnitOfWork, _ *sql.Stmt) error {
			return u.Raw(func(conn any) error { return rawExec(conn, leak) })
		},
		"exec":    func(ctx context.Context, u *uow.UnitOfWork, _ *sql.Stmt) error { return exec(leak)(ctx, u) },
		"nothing": func(context.Context, *uow.UnitOfWork, *sql.Stmt) error { return errEnough },
	}
	for name, next := range follow {
		err := m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			stmt, err := u.PrepareContext(ctx, leak)
			l.check(err)
			defer stmt.Close()
			l.check(u.Raw(func(conn any) error {
				if rawExec(conn, "set xact_abort on; "+duplicate) == nil {
					t.Error("no abort")
				}
				return nil // swallowed
			}))
			if next(ctx, u, stmt) == nil {
				t.Errorf("%s: no error", name)
			}
			return nil
		})
		// Nobody has told the unit how its transaction ended.
		var doubt *uow.InDoubtError
		if !errors.As(err, &doubt) {
			t.Errorf("%s: error %v, want in doubt", name, err)
		}
	}
	l.wantAborted(proxy)
}

// TestMSSQLPreparedSeesTheAbort has a prepared statement meet the error, which
// no method of the unit reports.
func TestMSSQLPreparedSeesTheAbort(t *testing.T) {
	l := newMSSQLLab(t)
	proxy, m := l.proxied(1)
	for _, follow := range []uow.Func{exec(leak), nothing} {
		err := m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			stmt, err := u.PrepareContext(ctx, duplicate)
			l.check(err)
			defer stmt.Close()
			if drop(stmt.ExecContext(ctx)) == nil {
				t.Error("no abort")
			}
			_ = follow(ctx, u)
			return nil
		})
		var unexpected *uow.UnexpectedRollbackError
		if !errors.As(err, &unexpected) {
			t.Errorf("error %v", err)
		}
	}
	l.wantAborted(proxy)
}

// TestMSSQLAbortIsRetried runs the victim of a deadlock again.
func TestMSSQLAbortIsRetried(t *testing.T) {
	l := newMSSQLLab(t)
	runs := 0
	l.check(l.pool(1).Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		if runs++; runs == 1 {
			return loseDeadlock(ctx, l, u)
		}
		return exec("insert into item values (4,4)")(ctx, u)
	}, uow.Retry(uow.RetryPolicy{})))
	l.wants(l.watch, "select count(*) from item", "4")
}

// TestMSSQLHiddenEnds has procedures that end the unit's transaction, or begin
// one and leave it open. No end of such a unit may claim what is not so.
func TestMSSQLHiddenEnds(t *testing.T) {
	swallowed := func(call string) string { return "begin try " + call + " end try begin catch select 1 end catch" }
	for name, c := range map[string]struct {
		body, call string
		committed  bool // what the server has done
		doubt      bool
	}{
		"commit":             {"commit", "exec p", true, true},
		"commit by name":     {"commit", "p", true, true},
		"commit, swallowed":  {"commit", swallowed("exec p"), true, true},
		"rollback":           {"rollback", "exec p", false, true},
		"begin":              {"begin transaction", "exec p", false, true},
		"begin, swallowed":   {"begin transaction", swallowed("exec p"), false, false},
		"dynamic, swallowed": {"select 1", swallowed("exec('begin transaction')"), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := newMSSQLLab(t)
			l.do("create procedure p as " + c.body)
			m := l.pool(1)
			err := m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
				l.check(exec("insert into item values (4,4)")(ctx, u))
				_ = exec(c.call)(ctx, u)
				if err := exec(leak)(ctx, u); err != nil && !strings.Contains(c.call, "begin try") {
					l.wantIs(err, uow.ErrRollbackOnly)
				}
				return nil
			})
			var doubt *uow.InDoubtError
			if err == nil || errors.As(err, &doubt) != c.doubt {
				t.Errorf("error %v, want one in doubt: %v", err, c.doubt)
			}
			l.wants(l.watch, "select count(*) from item where id = 4", map[bool]string{true: "1", false: "0"}[c.committed])
			l.wants(l.watch, "select count(*) from item where id = 99", "0")
			l.check(m.Do(l.ctx, exec("insert into item values (5,5)")))
			l.wants(l.watch, "select count(*) from item where id = 5", "1")
		})
	}
}

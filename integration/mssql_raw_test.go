package integration

import (
	"context"
	"errors"
	"testing"

	mssqldb "github.com/microsoft/go-mssqldb"

	"github.com/lockstep-go/lockstep/dialect/mssql"
	"github.com/lockstep-go/lockstep/uow"
)

// mssqlRawEnds are ways to end a unit's transaction on the driver's connection.
var mssqlRawEnds = map[string]func(*mssqldb.Conn) error{
	"Commit":        func(c *mssqldb.Conn) error { return c.Commit() },
	"Rollback":      func(c *mssqldb.Conn) error { return c.Rollback() },
	"COMMIT text":   func(c *mssqldb.Conn) error { return rawExec(c, "COMMIT TRANSACTION") },
	"ROLLBACK text": func(c *mssqldb.Conn) error { return rawExec(c, "ROLLBACK TRANSACTION") },
}

// mssqlAfterRaw are what a unit does after that. None of it may be kept, save for
// what was before.
var mssqlAfterRaw = map[string]uow.Func{
	"exec":      exec(leak),
	"query":     get("insert into item output inserted.n values (99,99)"),
	"bulk copy": writeWith(func(u *uow.UnitOfWork, ctx context.Context) error { return copyIn(ctx, u, [2]any{99, 99}) }),
	"prepare":   mssqlFollowers["prepare"],
}

func copyIn(ctx context.Context, u *uow.UnitOfWork, rows ...[2]any) error {
	stmt, err := u.PrepareContext(ctx, mssqldb.CopyIn("item", mssqldb.BulkOptions{}, "id", "n"))
	if err != nil {
		return err
	}
	defer stmt.Close()
	for _, row := range rows {
		if _, err := stmt.ExecContext(ctx, row[0], row[1]); err != nil {
			return err
		}
	}
	return drop(stmt.ExecContext(ctx))
}

// TestMSSQLRawEnds has units whose transaction is ended through Raw: later
// statements are refused, and the end is in doubt.
func TestMSSQLRawEnds(t *testing.T) {
	for how, end := range mssqlRawEnds {
		t.Run(how, func(t *testing.T) {
			l := newOutcomeLab(t)
			proxy, m := l.proxied(1)
			recorded := uow.New(m.DB(), mssql.Dialect(withOutcomes))
			for name, after := range mssqlAfterRaw {
				l.wantEnded(m, name, end, after)
				l.wantEnded(recorded, name, end, after)
			}
			l.wantEnded(m, "nothing", end, nil)
			l.wantEnded(recorded, "nothing", end, nil)
			l.wants(l.watch, "select count(*) from item where id = 99", "0")
			l.wants(l.watch, outcomes, "0")
			l.wantUnsent(proxy, "99")
		})
	}
}

func (l *mssqlLab) wantEnded(m *uow.Manager, name string, end func(*mssqldb.Conn) error, after uow.Func) {
	l.Helper()
	err := m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		l.check(exec("update item set n = n + 1 where id = 1")(ctx, u))
		l.check(u.Raw(func(c any) error { return end(c.(*mssqldb.Conn)) }))
		if after == nil {
			return nil
		}
		err := after(ctx, u)
		if err == nil || name != "prepare" && !errors.Is(err, uow.ErrRollbackOnly) {
			l.Errorf("%s: error %v", name, err)
		}
		return nil
	})
	var doubt *uow.InDoubtError
	if !errors.As(err, &doubt) {
		l.Errorf("%s: error %v, want in doubt", name, err)
	}
}

// TestMSSQLRawEndsUnseen has a statement follow that was prepared before.
func TestMSSQLRawEndsUnseen(t *testing.T) {
	for how, end := range mssqlRawEnds {
		t.Run(how, func(t *testing.T) {
			l := newMSSQLLab(t)
			proxy, m := l.proxied(1)
			err := m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
				stmt, err := u.PrepareContext(ctx, leak)
				l.check(err)
				defer stmt.Close()
				l.check(u.Raw(func(c any) error { return end(c.(*mssqldb.Conn)) }))
				if _, err := stmt.ExecContext(ctx); err == nil {
					t.Error("no error")
				}
				return nil
			})
			var doubt *uow.InDoubtError
			if !errors.As(err, &doubt) {
				t.Errorf("error %v, want in doubt", err)
			}
			l.wantUnsent(proxy, "99")
		})
	}
}

// TestMSSQLRawSetsAbort has the caller change XACT_ABORT on the driver's connection.
func TestMSSQLRawSetsAbort(t *testing.T) {
	l := newMSSQLLab(t)
	m := l.pool(1)
	l.check(m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		l.check(exec("insert into item values (4,4)")(ctx, u))
		l.check(u.Raw(func(c any) error { return rawExec(c, "SET XACT_ABORT OFF") }))
		l.wants(u, "select @@OPTIONS & 16384", "16384")
		return nil
	}))
}

// TestMSSQLRawFails has a statement fail there, and a unit that goes on.
func TestMSSQLRawFails(t *testing.T) {
	l := newMSSQLLab(t)
	m := l.pool(1)
	err := m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		l.check(exec("insert into item values (4,4)")(ctx, u))
		return u.Raw(func(c any) error { return rawExec(c, duplicate) })
	})
	var doubt *uow.InDoubtError
	var answer mssqldb.Error
	if errors.As(err, &doubt) || !errors.As(err, &answer) || answer.Number != 2627 {
		t.Errorf("error %v", err)
	}
	l.wants(l.watch, "select count(*) from item", "3")
}

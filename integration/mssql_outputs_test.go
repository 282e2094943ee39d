package integration

import (
	"context"
	"database/sql"
	"strings"
	"testing"

	"github.com/golang-sql/sqlexp"
	mssqldb "github.com/microsoft/go-mssqldb"

	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/uow"
)

// newOutputLab has procedure five, which returns 5 and adds one to its argument.
func newOutputLab(t *testing.T) *mssqlLab {
	t.Helper()
	l := newMSSQLLab(t)
	l.do("create procedure five @n int output as begin set @n = @n + 1; return 5 end")
	return l
}

type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

type prepared struct{ *sql.Stmt }

func (p prepared) ExecContext(ctx context.Context, _ string, args ...any) (sql.Result, error) {
	return p.Stmt.ExecContext(ctx, args...)
}

// wantFive calls it in the ways that the driver has for outputs.
func (l *mssqlLab) wantFive(e execer, where string) {
	l.Helper()
	status, n := mssqldb.ReturnStatus(77), 1
	if _, err := e.ExecContext(l.ctx, "five", &status, sql.Named("n", sql.Out{Dest: &n, In: true})); err != nil || status != 5 || n != 2 {
		l.Errorf("%s, by name: status %d, output %d, %v", where, status, n, err)
	}
	if _, ok := e.(prepared); ok {
		return
	}
	n = 7
	if _, err := e.ExecContext(l.ctx, "set @n = @p2 + 1", sql.Named("n", sql.Out{Dest: &n}), 10); err != nil || n != 11 {
		l.Errorf("%s, in a batch: output %d, %v", where, n, err)
	}
	status = 77
	if _, err := e.ExecContext(l.ctx, "declare @n int = 1; exec five @n", &status); err != nil || status != 5 {
		l.Errorf("%s, in a batch: status %d, %v", where, status, err)
	}
}

// TestMSSQLOutputs has outputs of statements in front of which the library has to
// send something of its own.
func TestMSSQLOutputs(t *testing.T) {
	l := newOutputLab(t)
	m := l.pool(1)
	l.check(m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		l.wantFive(u, "at first")
		l.check(m.Do(ctx, func(_ context.Context, u *uow.UnitOfWork) error {
			l.wantFive(u, "in a nested scope")
			return nil
		}, uow.Nested()))
		l.wantFive(u, "after a nested scope")
		l.check(u.Raw(func(any) error { return nil }))
		l.wantFive(u, "after Raw")
		return nil
	}))
	l.check(m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		n := 0
		err := drop(u.ExecContext(ctx, "set @n = @p2 + 1", sql.Named("n", sql.Out{Dest: &n}), 10))
		if n != 11 {
			t.Errorf("output %d", n)
		}
		return err
	}))
}

// TestMSSQLOutputsPrepared uses one prepared call in several scopes.
func TestMSSQLOutputsPrepared(t *testing.T) {
	l := newOutputLab(t)
	m := l.pool(1)
	l.check(m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		stmt, err := u.PrepareContext(ctx, "five")
		l.check(err)
		defer stmt.Close()
		l.wantFive(prepared{stmt}, "at first")
		l.check(m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			l.check(exec("insert into item values (4,4)")(ctx, u))
			l.wantFive(prepared{stmt}, "in a nested scope")
			return nil
		}, uow.Nested()))
		l.wantFive(prepared{stmt}, "after a nested scope")
		n := 1
		if _, err := stmt.ExecContext(ctx, new(mssqldb.ReturnStatus), sql.Out{Dest: n}); err == nil {
			t.Error("no error for what is no pointer")
		}
		l.wantFive(prepared{stmt}, "after arguments that did not fit")
		return nil
	}))
}

// TestMSSQLOutputsOutside has them outside units, on a session whose isolation a
// unit has changed.
func TestMSSQLOutputsOutside(t *testing.T) {
	l := newOutputLab(t)
	m := l.pool(1)
	serializable := func() { l.check(m.Do(l.ctx, get("select 1"), uow.Isolation(sql.LevelSerializable))) }
	serializable()
	l.wantFive(m.DB(), "outside")
	l.wants(m.DB(), "select transaction_isolation_level from sys.dm_exec_sessions where session_id = @@SPID", "2")
	serializable()
	stmt, err := m.DB().PrepareContext(l.ctx, "five")
	l.check(err)
	l.wantFive(prepared{stmt}, "outside, prepared")
	l.check(stmt.Close())
	serializable()
	tx, err := m.DB().BeginTxx(l.ctx, nil)
	l.check(err)
	l.wantFive(tx, "in a transaction outside")
	l.check(tx.Commit())
}

// TestMSSQLMessageQueues are refused in units, and work outside.
func TestMSSQLMessageQueues(t *testing.T) {
	l := newMSSQLLab(t)
	proxy, m := l.proxied(1)
	l.check(m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		_, err := u.QueryContext(ctx, "select 99", &sqlexp.ReturnMessage{})
		l.wantIs(err, dialect.Unsupported)
		_, err = u.ExecContext(ctx, "select 99", &sqlexp.ReturnMessage{})
		l.wantIs(err, dialect.Unsupported)
		return exec("insert into item values (4,4)")(ctx, u)
	}))
	l.wantUnsent(proxy, "99")
	l.check(m.Do(l.ctx, get("select 1"), uow.Isolation(sql.LevelSerializable)))
	queue := &sqlexp.ReturnMessage{}
	rows, err := m.DB().QueryContext(l.ctx, "select 5", queue)
	l.check(err)
	defer rows.Close()
	n := 0
	for active := true; active; {
		switch message := queue.Message(l.ctx).(type) {
		case sqlexp.MsgNext:
			for rows.Next() {
				l.check(rows.Scan(&n))
			}
		case sqlexp.MsgNextResultSet:
			active = rows.NextResultSet()
		case sqlexp.MsgError:
			l.check(message.Error)
		}
	}
	if n != 5 {
		t.Errorf("%d", n)
	}
}

// TestMSSQLBulkCopyOutside finds READ COMMITTED again, as other statements do.
func TestMSSQLBulkCopyOutside(t *testing.T) {
	l := newMSSQLLab(t)
	proxy, m := l.proxied(1)
	l.check(m.Do(l.ctx, get("select 1"), uow.Isolation(sql.LevelSerializable)))
	stmt, err := m.DB().PrepareContext(l.ctx, mssqldb.CopyIn("item", mssqldb.BulkOptions{}, "id", "n"))
	l.check(err)
	if all := statements(proxy); !strings.Contains(strings.Join(all, ";"), "ISOLATION LEVEL READ COMMITTED") {
		t.Errorf("sent: %q", all)
	}
	l.check(stmt.Close())
}

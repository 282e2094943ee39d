package integration

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/jmoiron/sqlx"
	mssqldb "github.com/microsoft/go-mssqldb"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/uow"
)

// mssqlLevels are the levels with the server's numbers for them.
var mssqlLevels = map[sql.IsolationLevel]string{
	sql.LevelReadUncommitted: "1",
	sql.LevelReadCommitted:   "2",
	sql.LevelRepeatableRead:  "3",
	sql.LevelSerializable:    "4",
	sql.LevelSnapshot:        "5",
}

const (
	readCommitted = "2"
	ownLevel      = "select cast(transaction_isolation_level as int) from sys.dm_exec_sessions where session_id = @@SPID"
)

// TestMSSQLIsolationOfTheNext has units at every level, and others after them on
// the same connection.
func TestMSSQLIsolationOfTheNext(t *testing.T) {
	next := map[string]func(l *mssqlLab, m *uow.Manager){
		"unit": func(l *mssqlLab, m *uow.Manager) {
			l.check(m.Do(l.ctx, func(_ context.Context, u *uow.UnitOfWork) error {
				l.wants(u, ownLevel, readCommitted)
				return nil
			}))
		},
		"query":     func(l *mssqlLab, m *uow.Manager) { l.wants(m.DB(), ownLevel, readCommitted) },
		"statement": func(l *mssqlLab, m *uow.Manager) { l.levelByExec(m.DB(), readCommitted) },
		"prepared": func(l *mssqlLab, m *uow.Manager) {
			stmt, err := m.DB().PreparexContext(l.ctx, ownLevel)
			l.check(err)
			defer stmt.Close()
			var level string
			l.check(stmt.GetContext(l.ctx, &level))
			if level != readCommitted {
				l.Errorf("level %s", level)
			}
		},
		"transaction": func(l *mssqlLab, m *uow.Manager) { l.levelOfTx(m.DB(), nil, readCommitted) },
		"transaction, repeatable": func(l *mssqlLab, m *uow.Manager) {
			l.levelOfTx(m.DB(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead}, "3")
		},
	}
	for level, number := range mssqlLevels {
		for what, check := range next {
			t.Run(level.String()+", "+what, func(t *testing.T) {
				l := newMSSQLLab(t)
				m := l.pool(1)
				l.check(m.Do(l.ctx, func(_ context.Context, u *uow.UnitOfWork) error {
					l.wants(u, ownLevel, number)
					l.levelByExec(u, number)
					return nil
				}, uow.Isolation(level)))
				check(l, m)
			})
		}
	}
}

// levelByExec has a statement without rows write the level down.
func (l *mssqlLab) levelByExec(q sqlx.ExtContext, want string) {
	l.Helper()
	_, err := q.ExecContext(l.ctx, "update item set n = (select transaction_isolation_level from sys.dm_exec_sessions where session_id = @@SPID) where id = 1")
	l.check(err)
	l.wants(q, "select n from item where id = 1", want)
}

// levelOfTx begins a transaction without the library, whose level must hold for
// all of it.
func (l *mssqlLab) levelOfTx(db *sqlx.DB, opts *sql.TxOptions, want string) {
	l.Helper()
	tx, err := db.BeginTxx(l.ctx, opts)
	l.check(err)
	defer tx.Rollback()
	l.wants(tx, ownLevel, want)
	l.levelByExec(tx, want)
	l.wants(tx, ownLevel, want)
}

// TestMSSQLLabelOfTheNext has a label that whoever comes next must not carry.
func TestMSSQLLabelOfTheNext(t *testing.T) {
	l := newMSSQLLab(t)
	m := l.pool(1)
	// The server's own session views show "billing" to everybody.
	const shown = "select count(*) from sys.dm_exec_sessions where substring(context_info, 1, 7) = 0x62696c6c696e67"
	for _, opts := range [][]uow.Option{{uow.Label("billing")}, {uow.Label("billing"), lockA}} {
		l.check(m.Do(l.ctx, func(_ context.Context, u *uow.UnitOfWork) error {
			l.wants(u, shown, "1")
			l.wants(l.watch, shown, "1")
			return nil
		}, opts...))
		l.wants(m.DB(), shown, "0")
		l.check(m.Do(l.ctx, func(_ context.Context, u *uow.UnitOfWork) error {
			l.wants(u, shown, "0")
			return nil
		}))
		l.check(m.Do(l.ctx, func(_ context.Context, u *uow.UnitOfWork) error {
			l.wants(u, shown, "0")
			return nil
		}, lockA))
	}
}

func TestMSSQLUnsupportedUnits(t *testing.T) {
	l := newMSSQLLab(t)
	m := l.pool(1)
	for _, opt := range []uow.Option{uow.ReadOnly(), uow.Isolation(sql.LevelLinearizable), uow.Isolation(sql.LevelWriteCommitted)} {
		l.wantIs(m.Do(l.ctx, exec(leak), opt), dialect.Unsupported)
	}
	for _, statement := range []string{"commit", "begin transaction", "save transaction s", "set implicit_transactions on"} {
		l.check(m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			l.wantIs(exec(statement)(ctx, u), dialect.Unsupported)
			return exec("update item set n = n + 1 where id = 1")(ctx, u)
		}))
	}
	l.wants(l.watch, "select sum(n) from item", "4")
}

// TestMSSQLSnapshot has locks before the snapshot, and none after it.
func TestMSSQLSnapshot(t *testing.T) {
	l := newMSSQLLab(t)
	if l.ask(l.watch, "select snapshot_isolation_state from sys.databases where name = db_name()") != "1" {
		t.Skip("the database does not allow snapshot isolation")
	}
	holder := l.begin(l.pool(1), lockA)
	m := l.pool(1)
	done := l.start(func() error {
		return m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			l.wants(u, "select n from item where id = 1", "7")
			err := applock.Acquire(ctx, u, applock.Exclusive("b"))
			l.wantIs(err, applock.ErrSnapshotTaken)
			return exec("update item set n = n + 1 where id = 1")(ctx, u)
		}, lockA, uow.Isolation(sql.LevelSnapshot))
	})
	l.until(mssqlWaiting, "1")
	l.check(exec("update item set n = 7 where id = 1")(l.ctx, holder.UnitOfWork))
	l.check(holder.Commit(l.ctx))
	l.check(l.ended(done))
	l.wants(l.watch, "select n from item where id = 1", "8")
}

// TestMSSQLSnapshotConflict has an update of a row that was changed since: 3960.
func TestMSSQLSnapshotConflict(t *testing.T) {
	l := newMSSQLLab(t)
	m, runs := l.pool(1), 0
	l.check(m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		if err := get("select n from item where id = 1")(ctx, u); err != nil {
			return err
		}
		if runs++; runs == 1 {
			l.do("update item set n = 5 where id = 1")
		}
		err := exec("update item set n = n + 1 where id = 1")(ctx, u)
		if runs == 1 {
			l.wantIs(err, dialect.Serialization)
		}
		return err
	}, uow.Isolation(sql.LevelSnapshot), uow.Retry(uow.RetryPolicy{})))
	l.wants(l.watch, "select n from item where id = 1", "6")
}

// TestMSSQLSnapshotNotAllowed meets error 3952 at the first statement.
func TestMSSQLSnapshotNotAllowed(t *testing.T) {
	l := newMSSQLLab(t)
	l.do("alter database current set allow_snapshot_isolation off")
	m := l.pool(1)
	err := m.Do(l.ctx, get("select n from item where id = 1"), lockA, uow.Isolation(sql.LevelSnapshot))
	var answer mssqldb.Error
	if !errors.As(err, &answer) || answer.Number != 3952 || uow.IsRetryable(err) {
		t.Errorf("error %v", err)
	}
	l.wants(m.DB(), ownLevel, readCommitted)
	l.wants(l.watch, mssqlHeld, "0")
}

package dialecttest

import (
	"context"
	"database/sql"
	"errors"

	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/uow"
)

var abortCases = []testCase{
	{"after a statement error nothing more is sent", abortSendsNothing},
	{"after an error of the first statement nothing more is sent", firstStatementAborts},
	{"after an error met while reading rows nothing autocommits", rowsAbort},
	{"after an error in a prepared statement nothing autocommits", preparedAborts},
	{"Nested recovers from an error met while reading rows", nestedRowsAbort},
	{"after a statement that ended the transaction nothing autocommits", statementEndsTransaction},
	{"an error that the server has not seen dooms nothing", clientSideError},
	{"COMMIT of a failed transaction is no success", commitOfFailed},
}

// wantDead tries everything in a unit that only can be rolled back because of
// cause, and reports what is not refused.
func (e *env) wantDead(ctx context.Context, u *uow.UnitOfWork, cause error) {
	e.Helper()
	for use, err := range e.everyUse(ctx, u) {
		if !errors.Is(err, uow.ErrRollbackOnly) || cause != nil && !errors.Is(err, cause) {
			e.Errorf("%s after the abort: %v", use, err)
		}
	}
}

func abortSendsNothing(e *env) {
	e.store(1)
	asked, db := e.traced()
	err := e.manager(db).Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.check(e.insert(ctx, u, 2))
		failed := e.insert(ctx, u, 1)
		e.wantSilence(asked, func() { e.wantDead(ctx, u, failed) })
		return nil
	})
	wantAs[*uow.UnexpectedRollbackError](e, err)
	e.wantItems(1)
}

func firstStatementAborts(e *env) {
	e.store(1)
	asked, db := e.traced()
	db.SetMaxOpenConns(1)
	m := e.manager(db)
	firsts := map[string]func(context.Context, *uow.UnitOfWork) error{
		"exec": func(ctx context.Context, u *uow.UnitOfWork) error { return e.insert(ctx, u, 1) },
		"query": func(ctx context.Context, u *uow.UnitOfWork) error {
			return second(u.QueryContext(ctx, "select id from nowhere"))
		},
		"row": func(ctx context.Context, u *uow.UnitOfWork) error {
			return u.QueryRowContext(ctx, "select id from nowhere").Scan(new(int))
		},
		"get": func(ctx context.Context, u *uow.UnitOfWork) error {
			return u.GetContext(ctx, new(int), "select id from nowhere")
		},
	}
	for name, first := range firsts {
		err := m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			failed := first(ctx, u)
			if failed == nil {
				e.Errorf("%s: no error", name)
			}
			e.wantSilence(asked, func() { e.wantDead(ctx, u, failed) })
			return nil
		})
		wantAs[*uow.UnexpectedRollbackError](e, err)
	}
	e.check(m.Do(e.ctx, e.adds(2)))
	e.wantItems(1, 2)
}

// failInRows reads rows until the server's error in their midst, and says
// nothing of it. Item 3 of the three must have n = 0.
func (e *env) failInRows(ctx context.Context, u *uow.UnitOfWork) {
	e.Helper()
	rows, err := u.QueryContext(ctx, e.failingQuery())
	if err != nil {
		return // the server has looked ahead
	}
	defer rows.Close()
	for rows.Next() {
		continue
	}
	if rows.Err() == nil {
		e.Error("no row has failed")
	}
}

// failingQuery fails at the item whose n is 0.
func (e *env) failingQuery() string {
	expression := "1 / n"
	if failer, ok := e.h.(RowFailer); ok {
		expression = failer.FailingRow()
	}
	return "select " + expression + " from item"
}

// storeDivisors stores the zero last, so that rows come before the error.
func (e *env) storeDivisors() {
	e.Helper()
	for id := range 2 {
		e.store(id + 1)
		e.check(e.bump(e.ctx, e.db, id+1))
	}
	e.store(3)
}

func rowsAbort(e *env) {
	e.storeDivisors()
	read := map[string]func(context.Context, *uow.UnitOfWork){
		"rows": e.failInRows,
		"select": func(ctx context.Context, u *uow.UnitOfWork) {
			_ = u.SelectContext(ctx, new([]int), e.failingQuery())
		},
	}
	for name, fail := range read {
		err := e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			e.check(e.insert(ctx, u, 4))
			fail(ctx, u)
			e.wantDead(ctx, u, nil)
			return nil
		})
		if err == nil {
			e.Errorf("%s: committed after the abort", name)
		}
		e.wantItems(1, 2, 3)
	}
}

func preparedAborts(e *env) {
	e.store(1)
	err := e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		stmt, err := u.PrepareContext(ctx, e.db.Rebind("insert into item (id, n) values (?, 0)"))
		e.check(err)
		defer stmt.Close()
		e.must(stmt.ExecContext(ctx, 2))
		if second(stmt.ExecContext(ctx, 1)) == nil {
			e.Error("a duplicate key was taken")
		}
		_ = second(stmt.ExecContext(ctx, 3))
		if e.insert(ctx, u, 4) == nil {
			e.Error("a statement ran after the abort")
		}
		return nil
	})
	if err == nil {
		e.Error("committed after the abort")
	}
	e.wantItems(1)
}

func nestedRowsAbort(e *env) {
	e.storeDivisors()
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.check(e.insert(ctx, u, 4))
		err := e.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			e.check(e.insert(ctx, u, 5))
			e.failInRows(ctx, u)
			return nil
		}, uow.Nested())
		wantAs[*uow.UnexpectedRollbackError](e, err)
		return e.insert(ctx, u, 6)
	}))
	e.wantItems(1, 2, 3, 4, 6)
}

// statementEndsTransaction sends COMMIT and ROLLBACK as SQL. A dialect that
// sees through it refuses them, and the unit is as it was.
func statementEndsTransaction(e *env) {
	for statement, outcome := range map[string]uow.Outcome{"rollback": uow.RolledBack, "commit": uow.Committed} {
		refused := false
		err := e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			e.check(e.insert(ctx, u, 1))
			refused = errors.Is(second(u.ExecContext(ctx, statement)), dialect.Unsupported)
			if refused {
				return e.insert(ctx, u, 2)
			}
			if e.insert(ctx, u, 2) == nil {
				e.Errorf("a statement ran after %s", statement)
			}
			return e.m.Do(ctx, e.adds(3), uow.Nested())
		})
		switch {
		case refused:
			e.check(err)
			e.wantItems(1, 2)
		case outcome == uow.Committed:
			e.wantItems(1)
		default:
			e.wantItems()
		}
		if !refused {
			e.wantIs(err, uow.ErrTransactionEnded)
			e.wantResolved(wantAs[*uow.InDoubtError](e, err), outcome)
		}
		e.must(e.db.ExecContext(e.ctx, "delete from item"))
	}
}

// clientSideError has arguments that no driver can send.
func clientSideError(e *env) {
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.check(e.insert(ctx, u, 1))
		_, err := u.NamedExecContext(ctx, "insert into item (id, n) values (:id, :n)", map[string]any{"id": 2})
		if err == nil {
			e.Error("a missing argument was taken")
		}
		e.wantIs(u.GetContext(ctx, new(int), "select id from item where id = 99"), sql.ErrNoRows)
		e.wantIs(u.QueryRowContext(ctx, "select id from item where id = 99").Scan(new(int)), sql.ErrNoRows)
		return e.insert(ctx, u, 3)
	}))
	e.wantItems(1, 3)
}

// commitOfFailed asks the dialect itself: a unit would not send COMMIT.
func commitOfFailed(e *env) {
	e.store(1)
	conn, err := e.db.Conn(e.ctx)
	e.check(err)
	defer conn.Close()
	tx, err := e.h.Dialect().Begin(e.ctx, conn, dialect.Begin{})
	e.check(err)
	insert := e.db.Rebind("insert into item (id, n) values (?, 0)")
	e.must(tx.Exec(e.ctx, insert, 2))
	if second(tx.Exec(e.ctx, insert, 1)) == nil {
		e.Error("a duplicate key was taken")
	}
	limited, cancel := context.WithTimeout(e.ctx, patience)
	defer cancel()
	outcome, err := tx.Commit(limited)
	wantEqual(e, "outcome", outcome, dialect.RolledBack)
	if err == nil {
		e.Error("no error")
	}
	e.wantItems(1)
}

var leftoverCases = []testCase{
	{"isolation of one unit is not seen by the next user of the connection", twoWriters(isolationNotLeft)},
	{"read-only of one unit is not seen by the next user of the connection", readOnlyNotLeft},
	{"a read-only unit cannot write", readOnlyRefuses},
	{"a snapshot unit sees one snapshot", snapshotHolds},
}

// seesChange reports whether a unit sees what others commit between its reads.
func (e *env) seesChange(m *uow.Manager, opts ...uow.Option) (sees bool, err error) {
	e.Helper()
	err = m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		var before, after int
		if err := u.GetContext(ctx, &before, "select n from item where id = 1"); err != nil {
			return err
		}
		e.check(e.bump(ctx, e.db, 1))
		err := u.GetContext(ctx, &after, "select n from item where id = 1")
		sees = after != before
		return err
	}, opts...)
	return sees, err
}

// skipUnsupported skips the case where err says that the engine has no such
// thing, and ends it on another error.
func (e *env) skipUnsupported(err error) {
	e.Helper()
	if errors.Is(err, dialect.Unsupported) {
		e.Skip(err)
	}
	e.check(err)
}

func isolationNotLeft(e *env) {
	e.store(1)
	db := e.pooled(1)
	m := e.manager(db)
	for _, level := range []sql.IsolationLevel{sql.LevelSerializable, sql.LevelRepeatableRead} {
		for _, verdict := range []error{nil, errWork} {
			err := m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
				return errors.Join(u.GetContext(ctx, new(int), "select n from item where id = 1"), verdict)
			}, uow.Isolation(level))
			e.wantIs(err, verdict)
			sees, err := e.seesChange(m)
			e.check(err)
			wantEqual(e, "next unit reads what others commit", sees, true)
		}
	}
}

func snapshotHolds(e *env) {
	e.store(1)
	sees, err := e.seesChange(e.m, uow.Isolation(sql.LevelSnapshot))
	e.skipUnsupported(err)
	wantEqual(e, "reads what others commit", sees, false)
}

func readOnlyNotLeft(e *env) {
	m := e.manager(e.pooled(1))
	e.skipUnsupported(m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		return u.GetContext(ctx, new(int), "select count(*) from item")
	}, uow.ReadOnly()))
	e.check(m.Do(e.ctx, e.adds(1)))
	e.wantItems(1)
}

func readOnlyRefuses(e *env) {
	err := e.m.Do(e.ctx, e.adds(1), uow.ReadOnly())
	if errors.Is(err, dialect.Unsupported) {
		e.Skip(err)
	}
	e.wantIs(err, dialect.ReadOnly)
	e.wantItems()
}

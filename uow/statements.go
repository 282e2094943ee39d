package uow

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect"
)

// ExecContext runs a statement that returns no rows. ctx governs the statement
// and, if it is the unit's first, the wait for a connection.
func (u *UnitOfWork) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if err := u.enter(ctx); err != nil {
		return nil, err
	}
	defer u.leave()
	u.entangleWork()
	t := u.unit
	if t.tx == nil && t.flat() {
		result, err := t.startExec(ctx, query, args)
		return result, t.settle(ctx, err)
	}
	if err := t.ready(ctx, query); err != nil {
		return nil, err
	}
	result, err := t.tx.Exec(ctx, query, args...)
	return result, t.settle(ctx, err)
}

// prepare claims the connection for a statement that is not run through the
// dialect. When it returns nil, leave follows.
func (u *UnitOfWork) prepare(ctx context.Context, query string) error {
	if err := u.enter(ctx); err != nil {
		return err
	}
	u.entangleWork()
	if err := u.unit.ready(ctx, query); err != nil {
		u.leave()
		return err
	}
	if o, ok := u.unit.tx.(dialect.Observer); ok {
		if err := o.Observe(query); err != nil {
			u.leave()
			return err
		}
	}
	return nil
}

// QueryContext runs a query. ctx governs it until its rows are closed. The rows
// must be closed, or read to their end, before the unit is used again:
// ErrRowsOpen.
func (u *UnitOfWork) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if err := u.prepare(ctx, query); err != nil {
		return nil, err
	}
	defer u.leave()
	limited, cancel := context.WithCancel(ctx)
	rows, err := u.unit.conn.QueryContext(limited, query, args...)
	if err != nil {
		defer cancel()
		return nil, u.unit.settle(ctx, err)
	}
	u.unit.rows.add(rows, cancel)
	return rows, nil
}

// QueryxContext is QueryContext returning sqlx.Rows.
func (u *UnitOfWork) QueryxContext(ctx context.Context, query string, args ...any) (*sqlx.Rows, error) {
	if err := u.prepare(ctx, query); err != nil {
		return nil, err
	}
	defer u.leave()
	limited, cancel := context.WithCancel(ctx)
	rows, err := u.unit.conn.QueryxContext(limited, query, args...)
	if err != nil {
		defer cancel()
		return nil, u.unit.settle(ctx, err)
	}
	u.unit.rows.add(rows, cancel)
	return rows, nil
}

// QueryRowContext runs a query of at most one row. Errors wait for the row's
// Scan, which must be called before the unit is used again.
func (u *UnitOfWork) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if err := u.prepare(ctx, query); err != nil {
		return refusedRow(ctx, err)
	}
	defer u.leave()
	ctx, cancel := context.WithCancel(ctx)
	row := u.unit.conn.QueryRowContext(ctx, query, args...)
	if err := row.Err(); err != nil {
		defer cancel()
		return refusedRow(ctx, u.unit.settle(ctx, err))
	}
	u.unit.rows.add(nil, cancel)
	return row
}

// QueryRowxContext is QueryRowContext returning sqlx.Row.
func (u *UnitOfWork) QueryRowxContext(ctx context.Context, query string, args ...any) *sqlx.Row {
	if err := u.prepare(ctx, query); err != nil {
		return u.refusedRowx(ctx, err)
	}
	defer u.leave()
	ctx, cancel := context.WithCancel(ctx)
	row := u.unit.conn.QueryRowxContext(ctx, query, args...)
	if err := row.Err(); err != nil {
		defer cancel()
		return u.refusedRowx(ctx, u.unit.settle(ctx, err))
	}
	u.unit.rows.add(row, cancel)
	return row
}

// PrepareContext prepares a statement on the unit's connection. It must be
// closed before the unit ends, which makes it unusable. Its use is not seen by
// the unit: it is the caller's to keep it to one goroutine.
func (u *UnitOfWork) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	if err := u.prepare(ctx, query); err != nil {
		return nil, err
	}
	defer u.leave()
	u.unit.unseen.Store(true)
	stmt, err := u.unit.conn.PrepareContext(ctx, query)
	return stmt, u.unit.settle(ctx, err)
}

// PreparexContext is PrepareContext returning sqlx.Stmt.
func (u *UnitOfWork) PreparexContext(ctx context.Context, query string) (*sqlx.Stmt, error) {
	if err := u.prepare(ctx, query); err != nil {
		return nil, err
	}
	defer u.leave()
	u.unit.unseen.Store(true)
	stmt, err := u.unit.conn.PreparexContext(ctx, query)
	return stmt, u.unit.settle(ctx, err)
}

// GetContext runs a query and scans its first row into dest. It returns
// sql.ErrNoRows when there is none.
func (u *UnitOfWork) GetContext(ctx context.Context, dest any, query string, args ...any) error {
	return u.readRows(ctx, sqlx.GetContext(ctx, u, dest, query, args...))
}

// SelectContext runs a query and scans its rows into dest, a pointer to a slice.
func (u *UnitOfWork) SelectContext(ctx context.Context, dest any, query string, args ...any) error {
	return u.readRows(ctx, sqlx.SelectContext(ctx, u, dest, query, args...))
}

// readRows settles an error that sqlx met while it read rows.
func (u *UnitOfWork) readRows(ctx context.Context, err error) error {
	if !answered(u.unit.core.dialect, err) || !u.unit.wire.TryLock() {
		return err
	}
	defer u.leave()
	return u.unit.settle(ctx, err)
}

// NamedExecContext binds the fields or keys of arg to :names in query and runs
// it as ExecContext does.
func (u *UnitOfWork) NamedExecContext(ctx context.Context, query string, arg any) (sql.Result, error) {
	bound, args, err := u.BindNamed(query, arg)
	if err != nil {
		return nil, err
	}
	return u.ExecContext(ctx, bound, args...)
}

// NamedQueryContext binds the fields or keys of arg to :names in query and runs
// it as QueryxContext does.
func (u *UnitOfWork) NamedQueryContext(ctx context.Context, query string, arg any) (*sqlx.Rows, error) {
	bound, args, err := u.BindNamed(query, arg)
	if err != nil {
		return nil, err
	}
	return u.QueryxContext(ctx, bound, args...)
}

// DriverName returns the name that the database was opened with.
func (u *UnitOfWork) DriverName() string { return u.unit.core.db.DriverName() }

// Rebind turns ? placeholders into those of the database.
func (u *UnitOfWork) Rebind(query string) string { return u.unit.core.db.Rebind(query) }

// BindNamed turns :names and the fields or keys of arg into placeholders of the
// database and their values.
func (u *UnitOfWork) BindNamed(query string, arg any) (string, []any, error) {
	return u.unit.core.db.BindNamed(query, arg)
}

// Raw gives f the driver's connection, inside the open transaction, for what
// database/sql does not offer. f must leave the transaction open and must not
// keep the connection. An error of f is treated as a statement's. ctx of the
// scope governs the begin, if none was sent yet.
func (u *UnitOfWork) Raw(f func(driverConn any) error) error {
	if f == nil {
		return fmt.Errorf("%w: nil function", ErrInvalid)
	}
	if err := u.prepare(u.ctx, ""); err != nil {
		return err
	}
	defer u.leave()
	return u.unit.settle(u.ctx, u.unit.conn.Raw(func(pooled any) error {
		if d, ok := u.unit.core.dialect.(dialect.Unwrapper); ok {
			pooled = d.DriverConn(pooled)
		}
		return f(pooled)
	}))
}

package mssql

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"slices"

	mssql "github.com/microsoft/go-mssqldb"
)

// rows are those of a query in a unit.
type rows struct {
	*mssql.Rows
	conn    *Conn
	ctx     context.Context
	release func() // nil once closed
}

// Next implements driver.Rows.
func (r *rows) Next(dest []driver.Value) error {
	err := r.Rows.Next(dest)
	if err == io.EOF {
		return err
	}
	return r.conn.note(r.ctx, err)
}

// Close reads what is left rather than to have it cancelled, which under
// XACT_ABORT would end the transaction.
func (r *rows) Close() error {
	if r.release == nil {
		return nil
	}
	var err error
	if r.ctx.Err() == nil && r.conn.IsValid() {
		err = drain(r.Rows)
	}
	err = r.conn.note(r.ctx, errors.Join(err, r.Rows.Close()))
	if r.ctx.Err() != nil {
		r.conn.failed = true
	}
	r.release()
	r.release = nil
	r.conn.open--
	return err
}

// drain reads rows and further result sets to their end.
func drain(r *mssql.Rows) error { return readEach(r, func([]driver.Value) {}) }

// readAll returns the rows of all result sets.
func readAll(r *mssql.Rows) ([][]driver.Value, error) {
	var all [][]driver.Value
	err := readEach(r, func(row []driver.Value) { all = append(all, slices.Clone(row)) })
	return all, err
}

func readEach(r *mssql.Rows, f func([]driver.Value)) error {
	for {
		row := make([]driver.Value, len(r.Columns()))
		err := r.Next(row)
		for ; err == nil; err = r.Next(row) {
			f(row)
		}
		if err != io.EOF {
			return err
		}
		if !r.HasNextResultSet() {
			return nil
		}
		if err := r.NextResultSet(); err != nil {
			return err
		}
	}
}

package mssql

import (
	"database/sql"
	"database/sql/driver"
	"fmt"

	mssql "github.com/microsoft/go-mssqldb"
)

// The driver notes where the outputs of a call go on its connection when it checks
// the arguments, and forgets it with the next request. So they are checked beside
// it at first, and given to it when all else has been sent.

// output is an argument that the driver has yet to be given.
type output struct {
	value   any
	removed bool // it is not sent
}

// CheckNamedValue implements driver.NamedValueChecker, for what is no stmt.
func (*Conn) CheckNamedValue(v *driver.NamedValue) error {
	return new(mssql.Conn).CheckNamedValue(v)
}

// CheckNamedValue implements driver.NamedValueChecker.
func (s *stmt) CheckNamedValue(v *driver.NamedValue) error {
	given := v.Value
	err := new(mssql.Conn).CheckNamedValue(v)
	_, isOut := given.(sql.Out)
	_, isStatus := given.(*mssql.ReturnStatus)
	removed := err == driver.ErrRemoveArgument
	switch {
	case removed && !isStatus && s.conn.inUnit:
		return unsupported("message queues do not tell a unit of work of errors and of open rows")
	case removed, isOut && err == nil:
		v.Value = output{given, removed}
		return nil
	}
	return err
}

// NumInput implements driver.Stmt: bind counts, for not all arguments are sent.
func (s *stmt) NumInput() int { return -1 }

func removedOf(args []driver.NamedValue) (n int) {
	for _, a := range args {
		if o, ok := a.Value.(output); ok && o.removed {
			n++
		}
	}
	return n
}

// bind gives the driver the outputs among the arguments and returns those that
// are sent.
func (s *stmt) bind(args []driver.NamedValue) ([]driver.NamedValue, error) {
	got := len(args) - removedOf(args)
	if want := s.Stmt.NumInput(); want >= 0 && want != got {
		return nil, fmt.Errorf("mssql: expected %d arguments, got %d", want, got)
	}
	bound := make([]driver.NamedValue, 0, got)
	for _, a := range args {
		if o, ok := a.Value.(output); ok {
			a.Value = o.value
			if err := s.conn.Conn.CheckNamedValue(&a); err != nil && !o.removed {
				return nil, err
			}
			if o.removed {
				continue
			}
		}
		a.Ordinal = len(bound) + 1
		bound = append(bound, a)
	}
	return bound, nil
}

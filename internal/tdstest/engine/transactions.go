package engine

import (
	"fmt"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/tsql"
)

// maxName is the length of the names of transactions and savepoints; what is
// longer is an error in the text of a batch, and cut in a variable.
const maxName = 32

func (x *exec) transaction(s *tsql.Transaction) error {
	name, err := x.transactionName(s.Name)
	if err != nil {
		return err
	}
	switch s.Kind {
	case tsql.BeginTransaction:
		return x.begin(name)
	case tsql.CommitTransaction:
		return x.commit()
	case tsql.SaveTransaction:
		return x.save(name)
	}
	return x.rollback(name)
}

func (x *exec) transactionName(name string) (string, error) {
	if name == "" || name[0] != '@' {
		if units(name) > maxName {
			return "", fault(103, "The identifier that starts with '%s' is too long. Maximum length is %d.", sliceUnits(name, 0, maxName), maxName)
		}
		return name, nil
	}
	v, err := x.variable(name)
	if err != nil {
		return "", err
	}
	text, ok := v.v.(string)
	if !ok {
		return "", fault(3917, "Cannot bind to a transaction name or savepoint name that is not text.")
	}
	return sliceUnits(text, 0, maxName), nil
}

func (x *exec) begin(name string) error {
	if x.s.beginTransaction(name) {
		x.out.token().Transaction(Began, x.s.tran.descriptor)
	}
	x.ended(cmdBegin)
	return nil
}

func (x *exec) commit() error {
	switch {
	case x.s.tran == nil:
		return fault(3902, "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.")
	case x.s.tran.doomed:
		return doomed()
	}
	if x.s.count--; x.s.count == 0 {
		d := x.s.endTransaction(true)
		x.out.token().Transaction(Committed, d)
	}
	x.ended(cmdCommit)
	return nil
}

func (x *exec) save(name string) error {
	switch {
	case x.s.tran == nil:
		return fault(628, "Cannot issue SAVE TRANSACTION when there is no active transaction.")
	case x.s.tran.doomed:
		return doomed()
	case units(name) > maxName:
		return fault(103, "The identifier that starts with '%s' is too long. Maximum length is %d.", sliceUnits(name, 0, maxName), maxName)
	}
	t := x.s.tran
	t.saves = append(t.saves, savepoint{name, t.here(), x.server.locks.Mark(t.owner)})
	x.ended(cmdSave)
	return nil
}

// rollback ends the transaction, or returns to a savepoint. A name that is the
// outermost transaction's own means all of it.
func (x *exec) rollback(name string) error {
	t := x.s.tran
	if t == nil {
		return fault(3903, "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.")
	}
	if name == "" {
		x.rollBackAll()
		x.ended(cmdRollback)
		return nil
	}
	for i := len(t.saves) - 1; i >= 0; i-- {
		if t.saves[i].name != name { // savepoint names are compared binary
			continue
		}
		if t.doomed {
			return fault(3931, "The current transaction cannot be rolled back to a savepoint. Roll back the entire transaction.")
		}
		p := t.saves[i]
		t.saves = t.saves[:i]
		x.server.undoTo(t, p.point)
		x.server.locks.ReleaseSince(t.owner, p.locks)
		x.ended(cmdRollback)
		return nil
	}
	if name == t.name {
		x.rollBackAll()
		x.ended(cmdRollback)
		return nil
	}
	return fault(6401, "Cannot roll back %s. No transaction or savepoint of that name was found.", name)
}

// mismatch is what a procedure raises that ends with another @@TRANCOUNT than
// it began with.
func mismatch(before, after int) *failure {
	f := fault(266, "%s", fmt.Sprintf("Transaction count after EXECUTE indicates a mismatching number of BEGIN and COMMIT statements. "+
		"Previous count = %d, current count = %d.", before, after))
	f.exempt = true
	return f
}

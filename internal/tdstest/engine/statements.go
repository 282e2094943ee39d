package engine

import (
	"github.com/lockstep-go/lockstep/internal/tdstest/engine/tsql"
)

// dispatch runs one statement. A *failure it returns is new, or on its way to
// a TRY block.
func (x *exec) dispatch(s tsql.Statement) (signal, error) {
	switch s := s.(type) {
	case *tsql.If:
		return x.ifStatement(s)
	case *tsql.While:
		return x.while(s)
	case *tsql.Block:
		return x.run(s.Body)
	case *tsql.Try:
		return x.try(s)
	case *tsql.Break:
		return signal{kind: breaks}, nil
	case *tsql.Continue:
		return signal{kind: continues}, nil
	case *tsql.Return:
		return x.returnStatement(s)
	case *tsql.Goto:
		return signal{kind: jumps, label: s.Label}, nil
	case *tsql.Label:
		return signal{}, nil
	}
	x.s.publish(commandName(s), true)
	return signal{}, x.simple(s)
}

// simple runs a statement that does not change the flow.
func (x *exec) simple(s tsql.Statement) error {
	switch s := s.(type) {
	case *tsql.Query:
		return x.query(s)
	case *tsql.Insert:
		return x.insert(s)
	case *tsql.Update:
		return x.update(s)
	case *tsql.Delete:
		return x.delete(s)
	case *tsql.Truncate:
		return x.truncate(s)
	case *tsql.Variables:
		return x.declare(s)
	case *tsql.SetVariable:
		return x.setVariable(s)
	case *tsql.SetOption:
		return x.setOption(s)
	case *tsql.SetIsolation:
		return x.setIsolation(s)
	case *tsql.Print:
		return x.print(s)
	case *tsql.RaiseError:
		return x.raiseError(s)
	case *tsql.Throw:
		return x.throw(s)
	case *tsql.WaitFor:
		return x.waitFor(s)
	case *tsql.Execute:
		return x.execute(s)
	case *tsql.Transaction:
		return x.transaction(s)
	case *tsql.Use:
		return x.useStatement(s)
	case *tsql.Kill:
		return x.kill(s)
	}
	return x.define(s)
}

// commandName is what sys.dm_exec_requests shows.
func commandName(s tsql.Statement) string {
	switch s := s.(type) {
	case *tsql.Query:
		return "SELECT"
	case *tsql.Insert:
		return "INSERT"
	case *tsql.Update:
		return "UPDATE"
	case *tsql.Delete:
		return "DELETE"
	case *tsql.WaitFor:
		return "WAITFOR"
	case *tsql.Execute:
		return "EXECUTE"
	case *tsql.Transaction:
		return [...]string{"BEGIN TRANSACTION", "COMMIT TRANSACTION", "ROLLBACK TRANSACTION", "SAVE TRANSACTION"}[s.Kind]
	case *tsql.Print, *tsql.RaiseError, *tsql.Throw:
		return "PRINT"
	case *tsql.SetOption, *tsql.SetIsolation, *tsql.SetVariable, *tsql.Variables:
		return "SET"
	case *tsql.Kill:
		return "KILL"
	}
	return "DDL"
}

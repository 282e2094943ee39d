package engine

import (
	"maps"
	"slices"
	"time"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/locks"
	"github.com/lockstep-go/lockstep/internal/tdstest/engine/tsql"
)

func (x *exec) declare(s *tsql.Variables) error {
	for _, item := range s.Items {
		if x.scope.variables[foldName(item.Name)] != nil || x.scope.tables[foldName(item.Name)] != nil {
			// A loop may pass a declaration again; the server keeps the value.
			if item.Value == nil {
				continue
			}
		}
		if item.Table != nil {
			t, err := x.newTable(item.Table, item.Name)
			if err != nil {
				return err
			}
			t.private, t.variable = true, true
			x.scope.tables[foldName(item.Name)] = t
			continue
		}
		t, err := resolveType(item.Type, false)
		if err != nil {
			return err
		}
		v := &value{typ: t}
		if item.Value != nil {
			if v.v, err = x.scalar(item.Value, t); err != nil {
				return err
			}
		}
		x.scope.variables[foldName(item.Name)] = v
	}
	return nil
}

// variable returns a declared variable.
func (x *exec) variable(name string) (*value, error) {
	if v := x.scope.variables[foldName(name)]; v != nil {
		return v, nil
	}
	return nil, fault(137, "Must declare the scalar variable \"%s\".", name)
}

func (x *exec) setVariable(s *tsql.SetVariable) error {
	v, err := x.variable(s.Name)
	if err != nil {
		return err
	}
	e := s.X
	if s.Op != "=" {
		e = &tsql.Operation{Op: s.Op, L: &tsql.Variable{Name: s.Name}, R: s.X}
	}
	result, err := x.scalar(e, v.typ)
	if err != nil {
		return err
	}
	v.v = result
	x.s.lastRows = 1
	return nil
}

// otherOptions have an effect, or a value, of their own.
var otherOptions = []string{
	"XACT_ABORT", "NOCOUNT", "IMPLICIT_TRANSACTIONS", "LOCK_TIMEOUT", "CONTEXT_INFO", "DEADLOCK_PRIORITY", "ROWCOUNT",
	"TEXTSIZE", "DATEFIRST", "LANGUAGE", "DATEFORMAT", "QUERY_GOVERNOR_COST_LIMIT",
}

// flagOptions change nothing that the simulator shows beyond @@OPTIONS and
// SESSIONPROPERTY.
var flagOptions = map[string]int64{
	"ANSI_WARNINGS": 8, "ANSI_PADDING": 16, "ANSI_NULLS": 32, "ARITHABORT": 64, "ARITHIGNORE": 128,
	"QUOTED_IDENTIFIER": 256, "ANSI_NULL_DFLT_ON": 1024, "ANSI_NULL_DFLT_OFF": 2048, "CONCAT_NULL_YIELDS_NULL": 4096,
	"NUMERIC_ROUNDABORT": 8192, "CURSOR_CLOSE_ON_COMMIT": 4, "FMTONLY": 0, "STATISTICS IO": 0, "STATISTICS TIME": 0,
	"FORCEPLAN": 0, "ANSI_DEFAULTS": 0, "REMOTE_PROC_TRANSACTIONS": 0,
}

func (x *exec) setOption(s *tsql.SetOption) error {
	for _, name := range s.Names {
		if err := x.setOne(name, s); err != nil {
			return err
		}
	}
	switch {
	case s.Value != nil || s.Word != "":
		x.ended(cmdSet)
	case s.On:
		x.ended(cmdSetOn)
	default:
		x.ended(cmdSetOff)
	}
	return nil
}

func (x *exec) setOne(name string, s *tsql.SetOption) error {
	o := &x.s.options
	valued := s.Value != nil || s.Word != ""
	_, flag := flagOptions[name]
	if !flag && !slices.Contains(otherOptions, name) {
		return fault(195, "'%s' is not a recognized SET option.", name)
	}
	if valued == (flag || name == "XACT_ABORT" || name == "NOCOUNT" || name == "IMPLICIT_TRANSACTIONS") {
		return fault(102, "Incorrect syntax near '%s'.", name)
	}
	switch name {
	case "XACT_ABORT":
		o.xactAbort = s.On
	case "NOCOUNT":
		o.nocount = s.On
	case "IMPLICIT_TRANSACTIONS":
		o.implicit = s.On
	case "LOCK_TIMEOUT":
		return x.setLockTimeout(s)
	case "CONTEXT_INFO":
		return x.setContextInfo(s)
	case "DEADLOCK_PRIORITY":
		return x.setPriority(s)
	case "ROWCOUNT":
		v, err := x.scalar(s.Value, typeBigInt)
		if err != nil {
			return err
		}
		o.rowCount = toInt(v)
	case "TEXTSIZE", "DATEFIRST", "LANGUAGE", "DATEFORMAT", "QUERY_GOVERNOR_COST_LIMIT":
	default:
		o.flags = maps.Clone(o.flags)
		o.flags[name] = s.On
	}
	return nil
}

func (x *exec) setLockTimeout(s *tsql.SetOption) error {
	v, err := x.scalar(s.Value, typeInt)
	if err != nil {
		return err
	}
	if n := toInt(v); n < 0 {
		x.s.options.lockTimeout = locks.Forever
	} else {
		x.s.options.lockTimeout = time.Duration(n) * time.Millisecond
	}
	return nil
}

func (x *exec) setContextInfo(s *tsql.SetOption) error {
	v, err := x.scalar(s.Value, varbinary(128))
	if err != nil {
		return err
	}
	b, _ := v.([]byte)
	x.s.contextInfo = append([]byte(nil), b...)
	if v != nil { // the server keeps 128 bytes, zeroes included
		x.s.contextInfo = append(x.s.contextInfo, make([]byte, 128-len(b))...)
	}
	return nil
}

func (x *exec) setPriority(s *tsql.SetOption) error {
	words := map[string]int32{"LOW": -5, "NORMAL": 0, "HIGH": 5}
	if n, ok := words[s.Word]; ok {
		x.s.options.priority = n
		return nil
	}
	if s.Value == nil {
		return fault(102, "Incorrect syntax near '%s'.", s.Word)
	}
	v, err := x.scalar(s.Value, typeInt)
	if err != nil {
		return err
	}
	x.s.options.priority = int32(min(max(toInt(v), -10), 10))
	return nil
}

func (x *exec) setIsolation(s *tsql.SetIsolation) error {
	level := isolationNames[s.Level]
	if level == Snapshot && x.s.tran != nil && x.s.tran.isolation != Snapshot {
		return fault(3951, "Transaction failed in database '%s' because the statement was run under snapshot isolation but the transaction "+
			"did not start in snapshot isolation. You cannot change the isolation level of the transaction to snapshot after the transaction "+
			"has started unless the transaction was originally started under snapshot isolation level.", x.s.db.name)
	}
	x.s.isolation = level
	x.ended(cmdSet)
	return nil
}

// optionBits is @@OPTIONS.
func (o *options) bits() int64 {
	var n int64
	for name, bit := range flagOptions {
		if o.flags[name] {
			n |= bit
		}
	}
	if o.implicit {
		n |= 2
	}
	if o.nocount {
		n |= 512
	}
	if o.xactAbort {
		n |= 16384
	}
	return n
}

func (x *exec) useStatement(s *tsql.Use) error {
	if f := x.s.use(s.Database); f != nil {
		return f
	}
	out := x.out.token()
	out.Database(x.s.db.name)
	x.info(5701, 2, "Changed database context to '"+x.s.db.name+"'.")
	x.ended(cmdSet)
	return nil
}

func (x *exec) kill(s *tsql.Kill) error {
	v, err := x.scalar(s.X, typeInt)
	if err != nil {
		return err
	}
	id := int(toInt(v))
	switch {
	case !x.server.may(x.s.user, "ALTER ANY CONNECTION"):
		return fault(6102, "User does not have permission to use the KILL statement.")
	case id == x.s.id:
		return fault(6104, "Cannot use KILL to kill your own process.")
	case !x.server.Kill(id):
		return fault(6106, "Process ID %d is not an active process ID.", id)
	}
	x.ended(cmdSet)
	return nil
}

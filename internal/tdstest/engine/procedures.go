package engine

import (
	"errors"
	"fmt"
	"strings"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/tsql"
)

// argument is what a call passes: by name, or by place when name is empty.
// target takes the value of an OUTPUT parameter back.
type argument struct {
	name    string
	value   value
	preset  bool // DEFAULT
	output  bool
	target  *value
	pending func(value) // tells a remote caller
}

// execute runs EXEC.
func (x *exec) execute(s *tsql.Execute) error {
	if s.Dynamic != nil {
		return x.dynamic(s)
	}
	name := s.Procedure
	if s.Variable != "" {
		v, err := x.variable(s.Variable)
		if err != nil {
			return err
		}
		text, _ := v.v.(string)
		if name, err = tsql.SplitName(text); err != nil {
			return fault(2812, "Could not find stored procedure '%s'.", text)
		}
	}
	var args []argument
	for _, a := range s.Args {
		arg, err := x.argument(a)
		if err != nil {
			return err
		}
		args = append(args, arg)
	}
	var result *value
	if s.Result != "" {
		var err error
		if result, err = x.variable(s.Result); err != nil {
			return err
		}
	}
	status, err := x.call(name, args)
	if err != nil {
		return err
	}
	if result != nil {
		if result.v, err = convert(int64(status), typeInt, result.typ, 0); err != nil {
			return err
		}
	}
	x.callEnded(status)
	return nil
}

// callEnded writes the end of a procedure's call from SQL. The client learns
// the status of those alone that its own batch called.
func (x *exec) callEnded(status int32) {
	if x.out.depth == 0 {
		x.out.token().ReturnStatus(status)
		x.out.end(DoneProc, 0, cmdExec, 0)
		return
	}
	x.ended(cmdExec)
}

func (x *exec) argument(a tsql.Argument) (argument, error) {
	arg := argument{name: a.Name, output: a.Output}
	if l, ok := a.X.(*tsql.Literal); ok && l.Kind == tsql.Default {
		arg.preset = true
		return arg, nil
	}
	v, err := x.value(a.X)
	if err != nil {
		return arg, err
	}
	arg.value = v
	if a.Output {
		if arg.target, err = x.variable(a.X.(*tsql.Variable).Name); err != nil {
			return arg, err
		}
	}
	return arg, nil
}

func (a *argument) giveBack(v value) error {
	if a.pending != nil {
		a.pending(v)
	}
	if !a.output || a.target == nil {
		return nil
	}
	var err error
	a.target.v, err = convert(v.v, v.typ, a.target.typ, 0)
	return err
}

// call runs a procedure and returns its status.
func (x *exec) call(name tsql.Name, args []argument) (int32, error) {
	if x.scope.level >= 32 {
		return 0, fault(217, "Maximum stored procedure, function, trigger, or view nesting level exceeded (limit 32).")
	}
	switch strings.ToLower(name.Last()) {
	case "sp_executesql":
		return x.executeSQL(args)
	case "sp_getapplock":
		return x.getAppLock(args)
	case "sp_releaseapplock":
		return x.releaseAppLock(args)
	case "sp_reset_connection":
		x.s.cleanUp()
		return 0, nil
	}
	m, err := x.procedure(name)
	if err != nil {
		return 0, err
	}
	return x.userProcedure(m, args)
}

func (x *exec) procedure(name tsql.Name) (*module, error) {
	_, o, err := x.lookUp(name)
	if err != nil {
		return nil, err
	}
	m, ok := o.(*module)
	if !ok || m.definition.Kind != "PROCEDURE" {
		f := fault(2812, "Could not find stored procedure '%s'.", strings.Join(name.Parts, "."))
		f.State = 62
		return nil, f
	}
	return m, nil
}

// inScope runs statements in a scope of their own: SET options are restored at
// its end, and @@TRANCOUNT must be as it was.
func (x *exec) inScope(procedure string, fill func(*scope) error, body func() error) (int32, error) {
	inner := newScope(procedure, x.scope)
	if err := fill(inner); err != nil {
		return 0, err
	}
	outer, line, options, isolation, count := x.scope, x.line, x.s.options, x.s.isolation, x.s.count
	x.scope = inner
	x.out.depth++
	err := body()
	x.out.depth--
	x.scope, x.line = outer, line
	x.s.options, x.s.isolation = options, isolation
	if errors.Is(err, errScopeEnded) {
		inner.status = x.s.lastError
		err = nil
	}
	if err == nil && x.s.count != count {
		f := mismatch(count, x.s.count)
		x.out.depth++
		_, err = x.failed(f)
		x.out.depth--
	}
	return inner.status, err
}

func (x *exec) userProcedure(m *module, args []argument) (int32, error) {
	d := m.definition
	var inner *scope
	status, err := x.inScope(m.name, func(s *scope) error {
		inner = s
		return x.bindParameters(s, m.name, d.Parameters, args)
	}, func() error {
		_, err := x.run(d.Body)
		return err
	})
	if err != nil {
		return status, err
	}
	return status, giveBack(inner, d.Parameters, args)
}

// bindParameters makes the variables of a procedure from a call's arguments.
func (x *exec) bindParameters(s *scope, procedure string, params []tsql.Parameter, args []argument) error {
	if len(args) > len(params) {
		return fault(8144, "Procedure or function %s has too many arguments specified.", procedure)
	}
	for i, p := range params {
		t, err := resolveType(p.Type, false)
		if err != nil {
			return err
		}
		v := &value{typ: t}
		s.variables[foldName(p.Name)] = v
		a := find(args, i, p.Name)
		switch {
		case a != nil && !a.preset:
			if a.output && !p.Output {
				return fault(8162, "The formal parameter \"%s\" was not declared as an OUTPUT parameter, but the actual parameter passed in requested output.", p.Name)
			}
			v.v, err = convert(a.value.v, a.value.typ, t, 0)
		case p.Default != nil:
			v.v, err = x.scalar(p.Default, t)
		case procedure == "":
			err = fault(8178, "The parameterized query '%s' expects the parameter '%s', which was not supplied.", "", p.Name)
		default:
			err = fault(201, "Procedure or function '%s' expects parameter '%s', which was not supplied.", procedure, p.Name)
		}
		if err != nil {
			return err
		}
	}
	for _, a := range args {
		if a.name != "" && s.variables[foldName(a.name)] == nil {
			return fault(8145, "%s is not a parameter for procedure %s.", a.name, procedure)
		}
	}
	return nil
}

// find returns the argument for parameter i: the one of its name, or the one
// in its place that has none.
func find(args []argument, i int, name string) *argument {
	for n := range args {
		if args[n].name != "" && sameName(args[n].name, name) {
			return &args[n]
		}
	}
	if i < len(args) && args[i].name == "" {
		return &args[i]
	}
	return nil
}

func giveBack(s *scope, params []tsql.Parameter, args []argument) error {
	for i, p := range params {
		if a := find(args, i, p.Name); a != nil && p.Output {
			if err := a.giveBack(*s.variables[foldName(p.Name)]); err != nil {
				return err
			}
		}
	}
	return nil
}

// dynamic runs EXEC ('...'), which sees no variables of its caller.
func (x *exec) dynamic(s *tsql.Execute) error {
	v, err := x.scalar(s.Dynamic, nvarchar(-1))
	if err != nil {
		return err
	}
	text, _ := v.(string)
	_, err = x.inScope("", func(*scope) error { return nil }, func() error { return x.text(text) })
	return err
}

// text parses and runs SQL in the present scope.
func (x *exec) text(sql string) error {
	nodes, err := x.parse(sql)
	if err != nil {
		return err
	}
	_, err = x.run(nodes)
	return err
}

// executeSQL is sp_executesql @stmt, @params, values...
func (x *exec) executeSQL(args []argument) (int32, error) {
	if len(args) == 0 {
		return 0, fault(201, "Procedure or function 'sp_executesql' expects parameter '@statement', which was not supplied.")
	}
	statement, ok := args[0].value.v.(string)
	if args[0].value.v != nil && (!ok || !args[0].value.typ.unicode()) {
		return 0, fault(214, "Procedure expects parameter '@statement' of type 'ntext/nchar/nvarchar'.")
	}
	declarations, rest := "", args[1:]
	if len(rest) > 0 {
		declarations, _ = rest[0].value.v.(string)
		rest = rest[1:]
	}
	params, err := tsql.ParseParameters(declarations)
	if err != nil {
		return 0, fault(102, "%s", err.Error())
	}
	var inner *scope
	status, err := x.inScope("", func(s *scope) error {
		inner = s
		if f := x.bindParameters(s, "", params, rest); f != nil {
			return withQuery(f, declarations, statement)
		}
		return nil
	}, func() error { return x.text(statement) })
	if err != nil {
		return status, err
	}
	if status == 0 {
		status = x.s.lastError
	}
	return status, giveBack(inner, params, rest)
}

// withQuery puts the query into error 8178, which alone names it.
func withQuery(err error, declarations, statement string) error {
	if f := (*failure)(nil); errors.As(err, &f) && f.Number == 8178 {
		f.Text = strings.Replace(f.Text, "query ''", fmt.Sprintf("query '(%s)%s'", declarations, statement), 1)
	}
	return err
}

// remote runs an RPC request.
func (x *exec) remote(proc string, params []Param) error {
	name, err := tsql.SplitName(proc)
	if err != nil {
		name = tsql.Name{Parts: []string{proc}}
	}
	results := make([]*value, len(params))
	args := make([]argument, len(params))
	for i, p := range params {
		v := internal(p)
		args[i] = argument{name: p.Name, value: v, output: p.Output}
		if p.Output {
			args[i].pending = func(v value) { results[i] = &v }
		}
	}
	if sameName(name.Last(), "sp_executesql") {
		for i := range min(2, len(args)) {
			args[i].name = ""
		}
	}
	status, err := x.call(name, args)
	return x.remoteEnded(params, results, status, err)
}

// remoteEnded writes the end of an RPC's reply. A batch that was aborted
// returns no status.
func (x *exec) remoteEnded(params []Param, results []*value, status int32, err error) error {
	if f := (*failure)(nil); errors.As(err, &f) {
		x.out.depth++
		_, err = x.failed(f)
		x.out.depth--
		if err == nil {
			status = x.s.lastError
		}
	}
	switch {
	case errors.Is(err, errBatchEnded), errors.Is(err, errScopeEnded):
		x.out.end(DoneProc, StatusError, cmdExec, 0)
		return nil
	case err != nil:
		return err
	}
	out := x.out.token()
	out.ReturnStatus(status)
	for i, p := range params {
		if r := results[i]; r != nil {
			out.ReturnValue(p.Name, r.typ, external(r.v))
		}
	}
	x.out.end(DoneProc, 0, cmdExec, 0)
	return nil
}

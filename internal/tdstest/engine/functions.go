package engine

import (
	"strings"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/tsql"
)

// function is a built-in function: least and most arguments, and how to
// compute it. result gives the type from those of the arguments.
type function struct {
	least, most int
	result      func(args []bound) Type
	// compute gets NULL arguments only if nulls is set.
	compute func(e *env, args []any) (any, error)
	nulls   bool
	// wants are the types that the arguments are brought to; a missing or
	// Unknown one leaves the argument as it is.
	wants []Type
}

func always(t Type) func([]bound) Type { return func([]bound) Type { return t } }

// asFirst gives the type of the first argument, as text if it is none.
func asFirst(args []bound) Type {
	t := args[0].typ
	if !t.text() && !t.bytes() {
		return nvarchar(4000)
	}
	return t
}

// call binds a function's call.
func (b *binder) call(c *tsql.Call) (bound, error) {
	if isAggregate(c.Name) && c.Schema == "" {
		return b.aggregate(c)
	}
	if c.Schema != "" && !sameName(c.Schema, "sys") {
		return bound{}, fault(4121, "Cannot find either column \"%s\" or the user-defined function or aggregate \"%s.%s\", or the name is ambiguous.",
			c.Schema, c.Schema, strings.ToLower(c.Name))
	}
	var args []bound
	for _, a := range c.Args {
		if c.Name == "IIF" && len(args) == 0 {
			v, err := b.holds(a)
			if err != nil {
				return v, err
			}
			args = append(args, v)
			continue
		}
		v, err := b.value(a)
		if err != nil {
			return v, err
		}
		args = append(args, v)
	}
	if v, ok, err := b.choice(c.Name, args); ok {
		return v, err
	}
	// The length and the hash of text are those of its bytes, which its type
	// tells.
	if n := len(args); n > 0 && (c.Name == "HASHBYTES" || c.Name == "DATALENGTH") && args[n-1].typ.text() {
		args[n-1] = args[n-1].to(varbinary(-1))
	} else if c.Name == "DATALENGTH" && n == 1 && !args[0].typ.bytes() {
		size := storedLength(args[0].typ)
		args[0].eval = sizeOf(args[0].eval, size)
	}
	f := lookUpFunction(c.Name)
	if f == nil {
		return bound{}, fault(195, "'%s' is not a recognized built-in function name of the simulator.", strings.ToLower(c.Name))
	}
	if len(args) < f.least || len(args) > f.most {
		return bound{}, fault(174, "The %s function requires %d argument(s).", strings.ToLower(c.Name), f.least)
	}
	return f.bind(args), nil
}

// sizeOf gives bytes as many as a value of fixed size has.
func sizeOf(eval func(*env) (any, error), size int64) func(*env) (any, error) {
	return func(e *env) (any, error) {
		v, err := eval(e)
		if v == nil || err != nil {
			return nil, err
		}
		return make([]byte, size), nil
	}
}

func lookUpFunction(name string) *function {
	for _, all := range []map[string]function{textFunctions, numberFunctions, dateFunctions, serverFunctions, lockFunctions} {
		if f, ok := all[name]; ok {
			return &f
		}
	}
	return nil
}

func (f *function) bind(args []bound) bound {
	out := bound{typ: f.result(args), nullable: true}
	for _, a := range args {
		out.exact = out.exact || a.exact
	}
	for i := range args {
		if i < len(f.wants) {
			args[i] = args[i].to(f.wants[i])
		}
	}
	out.eval = func(e *env) (any, error) {
		values := make([]any, len(args))
		for i, a := range args {
			v, err := a.eval(e)
			if err != nil || v == nil && !f.nulls {
				return nil, err
			}
			values[i] = v
		}
		return f.compute(e, values)
	}
	return out
}

// choice binds the functions that compute some of their arguments alone.
func (b *binder) choice(name string, args []bound) (bound, bool, error) {
	switch {
	case name == "COALESCE" && len(args) > 0, name == "ISNULL" && len(args) == 2:
		return firstOf(args, name == "ISNULL"), true, nil
	case name == "NULLIF" && len(args) == 2:
		same, err := comparison("=", args[0], args[1])
		x := args[0]
		return bound{typ: x.typ, nullable: true, exact: x.exact, eval: func(e *env) (any, error) {
			v, err := same.eval(e)
			if err != nil || v == true {
				return nil, err
			}
			return x.eval(e)
		}}, true, err
	case name == "IIF" && len(args) == 3:
		t := common(args[1].typ, args[2].typ)
		yes, no := args[1].to(t), args[2].to(t)
		return bound{typ: t, nullable: yes.nullable || no.nullable, eval: func(e *env) (any, error) {
			v, err := args[0].eval(e)
			switch {
			case err != nil:
				return nil, err
			case v == true:
				return yes.eval(e)
			}
			return no.eval(e)
		}}, true, nil
	}
	return bound{}, false, nil
}

// firstOf is COALESCE, or ISNULL, which has the type of its first argument.
func firstOf(args []bound, isNull bool) bound {
	out := bound{typ: args[0].typ, nullable: true}
	for _, a := range args {
		if !isNull || out.typ.Kind == Unknown {
			out.typ = common(out.typ, a.typ)
		}
		out.nullable = out.nullable && a.nullable
		out.exact = out.exact || a.exact
	}
	for i := range args {
		args[i] = args[i].to(out.typ)
	}
	out.eval = func(e *env) (any, error) {
		for _, a := range args {
			if v, err := a.eval(e); v != nil || err != nil {
				return v, err
			}
		}
		return nil, nil
	}
	return out
}

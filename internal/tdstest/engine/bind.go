package engine

import (
	"strings"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/tsql"
)

// bound is an expression that is ready to be computed.
type bound struct {
	typ      Type
	nullable bool
	exact    bool // compares binary
	name     string
	constant bool // a literal or a variable
	digits   int  // of an integer literal, which is no wider as a decimal
	eval     func(e *env) (any, error)
}

// env is what an expression is computed in: a row of the query's sources, and
// the rows of the queries around.
type env struct {
	x     *exec
	row   []any
	aggs  []any
	outer *env
}

// binding is a column that a query can name.
type binding struct {
	table, name string
	typ         Type
	nullable    bool
	exact       bool
	source      int
	hidden      bool // not part of *
}

// binder resolves the names of one query.
type binder struct {
	x     *exec
	cols  []binding
	outer *binder
	ctes  map[string]*tsql.CTE
	// used collects the sources that were named, and deep is set when a
	// subquery was bound.
	used uint64
	deep bool
	// aggs collects aggregates; it is nil where they are not allowed.
	aggs *[]*aggregate
	// visible limits which sources can be named: those before it.
	visible int
	// target is the table of FROM that the statement changes, changed its source.
	target  *tsql.Table
	changed *tableSource
}

func newBinder(x *exec, outer *binder) *binder {
	b := &binder{x: x, outer: outer, visible: 64}
	if outer != nil {
		b.ctes = outer.ctes
	}
	return b
}

func constant(v any, t Type) bound {
	return bound{typ: t, nullable: v == nil, constant: true, eval: func(*env) (any, error) { return v, nil }}
}

// expr binds any expression.
func (b *binder) expr(e tsql.Expr) (bound, error) {
	switch e := e.(type) {
	case *tsql.Literal:
		return literal(e)
	case *tsql.Variable:
		return b.variable(e.Name)
	case *tsql.ColumnRef:
		return b.column(e)
	case *tsql.Unary:
		return b.unary(e)
	case *tsql.Operation:
		return b.operation(e)
	case *tsql.Call:
		return b.call(e)
	case *tsql.Case:
		return b.caseExpr(e)
	case *tsql.Cast:
		return b.cast(e)
	case *tsql.Collate:
		x, err := b.expr(e.X)
		x.exact = exactCollation(e.Name)
		x.constant = false
		return x, err
	case *tsql.In:
		return b.in(e)
	case *tsql.Between:
		return b.between(e)
	case *tsql.Like:
		return b.like(e)
	case *tsql.IsNull:
		return b.isNull(e)
	case *tsql.Exists:
		return b.exists(e)
	case *tsql.Subquery:
		return b.scalarQuery(e)
	}
	return bound{}, unknown("an expression of kind %T", e)
}

// value binds an expression that must be no condition.
func (b *binder) value(e tsql.Expr) (bound, error) {
	x, err := b.expr(e)
	if err == nil && x.typ.Kind == condition {
		err = fault(102, "Incorrect syntax: a condition stands where a value is expected.")
	}
	return x, err
}

// holds binds a condition.
func (b *binder) holds(e tsql.Expr) (bound, error) {
	x, err := b.expr(e)
	if err == nil && x.typ.Kind != condition {
		err = fault(4145, "An expression of non-boolean type specified in a context where a condition is expected.")
	}
	return x, err
}

func exactCollation(name string) bool {
	n := strings.ToUpper(name)
	return strings.Contains(n, "_BIN") || strings.Contains(n, "_CS")
}

func literal(l *tsql.Literal) (bound, error) {
	switch l.Kind {
	case tsql.Null:
		return constant(nil, Type{}), nil
	case tsql.Text:
		return constant(l.Text, Type{Kind: VarChar, Size: sizeOrMax(len(l.Text), 8000)}), nil
	case tsql.NText:
		return constant(l.Text, nvarchar(sizeOrMax(units(l.Text), 4000))), nil
	case tsql.Binary:
		text := l.Text
		if len(text)%2 == 1 {
			text = "0" + text
		}
		v, err := textBytes(text, Type{}, 2)
		return constant(v, varbinary(sizeOrMax(len(v), 8000))), err
	case tsql.Float:
		v, err := textNumber(l.Text, typeFloat, typeFloat)
		return constant(v, typeFloat), err
	case tsql.Default:
		return bound{}, fault(156, "Incorrect syntax near the keyword 'DEFAULT'.")
	}
	d, _ := parseDec(l.Text)
	if n, fits := d.whole(); l.Kind == tsql.Integer && fits && n <= 1<<31-1 {
		b := constant(n, typeInt)
		b.digits = max(d.digits(), 1)
		return b, nil
	}
	t := Type{Kind: Decimal, Size: max(d.digits()+d.scale, 1), Scale: d.scale}
	if t.Size > 38 {
		return bound{}, fault(1007, "The number '%s' is out of the range for numeric representation (maximum precision 38).", l.Text)
	}
	return constant(d, t), nil
}

func (b *binder) variable(name string) (bound, error) {
	if strings.HasPrefix(name, "@@") {
		return b.global(strings.ToUpper(name))
	}
	v, err := b.x.variable(name)
	if err != nil {
		return bound{}, err
	}
	return bound{typ: v.typ, nullable: true, constant: true, eval: func(*env) (any, error) { return v.v, nil }}, nil
}

// column finds a column in this query, or in one around it.
func (b *binder) column(c *tsql.ColumnRef) (bound, error) {
	if c.Star {
		return bound{}, fault(102, "Incorrect syntax near '*'.")
	}
	depth := 0
	for at := b; at != nil; at, depth = at.outer, depth+1 {
		i, err := at.find(c.Name.Parts)
		if err != nil {
			return bound{}, err
		}
		if i >= 0 {
			col := at.cols[i]
			at.used |= 1 << col.source
			return bound{typ: col.typ, nullable: col.nullable, exact: col.exact, name: col.name, eval: columnAt(depth, i)}, nil
		}
	}
	name := strings.Join(c.Name.Parts, ".")
	if len(c.Name.Parts) > 1 {
		return bound{}, fault(4104, "The multi-part identifier \"%s\" could not be bound.", name)
	}
	return bound{}, fault(207, "Invalid column name '%s'.", name)
}

func columnAt(depth, i int) func(*env) (any, error) {
	if depth == 0 {
		return func(e *env) (any, error) { return e.row[i], nil }
	}
	return func(e *env) (any, error) {
		for range depth {
			e = e.outer
		}
		return e.row[i], nil
	}
}

// find returns the place of a column, -1 if there is none.
func (b *binder) find(parts []string) (int, error) {
	name, qualifier := parts[len(parts)-1], ""
	if len(parts) > 1 {
		qualifier = parts[len(parts)-2]
	}
	at := -1
	for i, c := range b.cols {
		if c.source >= b.visible || !sameName(c.name, name) || qualifier != "" && !sameName(c.table, qualifier) {
			continue
		}
		if at >= 0 {
			return -1, fault(209, "Ambiguous column name '%s'.", name)
		}
		at = i
	}
	return at, nil
}

// to makes an expression give values of a type.
func (b bound) to(t Type) bound {
	if b.typ == t || t.Kind == Unknown {
		return b
	}
	from, eval := b.typ, b.eval
	b.typ = t
	b.eval = func(e *env) (any, error) {
		v, err := eval(e)
		if v == nil || err != nil {
			return nil, err
		}
		return convert(v, from, t, 0)
	}
	return b
}

// value computes an expression outside of queries.
func (x *exec) value(e tsql.Expr) (value, error) {
	b, err := newBinder(x, nil).value(e)
	if err != nil {
		return value{}, err
	}
	var v any
	err = x.maybeReading(e, func() error {
		v, err = b.eval(&env{x: x})
		return err
	})
	return value{b.typ, v}, err
}

// scalar computes an expression as a value of type t.
func (x *exec) scalar(e tsql.Expr, t Type) (any, error) {
	v, err := x.value(e)
	if err != nil {
		return nil, err
	}
	return convert(v.v, v.typ, t, 0)
}

// condition computes a condition; NULL does not hold.
func (x *exec) condition(e tsql.Expr) (holds bool, err error) {
	b, err := newBinder(x, nil).holds(e)
	if err != nil {
		return false, err
	}
	err = x.maybeReading(e, func() error {
		v, err := b.eval(&env{x: x})
		holds = v == true
		return err
	})
	return holds, err
}

// maybeReading runs f as a statement, in case its expression reads tables.
func (x *exec) maybeReading(e tsql.Expr, f func() error) error {
	switch e.(type) {
	case *tsql.Literal, *tsql.Variable:
		return f()
	}
	if x.s.options.implicit && x.s.tran == nil { // an expression begins no transaction
		x.s.options.implicit = false
		defer func() { x.s.options.implicit = true }()
	}
	return x.atomically(f)
}

package engine

import (
	"math"
	"math/big"
	"time"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/tsql"
)

var typeCondition = Type{Kind: condition}

func (b *binder) unary(e *tsql.Unary) (bound, error) {
	if e.Op == "NOT" {
		x, err := b.holds(e.X)
		eval := x.eval
		x.eval = func(n *env) (any, error) {
			v, err := eval(n)
			if v == nil || err != nil {
				return nil, err
			}
			return !v.(bool), nil
		}
		return x, err
	}
	x, err := b.value(e.X)
	if err != nil || e.Op == "+" {
		return x, err
	}
	if e.Op == "~" {
		return b.arithmetic("^", x, constant(int64(-1), typeInt))
	}
	if x.typ.Kind == Decimal || x.typ.Kind == Float || x.typ.Kind == Real || x.typ.integer() {
		return b.arithmetic("-", constant(int64(0), typeInt), x)
	}
	return x, fault(8117, "Operand data type %s is invalid for minus operator.", x.typ.family())
}

func (b *binder) operation(e *tsql.Operation) (bound, error) {
	switch e.Op {
	case "AND", "OR":
		return b.logic(e)
	case "=", "<>", "<", "<=", ">", ">=":
		l, r, err := b.pair(e.L, e.R)
		if err != nil {
			return l, err
		}
		return comparison(e.Op, l, r)
	}
	l, r, err := b.pair(e.L, e.R)
	if err != nil {
		return l, err
	}
	return b.arithmetic(e.Op, l, r)
}

func (b *binder) pair(le, re tsql.Expr) (l, r bound, err error) {
	if l, err = b.value(le); err != nil {
		return l, r, err
	}
	r, err = b.value(re)
	return l, r, err
}

func (b *binder) logic(e *tsql.Operation) (bound, error) {
	l, err := b.holds(e.L)
	if err != nil {
		return l, err
	}
	r, err := b.holds(e.R)
	if err != nil {
		return r, err
	}
	decides := e.Op == "OR" // the value that settles the result
	return bound{typ: typeCondition, eval: func(n *env) (any, error) {
		a, err := l.eval(n)
		if err != nil || a == decides {
			return a, err
		}
		c, err := r.eval(n)
		if err != nil || c == decides {
			return c, err
		}
		if a == nil || c == nil {
			return nil, nil
		}
		return !decides, nil
	}}, nil
}

// comparisonType is the type in which two expressions are compared.
func comparisonType(l, r bound) (Type, error) {
	t := common(l.typ, r.typ)
	if t.sized() {
		t.Size = -1
		if t.Kind == Char || t.Kind == NChar || t.Kind == Binary {
			t.Kind = map[Kind]Kind{Char: VarChar, NChar: NVarChar, Binary: VarBinary}[t.Kind]
		}
	}
	if l.typ.bytes() && r.typ.text() || r.typ.bytes() && l.typ.text() {
		return t, fault(402, "The data types %s and %s are incompatible in the equal to operator.", l.typ.family(), r.typ.family())
	}
	return t, nil
}

func comparison(op string, l, r bound) (bound, error) {
	t, err := comparisonType(l, r)
	if err != nil {
		return l, err
	}
	exact := l.exact || r.exact
	l, r = l.to(t), r.to(t)
	return bound{typ: typeCondition, eval: func(n *env) (any, error) {
		a, err := l.eval(n)
		if a == nil || err != nil {
			return nil, err
		}
		c, err := r.eval(n)
		if c == nil || err != nil {
			return nil, err
		}
		return satisfies(op, compare(a, c, exact)), nil
	}}, nil
}

func satisfies(op string, d int) bool {
	switch op {
	case "=":
		return d == 0
	case "<>":
		return d != 0
	case "<":
		return d < 0
	case "<=":
		return d <= 0
	case ">":
		return d > 0
	}
	return d >= 0
}

func (b *binder) arithmetic(op string, l, r bound) (bound, error) {
	t := common(l.typ, r.typ)
	switch {
	case t.text() && op == "+":
		return concatenation(l, r, t), nil
	case t.bytes() && op == "+":
		return concatenation(l, r, t), nil
	case t.temporal() && (op == "+" || op == "-"):
		return dateArithmetic(op, l, r, t)
	case t.Kind == Unknown:
		t = typeInt
	case t.Kind == Bit && (op == "&" || op == "|" || op == "^"):
		t = typeInt
	case !t.number() || t.Kind == Bit:
		return l, fault(8117, "Operand data type %s is invalid for %s operator.", t.family(), operatorNames[op])
	}
	result := t
	if t.Kind == Decimal {
		l, r = l.to(l.asDecimal()), r.to(r.asDecimal())
		result = decimalResult(op, l.typ, r.typ)
	} else {
		l, r = l.to(t), r.to(t)
	}
	return bound{typ: result, nullable: l.nullable || r.nullable, constant: l.constant && r.constant, eval: func(n *env) (any, error) {
		a, err := l.eval(n)
		if a == nil || err != nil {
			return nil, err
		}
		c, err := r.eval(n)
		if c == nil || err != nil {
			return nil, err
		}
		return compute(op, a, c, result)
	}}, nil
}

var operatorNames = map[string]string{
	"+": "add", "-": "subtract", "*": "multiply", "/": "divide", "%": "modulo", "&": "'&'", "|": "'|'", "^": "'^'",
}

// asDecimal is the type that the expression has in decimal arithmetic.
func (b bound) asDecimal() Type {
	switch t := b.typ; {
	case b.digits > 0:
		return Type{Kind: Decimal, Size: b.digits}
	case t.integer() || t.Kind == Decimal:
		return asDecimal(t)
	}
	return Type{Kind: Decimal, Size: 38, Scale: 6}
}

// decimalResult follows the server's rules for precision and scale.
func decimalResult(op string, l, r Type) Type {
	var size, scale int
	switch op {
	case "*":
		size, scale = l.Size+r.Size+1, l.Scale+r.Scale
	case "/":
		scale = max(6, l.Scale+r.Size+1)
		size = l.Size - l.Scale + r.Scale + scale
	case "%":
		scale = max(l.Scale, r.Scale)
		size = min(l.Size-l.Scale, r.Size-r.Scale) + scale
	default:
		scale = max(l.Scale, r.Scale)
		size = max(l.Size-l.Scale, r.Size-r.Scale) + scale + 1
	}
	if size > 38 {
		whole := size - scale
		scale = max(min(scale, 38-whole), min(scale, 6))
		size = 38
	}
	return Type{Kind: Decimal, Size: size, Scale: scale}
}

func compute(op string, a, c any, t Type) (any, error) {
	zero := (op == "/" || op == "%") && isZero(c)
	if zero {
		return nil, fault(8134, "Divide by zero error encountered.")
	}
	switch a := a.(type) {
	case int64:
		return computeInt(op, a, c.(int64), t)
	case float64:
		v := computeFloat(op, a, c.(float64))
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return nil, fault(8115, "Arithmetic overflow error converting expression to data type %s.", t.family())
		}
		return v, nil
	case dec:
		return fitDec(a.arithmetic(op, c.(dec), t.Scale), Type{Kind: Decimal}, t)
	}
	return nil, fault(8117, "Operand data type %s is invalid for %s operator.", t.family(), operatorNames[op])
}

func isZero(v any) bool {
	switch v := v.(type) {
	case int64:
		return v == 0
	case float64:
		return v == 0
	case dec:
		return v.units.Sign() == 0
	}
	return false
}

func computeInt(op string, a, c int64, t Type) (any, error) {
	l, r := big.NewInt(a), big.NewInt(c)
	switch op {
	case "+":
		l.Add(l, r)
	case "-":
		l.Sub(l, r)
	case "*":
		l.Mul(l, r)
	case "/":
		l.Quo(l, r)
	case "%":
		l.Rem(l, r)
	case "&":
		return a & c, nil
	case "|":
		return a | c, nil
	case "^":
		return a ^ c, nil
	}
	if !l.IsInt64() {
		return nil, fault(8115, "Arithmetic overflow error converting expression to data type %s.", t.family())
	}
	return fitInteger(l.Int64(), t, t)
}

func computeFloat(op string, a, c float64) float64 {
	switch op {
	case "+":
		return a + c
	case "-":
		return a - c
	case "*":
		return a * c
	case "/":
		return a / c
	}
	return math.Mod(a, c)
}

func concatenation(l, r bound, t Type) bound {
	limit := 8000
	if t.unicode() {
		limit = 4000
	}
	switch {
	case l.typ.Size == -1 || r.typ.Size == -1:
		t.Size = -1
	default:
		t.Size = min(l.typ.Size+r.typ.Size, limit)
	}
	if t.Kind == Char || t.Kind == NChar {
		t.Kind = map[bool]Kind{true: NVarChar, false: VarChar}[l.typ.unicode() || r.typ.unicode()]
	}
	wide := t
	wide.Size = -1
	l, r = l.to(wide), r.to(wide)
	return bound{typ: t, nullable: l.nullable || r.nullable, exact: l.exact || r.exact, constant: l.constant && r.constant,
		eval: func(n *env) (any, error) {
			a, err := l.eval(n)
			if a == nil || err != nil {
				return nil, err
			}
			c, err := r.eval(n)
			if c == nil || err != nil {
				return nil, err
			}
			if a, ok := a.([]byte); ok {
				return convert(append(append([]byte{}, a...), c.([]byte)...), wide, t, 0)
			}
			return convert(a.(string)+c.(string), wide, t, 0)
		}}
}

// dateArithmetic adds days to a datetime, as no other kind of date allows.
func dateArithmetic(op string, l, r bound, t Type) (bound, error) {
	if t.Kind != DateTime || !l.typ.temporal() || !r.typ.integer() {
		return l, fault(402, "The data types %s and %s are incompatible in the %s operator.", l.typ.family(), r.typ.family(), operatorNames[op])
	}
	sign := int64(1)
	if op == "-" {
		sign = -1
	}
	return bound{typ: t, nullable: l.nullable || r.nullable, eval: func(n *env) (any, error) {
		a, err := l.eval(n)
		if a == nil || err != nil {
			return nil, err
		}
		c, err := r.eval(n)
		if c == nil || err != nil {
			return nil, err
		}
		days, ok := c.(int64)
		if !ok {
			days = btoi(c.(bool))
		}
		return a.(time.Time).AddDate(0, 0, int(sign*days)), nil
	}}, nil
}

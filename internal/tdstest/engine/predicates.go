package engine

import (
	"strings"
	"unicode"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/tsql"
)

func negated(x bound, not bool) bound {
	if !not {
		return x
	}
	eval := x.eval
	x.eval = func(n *env) (any, error) {
		v, err := eval(n)
		if v == nil || err != nil {
			return nil, err
		}
		return !v.(bool), nil
	}
	return x
}

func (b *binder) in(e *tsql.In) (bound, error) {
	x, err := b.value(e.X)
	if err != nil {
		return x, err
	}
	if e.Query != nil {
		return b.inQuery(x, e)
	}
	var tests []bound
	for _, item := range e.List {
		r, err := b.value(item)
		if err != nil {
			return r, err
		}
		test, err := comparison("=", x, r)
		if err != nil {
			return r, err
		}
		tests = append(tests, test)
	}
	oneOf := bound{typ: typeCondition, eval: func(n *env) (any, error) {
		null := false
		for _, t := range tests {
			v, err := t.eval(n)
			if err != nil || v == true {
				return v, err
			}
			null = null || v == nil
		}
		if null {
			return nil, nil
		}
		return false, nil
	}}
	return negated(oneOf, e.Not), nil
}

func (b *binder) inQuery(x bound, e *tsql.In) (bound, error) {
	q, err := b.subquery(e.Query, 1)
	if err != nil {
		return x, err
	}
	var got any
	test, err := comparison("=", x, bound{typ: q.cols[0].typ, exact: q.cols[0].exact, eval: func(*env) (any, error) { return got, nil }})
	if err != nil {
		return x, err
	}
	found := bound{typ: typeCondition, eval: func(n *env) (any, error) {
		result := any(false)
		err := q.run(n, func(row []any) error {
			got = row[0]
			v, err := test.eval(n)
			if err != nil {
				return err
			}
			if v == nil {
				result = nil
			}
			if v == true {
				result = true
				return errEnough
			}
			return nil
		})
		return result, err
	}}
	return negated(found, e.Not), nil
}

func (b *binder) between(e *tsql.Between) (bound, error) {
	both := &tsql.Operation{Op: "AND",
		L: &tsql.Operation{Op: ">=", L: e.X, R: e.Low}, R: &tsql.Operation{Op: "<=", L: e.X, R: e.High}}
	x, err := b.holds(both)
	return negated(x, e.Not), err
}

func (b *binder) isNull(e *tsql.IsNull) (bound, error) {
	x, err := b.value(e.X)
	if err != nil {
		return x, err
	}
	return bound{typ: typeCondition, eval: func(n *env) (any, error) {
		v, err := x.eval(n)
		return (v == nil) != e.Not, err
	}}, nil
}

func (b *binder) exists(e *tsql.Exists) (bound, error) {
	q, err := b.subquery(e.Query, 0)
	if err != nil {
		return bound{}, err
	}
	return bound{typ: typeCondition, eval: func(n *env) (any, error) {
		found := false
		err := q.run(n, func([]any) error {
			found = true
			return errEnough
		})
		return found, err
	}}, nil
}

func (b *binder) scalarQuery(e *tsql.Subquery) (bound, error) {
	q, err := b.subquery(e.Query, 1)
	if err != nil {
		return bound{}, err
	}
	return bound{typ: q.cols[0].typ, nullable: true, exact: q.cols[0].exact, eval: func(n *env) (any, error) {
		var result any
		rows := 0
		err := q.run(n, func(row []any) error {
			if rows++; rows > 1 {
				return fault(512, "Subquery returned more than 1 value. This is not permitted when the subquery follows =, !=, <, <= , >, >= "+
					"or when the subquery is used as an expression.")
			}
			result = row[0]
			return nil
		})
		return result, err
	}}, nil
}

// subquery plans a query that can name this one's columns. width is the number
// of columns it must have, 0 for any.
func (b *binder) subquery(q *tsql.Query, width int) (*plan, error) {
	b.deep = true
	p, err := planQuery(b.x, q, b)
	if err == nil && width > 0 && len(p.cols) != width {
		err = fault(116, "Only one expression can be specified in the select list when the subquery is not introduced with EXISTS.")
	}
	return p, err
}

func (b *binder) like(e *tsql.Like) (bound, error) {
	x, p, err := b.pair(e.X, e.Pattern)
	if err != nil {
		return x, err
	}
	escape := constant("", typeText)
	if e.Escape != nil {
		if escape, err = b.value(e.Escape); err != nil {
			return x, err
		}
	}
	exact := x.exact || p.exact
	x, p, escape = x.to(nvarchar(-1)), p.to(nvarchar(-1)), escape.to(nvarchar(1))
	l := bound{typ: typeCondition, eval: func(n *env) (any, error) {
		s, err := x.eval(n)
		if s == nil || err != nil {
			return nil, err
		}
		pattern, err := p.eval(n)
		if pattern == nil || err != nil {
			return nil, err
		}
		mark, err := escape.eval(n)
		if mark == nil || err != nil {
			return nil, err
		}
		text, like := s.(string), pattern.(string)
		if !exact {
			text, like, mark = strings.ToUpper(text), strings.ToUpper(like), strings.ToUpper(mark.(string))
		}
		return matches([]rune(text), []rune(like), []rune(mark.(string))), nil
	}}
	return negated(l, e.Not), nil
}

// matches is LIKE: % any text, _ any character, [a-z] and [^a-z] one of a set.
func matches(s, p, escape []rune) bool {
	for len(p) > 0 {
		switch {
		case len(escape) > 0 && p[0] == escape[0] && len(p) > 1:
			p = p[1:]
			if len(s) == 0 || s[0] != p[0] {
				return false
			}
			s, p = s[1:], p[1:]
		case p[0] == '%':
			for i := 0; i <= len(s); i++ {
				if matches(s[i:], p[1:], escape) {
					return true
				}
			}
			return false
		case len(s) == 0:
			return onlyBlanks(p)
		case p[0] == '[':
			ok, rest := inSet(s[0], p)
			if !ok {
				return false
			}
			s, p = s[1:], rest
		case p[0] == '_' || p[0] == s[0]:
			s, p = s[1:], p[1:]
		default:
			return false
		}
	}
	return onlyBlanks(s)
}

func onlyBlanks(s []rune) bool {
	for _, r := range s {
		if !unicode.IsSpace(r) {
			return false
		}
	}
	return true
}

// inSet matches r with the set that p begins with, and returns what follows.
func inSet(r rune, p []rune) (bool, []rune) {
	p = p[1:]
	not := len(p) > 0 && p[0] == '^'
	if not {
		p = p[1:]
	}
	in := false
	for first := true; len(p) > 0 && (p[0] != ']' || first); first = false {
		low, high := p[0], p[0]
		p = p[1:]
		if len(p) > 1 && p[0] == '-' && p[1] != ']' {
			high = p[1]
			p = p[2:]
		}
		in = in || low <= r && r <= high
	}
	if len(p) > 0 {
		p = p[1:]
	}
	return in != not, p
}

func (b *binder) caseExpr(e *tsql.Case) (bound, error) {
	result := bound{}
	var tests, values []bound
	for _, w := range e.Whens {
		test := w.If
		if e.Operand != nil {
			test = &tsql.Operation{Op: "=", L: e.Operand, R: w.If}
		}
		t, err := b.holds(test)
		if err != nil {
			return t, err
		}
		v, err := b.value(w.Then)
		if err != nil {
			return v, err
		}
		tests, values = append(tests, t), append(values, v)
	}
	other := constant(nil, Type{})
	if e.Else != nil {
		var err error
		if other, err = b.value(e.Else); err != nil {
			return other, err
		}
	}
	result.typ, result.nullable = other.typ, other.nullable
	for _, v := range values {
		result.typ = common(result.typ, v.typ)
		result.nullable = result.nullable || v.nullable
	}
	for i := range values {
		values[i] = values[i].to(result.typ)
	}
	other = other.to(result.typ)
	result.eval = func(n *env) (any, error) {
		for i, t := range tests {
			v, err := t.eval(n)
			if err != nil {
				return nil, err
			}
			if v == true {
				return values[i].eval(n)
			}
		}
		return other.eval(n)
	}
	return result, nil
}

func (b *binder) cast(e *tsql.Cast) (bound, error) {
	t, err := resolveType(e.Type, true)
	if err != nil {
		return bound{}, err
	}
	x, err := b.value(e.X)
	if err != nil {
		return x, err
	}
	style := constant(int64(0), typeInt)
	if e.Style != nil {
		if style, err = b.value(e.Style); err != nil {
			return x, err
		}
		style = style.to(typeInt)
	}
	from, eval := x.typ, x.eval
	return bound{typ: t, nullable: x.nullable || e.Try, constant: x.constant, eval: func(n *env) (any, error) {
		v, err := eval(n)
		if v == nil || err != nil {
			return nil, err
		}
		s, err := style.eval(n)
		if err != nil {
			return nil, err
		}
		v, err = convert(v, from, t, toInt(s))
		if err != nil && e.Try {
			return nil, nil
		}
		return v, err
	}}, nil
}

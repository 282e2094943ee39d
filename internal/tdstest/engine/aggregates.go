package engine

import (
	"slices"
	"strings"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/tsql"
)

// aggregate is one call of COUNT, SUM, MIN, MAX, AVG or STRING_AGG.
type aggregate struct {
	name      string
	arg       bound
	star      bool
	distinct  bool
	typ       Type
	separator bound
}

func isAggregate(name string) bool {
	return slices.Contains([]string{"COUNT", "COUNT_BIG", "SUM", "MIN", "MAX", "AVG", "STRING_AGG"}, name)
}

// aggregate binds a call to a place in env.aggs.
func (b *binder) aggregate(c *tsql.Call) (bound, error) {
	if b.aggs == nil {
		return bound{}, fault(147, "An aggregate may not appear in the WHERE clause unless it is in a subquery contained in a HAVING clause "+
			"or a select list, and the column being aggregated is an outer reference.")
	}
	a := &aggregate{name: c.Name, star: c.Star, distinct: c.Distinct}
	if !c.Star {
		if len(c.Args) == 0 {
			return bound{}, fault(174, "The %s function requires 1 argument(s).", strings.ToLower(c.Name))
		}
		aggs := b.aggs
		b.aggs = nil
		var err error
		a.arg, err = b.value(c.Args[0])
		if err == nil && c.Name == "STRING_AGG" && len(c.Args) == 2 {
			a.separator, err = b.value(c.Args[1])
		}
		b.aggs = aggs
		if err != nil {
			return bound{}, err
		}
	}
	if err := a.resolve(); err != nil {
		return bound{}, err
	}
	i := len(*b.aggs)
	*b.aggs = append(*b.aggs, a)
	counts := strings.HasPrefix(a.name, "COUNT")
	return bound{typ: a.typ, nullable: !counts, exact: a.arg.exact, eval: func(e *env) (any, error) { return e.aggs[i], nil }}, nil
}

func (a *aggregate) resolve() error {
	t := a.arg.typ
	a.typ = t
	switch a.name {
	case "COUNT":
		a.typ = typeInt
	case "COUNT_BIG":
		a.typ = typeBigInt
	case "STRING_AGG":
		a.arg = a.arg.to(nvarchar(-1))
		a.typ = nvarchar(-1)
	case "SUM", "AVG":
		switch {
		case !t.number() || t.Kind == Bit:
			return fault(8117, "Operand data type %s is invalid for %s operator.", t.family(), strings.ToLower(a.name))
		case t.in(TinyInt, SmallInt):
			a.typ = typeInt
		case t.Kind == Real:
			a.typ = typeFloat
		case t.Kind == Decimal && a.name == "AVG":
			a.typ = Type{Kind: Decimal, Size: 38, Scale: max(6, t.Scale)}
		case t.Kind == Decimal:
			a.typ.Size = 38
		}
		a.arg = a.arg.to(a.typ)
	}
	return nil
}

// tally is the state of one aggregate over one group.
type tally struct {
	n     int64
	total any
	seen  map[string]bool
	texts []string
}

func (a *aggregate) add(t *tally, e *env) error {
	if a.star {
		t.n++
		return nil
	}
	v, err := a.arg.eval(e)
	if v == nil || err != nil {
		return err
	}
	if a.distinct {
		k := keyOf([]any{v}, []bool{a.arg.exact})
		if t.seen[k] {
			return nil
		}
		if t.seen == nil {
			t.seen = map[string]bool{}
		}
		t.seen[k] = true
	}
	t.n++
	switch {
	case a.name == "STRING_AGG":
		t.texts = append(t.texts, v.(string))
	case t.total == nil:
		t.total = v
	case a.name == "SUM" || a.name == "AVG":
		t.total, err = compute("+", t.total, v, a.typ)
	case a.name == "MIN" && compare(v, t.total, a.arg.exact) < 0, a.name == "MAX" && compare(v, t.total, a.arg.exact) > 0:
		t.total = v
	}
	return err
}

func (a *aggregate) result(t *tally, e *env) (any, error) {
	switch {
	case strings.HasPrefix(a.name, "COUNT"):
		return t.n, nil
	case t.n == 0:
		return nil, nil
	case a.name == "STRING_AGG":
		by, err := a.separator.eval(e)
		s, _ := by.(string)
		return strings.Join(t.texts, s), err
	case a.name == "AVG":
		n, err := convert(t.n, typeBigInt, a.typ, 0)
		if err != nil {
			return nil, err
		}
		return compute("/", t.total, n, a.typ)
	}
	return t.total, nil
}

// grouping is one group: its first row stands for the columns it is grouped by.
type grouping struct {
	row     []any
	tallies []tally
}

// groups reads everything, then calls f for every group that HAVING lets
// through.
func (p *selectPlan) groups(e *env, f func(*env) error) error {
	var all []*grouping
	byKey := map[string]*grouping{}
	exact := make([]bool, len(p.groupBy))
	for i, g := range p.groupBy {
		exact[i] = g.exact
	}
	err := p.filtered(e, func() error {
		key, err := evaluate(p.groupBy, e)
		if err != nil {
			return err
		}
		k := keyOf(key, exact)
		g := byKey[k]
		if g == nil {
			g = &grouping{slices.Clone(e.row), make([]tally, len(p.aggs))}
			byKey[k] = g
			all = append(all, g)
		}
		for i, a := range p.aggs {
			if err := a.add(&g.tallies[i], e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(all) == 0 && len(p.groupBy) == 0 {
		all = []*grouping{{make([]any, len(e.row)), make([]tally, len(p.aggs))}}
	}
	for _, g := range all {
		if err := p.groupResult(g, e, f); err != nil {
			return err
		}
	}
	return nil
}

func (p *selectPlan) groupResult(g *grouping, e *env, f func(*env) error) error {
	n := &env{x: e.x, row: g.row, outer: e.outer, aggs: make([]any, len(p.aggs))}
	for i, a := range p.aggs {
		var err error
		if n.aggs[i], err = a.result(&g.tallies[i], n); err != nil {
			return err
		}
	}
	if p.having.eval != nil {
		v, err := p.having.eval(n)
		if err != nil || v != true {
			return err
		}
	}
	return f(n)
}

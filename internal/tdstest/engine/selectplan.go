package engine

import (
	"slices"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/tsql"
)

// selectPlan is one SELECT.
type selectPlan struct {
	x        *exec
	b        *binder
	from     source
	where    bound
	items    []bound
	cols     []result
	distinct bool
	groupBy  []bound
	grouped  bool
	aggs     []*aggregate
	having   bound
	order    []sortKey
	keys     []bound // sorted by, beside the items
	limit    *limit
}

func newSelectPlan(x *exec, s *tsql.Select, q *tsql.Query, outer *binder, ctes map[string]*tsql.CTE) (*selectPlan, error) {
	p := &selectPlan{x: x, b: newBinder(x, outer), distinct: s.Distinct, from: nothing{}}
	p.b.ctes = ctes
	var err error
	if s.From != nil {
		if p.from, err = p.b.from(s.From); err != nil {
			return nil, err
		}
	}
	if s.Where != nil {
		if p.where, err = p.b.holds(s.Where); err != nil {
			return nil, err
		}
		if err = p.b.seek(p.from, conjuncts(s.Where)); err != nil {
			return nil, err
		}
	}
	if err = p.group(s); err != nil {
		return nil, err
	}
	if err = p.selectList(s); err != nil {
		return nil, err
	}
	if err = p.orderBy(q.OrderBy); err != nil {
		return nil, err
	}
	p.grouped = len(p.groupBy) > 0 || len(p.aggs) > 0 || s.Having != nil
	if err = p.checkGrouping(s); err != nil {
		return nil, err
	}
	p.limit, err = planLimit(newBinder(x, outer), s.Top, q)
	return p, err
}

func (p *selectPlan) group(s *tsql.Select) error {
	for _, g := range s.GroupBy {
		v, err := p.b.value(g)
		if err != nil {
			return err
		}
		p.groupBy = append(p.groupBy, v)
	}
	p.b.aggs = &p.aggs
	if s.Having == nil {
		return nil
	}
	var err error
	p.having, err = p.b.holds(s.Having)
	return err
}

func (p *selectPlan) selectList(s *tsql.Select) error {
	for _, item := range s.Items {
		if c, ok := item.X.(*tsql.ColumnRef); ok && c.Star {
			if err := p.star(c); err != nil {
				return err
			}
			continue
		}
		v, err := p.b.value(item.X)
		if err != nil {
			return err
		}
		name := item.Alias
		if name == "" {
			name = v.name
		}
		if v.typ.Kind == Unknown {
			v.typ = typeInt
		}
		p.items = append(p.items, v)
		p.cols = append(p.cols, result{name, v.typ, v.nullable, v.exact})
	}
	return nil
}

func (p *selectPlan) star(c *tsql.ColumnRef) error {
	found := false
	for i, col := range p.b.cols {
		if col.hidden || len(c.Name.Parts) > 0 && !sameName(col.table, c.Name.Last()) {
			continue
		}
		found = true
		p.items = append(p.items, bound{typ: col.typ, nullable: col.nullable, exact: col.exact, name: col.name, eval: columnAt(0, i)})
		p.cols = append(p.cols, result{col.name, col.typ, col.nullable, col.exact})
	}
	if !found {
		return fault(107, "The column prefix does not match with a table name or alias name used in the query.")
	}
	return nil
}

func (p *selectPlan) orderBy(items []tsql.OrderItem) error {
	for _, o := range items {
		k := sortKey{descending: o.Descending}
		if at := outputColumn(o.X, p.cols); at >= 0 {
			k.at, k.exact = at, p.cols[at].exact
		} else {
			v, err := p.b.value(o.X)
			if err != nil {
				return err
			}
			if v.constant {
				return fault(408, "A constant expression was encountered in the ORDER BY list, position %d.", len(p.order)+1)
			}
			k.at, k.exact = len(p.cols)+len(p.keys), v.exact
			p.keys = append(p.keys, v)
		}
		p.order = append(p.order, k)
	}
	if p.distinct && len(p.keys) > 0 {
		return fault(145, "ORDER BY items must appear in the select list if SELECT DISTINCT is specified.")
	}
	return nil
}

// checkGrouping refuses columns that are neither grouped by nor in an
// aggregate.
func (p *selectPlan) checkGrouping(s *tsql.Select) error {
	if !p.grouped {
		return nil
	}
	for _, item := range s.Items {
		c, ok := item.X.(*tsql.ColumnRef)
		if !ok {
			continue
		}
		if c.Star {
			return fault(8120, "Column is invalid in the select list because it is not contained in either an aggregate function or the GROUP BY clause.")
		}
		grouped := slices.ContainsFunc(s.GroupBy, func(g tsql.Expr) bool {
			r, ok := g.(*tsql.ColumnRef)
			return ok && sameName(r.Name.Last(), c.Name.Last())
		})
		if !grouped {
			return fault(8120, "Column '%s' is invalid in the select list because it is not contained in either an aggregate function or the GROUP BY clause.",
				c.Name.Last())
		}
	}
	return nil
}

func (p *selectPlan) plan() *plan { return &plan{cols: p.cols, run: p.run} }

// run passes the rows of the result to f. Without sorting or grouping they come
// while the sources are read.
func (p *selectPlan) run(outer *env, f func(row []any) error) error {
	e := &env{x: p.x, row: make([]any, len(p.b.cols)), outer: outer}
	passage, err := p.limit.start(e)
	if err != nil {
		return err
	}
	if passage.take == 0 {
		return nil
	}
	emit := func(row []any) error { return passage.pass(row, f) }
	if p.distinct {
		emit = p.unique(emit)
	}
	if len(p.order) == 0 {
		return enough(p.produce(e, func(e *env) error {
			row, err := evaluate(p.items, e)
			if err != nil {
				return err
			}
			return emit(row)
		}))
	}
	rows, err := p.sorted(e)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if err := emit(r.out); err != nil {
			return enough(err)
		}
	}
	return nil
}

func evaluate(items []bound, e *env) ([]any, error) {
	row := make([]any, len(items))
	for i, item := range items {
		var err error
		if row[i], err = item.eval(e); err != nil {
			return nil, err
		}
	}
	return row, nil
}

func (p *selectPlan) unique(f func([]any) error) func([]any) error {
	seen, exact := map[string]bool{}, exactness(p.cols)
	return func(row []any) error {
		k := keyOf(row, exact)
		if seen[k] {
			return nil
		}
		seen[k] = true
		return f(row)
	}
}

func (p *selectPlan) sorted(e *env) ([]sortable, error) {
	var rows []sortable
	all := append(slices.Clone(p.items), p.keys...)
	err := p.produce(e, func(e *env) error {
		row, err := evaluate(all, e)
		if err == nil {
			rows = append(rows, sortable{row[:len(p.items)], row})
		}
		return err
	})
	sortRows(rows, p.order)
	return rows, err
}

// produce calls f for every row, or group, that the select list is computed
// for.
func (p *selectPlan) produce(e *env, f func(*env) error) error {
	if p.grouped {
		return p.groups(e, f)
	}
	return p.filtered(e, func() error { return f(e) })
}

// filtered calls f for every row of the sources that WHERE lets through.
func (p *selectPlan) filtered(e *env, f func() error) error {
	return p.from.each(e, func() error {
		if p.where.eval != nil {
			v, err := p.where.eval(e)
			if err != nil || v != true {
				return err
			}
		}
		return f()
	})
}

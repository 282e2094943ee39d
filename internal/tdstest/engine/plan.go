package engine

import (
	"errors"
	"slices"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/tsql"
)

// plan is a query that is ready to run. run may be called many times, one
// after the other. What it passes to f is valid during that call.
type plan struct {
	cols []result
	run  func(outer *env, f func(row []any) error) error
}

// result is a column of a query's result.
type result struct {
	name     string
	typ      Type
	nullable bool
	exact    bool
}

func planQuery(x *exec, q *tsql.Query, outer *binder) (*plan, error) {
	var ctes map[string]*tsql.CTE
	if outer != nil {
		ctes = outer.ctes
	}
	return planQueryWith(x, q, outer, ctes)
}

func planQueryWith(x *exec, q *tsql.Query, outer *binder, ctes map[string]*tsql.CTE) (*plan, error) {
	if len(q.With) > 0 {
		all := map[string]*tsql.CTE{}
		for name, c := range ctes {
			all[name] = c
		}
		for i := range q.With {
			all[foldName(q.With[i].Name)] = &q.With[i]
		}
		ctes = all
	}
	if len(q.Selects) == 1 {
		p, err := newSelectPlan(x, q.Selects[0], q, outer, ctes)
		if err != nil {
			return nil, err
		}
		return p.plan(), nil
	}
	return planUnion(x, q, outer, ctes)
}

func planUnion(x *exec, q *tsql.Query, outer *binder, ctes map[string]*tsql.CTE) (*plan, error) {
	var parts []*plan
	for _, s := range q.Selects {
		p, err := newSelectPlan(x, s, &tsql.Query{}, outer, ctes)
		if err != nil {
			return nil, err
		}
		parts = append(parts, p.plan())
	}
	cols := slices.Clone(parts[0].cols)
	for _, p := range parts[1:] {
		if len(p.cols) != len(cols) {
			return nil, fault(205, "All queries combined using a UNION, INTERSECT or EXCEPT operator must have an equal number of "+
				"expressions in their target lists.")
		}
		for i, c := range p.cols {
			cols[i].typ = common(cols[i].typ, c.typ)
			cols[i].nullable = cols[i].nullable || c.nullable
		}
	}
	order, err := outputOrder(q.OrderBy, cols)
	if err != nil {
		return nil, err
	}
	limit, err := planLimit(newBinder(x, outer), nil, q)
	if err != nil {
		return nil, err
	}
	u := &union{parts: parts, operators: q.Operators, cols: cols}
	return &plan{cols: cols, run: func(e *env, f func([]any) error) error {
		rows, err := u.rows(e)
		if err != nil {
			return err
		}
		if len(order) > 0 {
			sortRows(rows, order)
		}
		lim, err := limit.start(&env{x: x, outer: e})
		if err != nil {
			return err
		}
		for _, r := range rows {
			if err := lim.pass(r.out, f); err != nil {
				return enough(err)
			}
		}
		return nil
	}}, nil
}

// enough makes an early end a good one.
func enough(err error) error {
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

type union struct {
	parts     []*plan
	operators []string
	cols      []result
}

// rows computes all parts and combines them from left to right.
func (u *union) rows(e *env) ([]sortable, error) {
	var all []sortable
	for i, p := range u.parts {
		var rows []sortable
		err := p.run(e, func(row []any) error {
			out := slices.Clone(row)
			for n := range out {
				var err error
				if out[n], err = convert(out[n], p.cols[n].typ, u.cols[n].typ, 0); err != nil {
					return err
				}
			}
			rows = append(rows, sortable{out: out, keys: out})
			return nil
		})
		if err != nil {
			return nil, err
		}
		if i == 0 {
			all = rows
			continue
		}
		all = u.combine(u.operators[i-1], all, rows)
	}
	return all, nil
}

func (u *union) combine(op string, a, b []sortable) []sortable {
	if op == "UNION ALL" {
		return append(a, b...)
	}
	other := map[string]bool{}
	for _, r := range b {
		other[u.key(r)] = true
	}
	seen := map[string]bool{}
	keep := func(rows []sortable, want func(string) bool) (kept []sortable) {
		for _, r := range rows {
			if k := u.key(r); !seen[k] && want(k) {
				seen[k] = true
				kept = append(kept, r)
			}
		}
		return kept
	}
	switch op {
	case "EXCEPT":
		return keep(a, func(k string) bool { return !other[k] })
	case "INTERSECT":
		return keep(a, func(k string) bool { return other[k] })
	}
	first := keep(a, func(string) bool { return true })
	return append(first, keep(b, func(string) bool { return true })...)
}

func (u *union) key(r sortable) string { return keyOf(r.out, exactness(u.cols)) }

func exactness(cols []result) []bool {
	exact := make([]bool, len(cols))
	for i, c := range cols {
		exact[i] = c.exact
	}
	return exact
}

// sortable is a row of a result with the keys it is sorted by.
type sortable struct{ out, keys []any }

// sortKey is how one key sorts; at is its place among a row's keys.
type sortKey struct {
	at         int
	descending bool
	exact      bool
}

// sortRows sorts with NULL first.
func sortRows(rows []sortable, by []sortKey) {
	slices.SortStableFunc(rows, func(a, b sortable) int {
		for _, k := range by {
			d := compareNull(a.keys[k.at], b.keys[k.at], k.exact)
			if k.descending {
				d = -d
			}
			if d != 0 {
				return d
			}
		}
		return 0
	})
}

func compareNull(a, b any, exact bool) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	return compare(a, b, exact)
}

// outputOrder resolves ORDER BY where only the result's columns can be named.
func outputOrder(items []tsql.OrderItem, cols []result) ([]sortKey, error) {
	var keys []sortKey
	for _, o := range items {
		at := outputColumn(o.X, cols)
		if at < 0 {
			return nil, fault(104, "ORDER BY items must appear in the select list if the statement contains a UNION, INTERSECT or EXCEPT operator.")
		}
		keys = append(keys, sortKey{at, o.Descending, cols[at].exact})
	}
	return keys, nil
}

// outputColumn returns which column of the result an item of ORDER BY names by
// its alias or its number, -1 if it does not.
func outputColumn(x tsql.Expr, cols []result) int {
	switch x := x.(type) {
	case *tsql.Literal:
		if v, err := literal(x); err == nil && x.Kind == tsql.Integer {
			n, _ := v.eval(nil)
			if i := toInt(n); i >= 1 && i <= int64(len(cols)) {
				return int(i) - 1
			}
		}
	case *tsql.ColumnRef:
		if len(x.Name.Parts) == 1 {
			return slices.IndexFunc(cols, func(c result) bool { return sameName(c.name, x.Name.Last()) })
		}
	}
	return -1
}

// limit is TOP, or OFFSET and FETCH.
type limit struct {
	skip, take bound
	x          *exec
}

// passage counts rows through a limit.
type passage struct{ skip, take int64 }

func planLimit(b *binder, top *tsql.Top, q *tsql.Query) (*limit, error) {
	l := &limit{x: b.x}
	for _, c := range []struct {
		x    tsql.Expr
		into *bound
	}{{q.Offset, &l.skip}, {q.Fetch, &l.take}} {
		if c.x == nil {
			continue
		}
		v, err := b.value(c.x)
		if err != nil {
			return nil, err
		}
		*c.into = v.to(typeBigInt)
	}
	if top != nil {
		if top.Percent {
			return nil, unknown("TOP ... PERCENT")
		}
		v, err := b.value(top.N)
		if err != nil {
			return nil, err
		}
		l.take = v.to(typeBigInt)
	}
	return l, nil
}

func (l *limit) start(e *env) (*passage, error) {
	p := &passage{take: 1<<63 - 1}
	if n := l.x.s.options.rowCount; n > 0 {
		p.take = n
	}
	for _, c := range []struct {
		from bound
		into *int64
	}{{l.skip, &p.skip}, {l.take, &p.take}} {
		if c.from.eval == nil {
			continue
		}
		v, err := c.from.eval(e)
		if err != nil {
			return nil, err
		}
		n, ok := v.(int64)
		if !ok || n < 0 {
			return nil, fault(1060, "The number of rows provided for a TOP or FETCH clauses row count parameter must be an integer.")
		}
		*c.into = n
	}
	return p, nil
}

// pass hands a row on unless it is skipped. It returns errEnough after the last.
func (p *passage) pass(row []any, f func([]any) error) error {
	if p.skip > 0 {
		p.skip--
		return nil
	}
	if p.take <= 0 {
		return errEnough
	}
	p.take--
	if err := f(row); err != nil {
		return err
	}
	if p.take == 0 {
		return errEnough
	}
	return nil
}

package engine

import (
	"errors"
	"slices"
	"strings"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/tsql"
)

// errEnough ends a query early, without an error.
var errEnough = errors.New("enough rows")

// source gives rows. each puts every row into e.row, in the columns that are
// its own, and calls f.
type source interface {
	each(e *env, f func() error) error
	// blank makes the source's columns NULL.
	blank(e *env)
}

// from plans FROM and adds its columns to the binder.
func (b *binder) from(t tsql.TableExpr) (source, error) {
	switch t := t.(type) {
	case *tsql.Table:
		return b.named(t, t == b.target)
	case *tsql.Derived:
		return b.derived(t, b.outer)
	case *tsql.Values:
		return b.values(t)
	case *tsql.Function:
		return b.tableFunction(t)
	case *tsql.Join:
		return b.join(t)
	}
	return nil, unknown("a source of kind %T", t)
}

func (b *binder) sources() int {
	n := 0
	for _, c := range b.cols {
		n = max(n, c.source+1)
	}
	return n
}

// named plans a table, a view, or a query of WITH. target is set for the table
// that a statement changes.
func (b *binder) named(t *tsql.Table, target bool) (source, error) {
	if cte := b.ctes[foldName(t.Name.Last())]; cte != nil && len(t.Name.Parts) == 1 {
		alias := t.Alias
		if alias == "" {
			alias = cte.Name
		}
		return b.derived(&tsql.Derived{Query: cte.Query, Alias: alias, Columns: cte.Columns}, &binder{x: b.x, ctes: without(b.ctes, cte), visible: 64})
	}
	alias := t.Alias
	if alias == "" {
		alias = t.Name.Last()
	}
	if v := systemView(t.Name); v != nil {
		return b.virtual(v, alias)
	}
	_, o, err := b.x.lookUp(t.Name)
	if err != nil {
		return nil, err
	}
	switch o := o.(type) {
	case *table:
		return b.table(o, alias, t.Hints, target)
	case *module:
		if o.definition.Kind == "VIEW" {
			d := &tsql.Derived{Query: o.definition.Query, Alias: alias, Columns: o.definition.Columns}
			return b.derived(d, nil)
		}
	}
	return nil, fault(208, "Invalid object name '%s'.", strings.Join(t.Name.Parts, "."))
}

// without keeps a query of WITH from naming itself.
func without(all map[string]*tsql.CTE, one *tsql.CTE) map[string]*tsql.CTE {
	rest := map[string]*tsql.CTE{}
	for name, c := range all {
		if c != one {
			rest[name] = c
		}
	}
	return rest
}

func (b *binder) table(t *table, alias string, hints []string, target bool) (source, error) {
	a, err := b.x.reading(t, hints, target)
	if err != nil {
		return nil, err
	}
	s := &tableSource{t: t, access: a, offset: len(b.cols), number: b.sources()}
	if target {
		b.changed = s
	}
	for _, c := range t.columns {
		b.cols = append(b.cols, binding{table: alias, name: c.name, typ: c.typ, nullable: c.nullable, exact: c.exact, source: s.number})
	}
	return s, nil
}

// rowsSource gives rows that were computed before, or are once per execution.
type rowsSource struct {
	offset, width int
	compute       func(e *env) ([][]any, error)
	lateral       bool // depends on the row to its left
	of            *env
	rows          [][]any
}

func (s *rowsSource) each(e *env, f func() error) error {
	if s.of != e || s.lateral {
		rows, err := s.compute(e)
		if err != nil {
			return err
		}
		s.of, s.rows = e, rows
	}
	rows := s.rows
	for _, r := range rows {
		copy(e.row[s.offset:], r)
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

func (s *rowsSource) blank(e *env) { clear(e.row[s.offset : s.offset+s.width]) }

func (b *binder) derived(d *tsql.Derived, outer *binder) (source, error) {
	p, err := planQueryWith(b.x, d.Query, outer, b.ctesOf(outer))
	if err != nil {
		return nil, err
	}
	if len(d.Columns) > 0 && len(d.Columns) != len(p.cols) {
		return nil, fault(8158, "'%s' has more columns than were specified in the column list.", d.Alias)
	}
	s := &rowsSource{offset: len(b.cols), width: len(p.cols), lateral: outer == b}
	number := b.sources()
	for i, c := range p.cols {
		name := c.name
		if len(d.Columns) > 0 {
			name = d.Columns[i]
		}
		if name == "" {
			return nil, fault(8155, "No column name was specified for column %d of '%s'.", i+1, d.Alias)
		}
		b.cols = append(b.cols, binding{table: d.Alias, name: name, typ: c.typ, nullable: c.nullable, exact: c.exact, source: number})
	}
	s.compute = func(e *env) ([][]any, error) {
		around := e.outer
		if outer == b {
			around = e
		}
		var rows [][]any
		err := p.run(around, func(row []any) error {
			rows = append(rows, slices.Clone(row))
			return nil
		})
		return rows, err
	}
	return s, nil
}

// ctesOf are the queries of WITH that a derived table can name.
func (b *binder) ctesOf(outer *binder) map[string]*tsql.CTE {
	if outer != nil {
		return outer.ctes
	}
	return b.ctes
}

func (b *binder) values(v *tsql.Values) (source, error) {
	q := &tsql.Query{}
	for i, row := range v.Rows {
		s := &tsql.Select{}
		for _, x := range row {
			s.Items = append(s.Items, tsql.SelectItem{X: x})
		}
		q.Selects = append(q.Selects, s)
		if i > 0 {
			q.Operators = append(q.Operators, "UNION ALL")
		}
	}
	return b.derived(&tsql.Derived{Query: q, Alias: v.Alias, Columns: v.Columns}, b.outer)
}

func (b *binder) virtual(v *view, alias string) (source, error) {
	if err := b.x.mayView(v); err != nil {
		return nil, err
	}
	s := &rowsSource{offset: len(b.cols), width: len(v.cols)}
	number := b.sources()
	for _, c := range v.cols {
		b.cols = append(b.cols, binding{table: alias, name: c.name, typ: c.typ, nullable: true, source: number})
	}
	s.compute = func(*env) ([][]any, error) { return v.rows(b.x), nil }
	return s, nil
}

// tableFunction plans STRING_SPLIT, the one table-valued function known.
func (b *binder) tableFunction(t *tsql.Function) (source, error) {
	if t.Call.Name != "STRING_SPLIT" || len(t.Call.Args) < 2 {
		return nil, unknown("the table-valued function %s", t.Call.Name)
	}
	text, separator, err := b.pair(t.Call.Args[0], t.Call.Args[1])
	if err != nil {
		return nil, err
	}
	text, separator = text.to(nvarchar(-1)), separator.to(nvarchar(1))
	s := &rowsSource{offset: len(b.cols), width: 1, lateral: true}
	alias := t.Alias
	b.cols = append(b.cols, binding{table: alias, name: "value", typ: nvarchar(-1), nullable: true, source: b.sources()})
	s.compute = func(e *env) ([][]any, error) {
		v, err := text.eval(e)
		if v == nil || err != nil {
			return nil, err
		}
		by, err := separator.eval(e)
		if by == nil || err != nil {
			return nil, err
		}
		var rows [][]any
		for _, part := range strings.Split(v.(string), by.(string)) {
			rows = append(rows, []any{part})
		}
		return rows, nil
	}
	return s, nil
}

type joinSource struct {
	l, r source
	on   bound
	left bool // keep rows of l without a match
	// swapped is set for RIGHT JOIN: l is read first, though it was named last.
	swapped bool
}

func (b *binder) join(j *tsql.Join) (source, error) {
	if j.Kind == "FULL" {
		return nil, unknown("FULL JOIN")
	}
	l, err := b.from(j.L)
	if err != nil {
		return nil, err
	}
	var r source
	if d, ok := j.R.(*tsql.Derived); ok && strings.HasSuffix(j.Kind, "APPLY") {
		r, err = b.derived(d, b)
	} else {
		r, err = b.from(j.R)
	}
	if err != nil {
		return nil, err
	}
	s := &joinSource{l: l, r: r, left: j.Kind == "LEFT" || j.Kind == "OUTER APPLY"}
	if j.Kind == "RIGHT" {
		s.l, s.r, s.left, s.swapped = r, l, true, true
	}
	if j.On != nil {
		if s.on, err = b.holds(j.On); err != nil {
			return nil, err
		}
		if err := b.seek(s.r, conjuncts(j.On)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *joinSource) each(e *env, f func() error) error {
	return s.l.each(e, func() error {
		matched := false
		err := s.r.each(e, func() error {
			if s.on.eval != nil {
				v, err := s.on.eval(e)
				if err != nil || v != true {
					return err
				}
			}
			matched = true
			return f()
		})
		if err != nil || matched || !s.left {
			return err
		}
		s.r.blank(e)
		return f()
	})
}

func (s *joinSource) blank(e *env) {
	s.l.blank(e)
	s.r.blank(e)
}

// nothing is the source of a query without FROM: one row of no columns.
type nothing struct{}

func (nothing) each(_ *env, f func() error) error { return f() }
func (nothing) blank(*env)                        {}

package engine

import (
	"slices"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/locks"
	"github.com/lockstep-go/lockstep/internal/tdstest/engine/tsql"
)

// tableSource reads a table. A row that no condition on an index can meet is
// passed over without a lock, as a seek does; all others are locked.
type tableSource struct {
	t       *table
	access  access
	offset  int
	number  int
	seeks   []seek
	opened  *env
	current *row // that each is at
}

// seek is a condition on the first column of an index.
type seek struct {
	column int
	equal  bool
	with   bound // what an equal one is compared to
	test   bound
}

func (s *tableSource) blank(e *env) { clear(e.row[s.offset : s.offset+len(s.t.columns)]) }

func (s *tableSource) each(e *env, f func() error) error {
	key, keyed, err := s.key(e)
	if err != nil {
		return err
	}
	if s.opened != e {
		if err := e.x.open(s.t, s.access, keyed); err != nil {
			return err
		}
		s.opened = e
	}
	if keyed && s.access.rng { // the key is locked even while no row has it
		if err := e.x.lock(s.t.keyResource(s.t.primary(), key), s.access.row); err != nil {
			return err
		}
	}
	for _, r := range s.candidates(e, key, keyed) {
		if err := s.visit(e, r, f); err != nil {
			return err
		}
	}
	return nil
}

func (s *tableSource) candidates(e *env, key string, keyed bool) []*row {
	e.x.server.data.Lock()
	defer e.x.server.data.Unlock()
	if !keyed {
		return slices.Clone(s.t.rows)
	}
	if r := s.t.byKey[key]; r != nil {
		return []*row{r}
	}
	return nil
}

func (s *tableSource) visit(e *env, r *row, f func() error) error {
	x := e.x
	if err := x.interrupted(); err != nil {
		return err
	}
	if len(s.seeks) > 0 && !s.mayMatch(e, r) {
		return nil
	}
	resource := s.t.resource(r)
	ok, err := x.lockRow(resource, s.access)
	if err != nil || !ok {
		return err
	}
	locked := s.access.row != locks.None && !s.access.hold
	values := x.visible(r, s.access)
	if locked && (values == nil || s.access.row == locks.S) {
		x.server.locks.Release(x.cur.owner, resource)
		locked = false
	}
	if locked {
		defer x.server.locks.Release(x.cur.owner, resource)
	}
	if values == nil {
		return nil
	}
	copy(e.row[s.offset:], values)
	s.current = r
	return f()
}

// mayMatch reports whether a state that r has or may come to have meets the
// seeks. An error in a condition is left for the query to meet.
func (s *tableSource) mayMatch(e *env, r *row) bool {
	x := e.x
	var states [][]any
	x.server.data.Lock()
	if s.access.versions {
		states = append(states, r.asOf(s.access.stamp, x.cur))
	} else {
		r.live(func(values []any) bool {
			states = append(states, values)
			return false
		})
	}
	x.server.data.Unlock()
	return slices.ContainsFunc(states, func(values []any) bool {
		if values == nil {
			return false
		}
		copy(e.row[s.offset:], values)
		return !slices.ContainsFunc(s.seeks, func(k seek) bool {
			v, err := k.test.eval(e)
			return err == nil && v != true
		})
	})
}

// key returns the primary key when the seeks fix all of it.
func (s *tableSource) key(e *env) (key string, keyed bool, err error) {
	p := s.t.primary()
	if p == nil {
		return "", false, nil
	}
	values, exact := make([]any, len(p.columns)), make([]bool, len(p.columns))
	for i, c := range p.columns {
		at := slices.IndexFunc(s.seeks, func(k seek) bool { return k.column == c && k.equal })
		if at < 0 {
			return "", false, nil
		}
		v, err := s.seeks[at].with.eval(e)
		if err != nil {
			return "", false, nil // the query will meet it too
		}
		values[i], exact[i] = v, s.t.columns[c].exact
	}
	return keyOf(values, exact), true, nil
}

// conjuncts splits a condition at its ANDs.
func conjuncts(e tsql.Expr) []tsql.Expr {
	if o, ok := e.(*tsql.Operation); ok && o.Op == "AND" {
		return append(conjuncts(o.L), conjuncts(o.R)...)
	}
	return []tsql.Expr{e}
}

// seek tells the tables of s which of the conditions they can seek by.
func (b *binder) seek(s source, conditions []tsql.Expr) error {
	switch s := s.(type) {
	case *joinSource:
		if s.swapped {
			return nil
		}
		if err := b.seek(s.l, conditions); err != nil {
			return err
		}
		return b.seek(s.r, conditions)
	case *tableSource:
		for _, c := range conditions {
			if err := b.seekBy(s, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// seekBy adds c to the seeks if it compares an indexed column to what is known
// before the table is read.
func (b *binder) seekBy(s *tableSource, c tsql.Expr) error {
	var x tsql.Expr
	var with []tsql.Expr
	equal := false
	switch c := c.(type) {
	case *tsql.Operation:
		x, with = c.L, []tsql.Expr{c.R}
		if b.indexed(s, x) < 0 {
			x, with = c.R, []tsql.Expr{c.L}
		}
		equal = c.Op == "="
		if !equal && c.Op != "<" && c.Op != "<=" && c.Op != ">" && c.Op != ">=" {
			return nil
		}
	case *tsql.In:
		if c.Query != nil || c.Not {
			return nil
		}
		x, with = c.X, c.List
	case *tsql.Between:
		if c.Not {
			return nil
		}
		x, with = c.X, []tsql.Expr{c.Low, c.High}
	default:
		return nil
	}
	col := b.indexed(s, x)
	if col < 0 {
		return nil
	}
	k := seek{column: col, equal: equal}
	for _, w := range with {
		known, value, err := b.knownBefore(s, w)
		if err != nil || !known {
			return err
		}
		k.with = value
	}
	var err error
	if k.test, err = b.holds(c); err != nil {
		return err
	}
	t := s.t.columns[col].typ
	k.equal = equal && common(t, k.with.typ).Kind == t.Kind
	if t.sized() {
		t.Size = -1
	}
	k.with = k.with.to(t)
	s.seeks = append(s.seeks, k)
	return nil
}

// indexed returns the column of s that x is, if an index leads with it or it
// is of the primary key; else -1.
func (b *binder) indexed(s *tableSource, x tsql.Expr) int {
	c, ok := x.(*tsql.ColumnRef)
	if !ok || c.Star {
		return -1
	}
	i, err := b.find(c.Name.Parts)
	if err != nil || i < s.offset || i >= s.offset+len(s.t.columns) {
		return -1
	}
	i -= s.offset
	for _, index := range s.t.indexes {
		if index.columns[0] == i || index.primary && slices.Contains(index.columns, i) {
			return i
		}
	}
	return -1
}

// knownBefore reports whether x can be computed before s is read.
func (b *binder) knownBefore(s *tableSource, x tsql.Expr) (bool, bound, error) {
	used, deep := b.used, b.deep
	defer func() { b.used, b.deep = used, deep }()
	b.used, b.deep = 0, false
	v, err := b.value(x)
	return b.used>>s.number == 0 && !b.deep, v, err
}

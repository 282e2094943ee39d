package engine

import (
	"slices"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/locks"
	"github.com/lockstep-go/lockstep/internal/tdstest/engine/tsql"
)

// changes finds the rows that an UPDATE or DELETE changes. They are all found,
// and locked, before the first is changed.
type changes struct {
	x     *exec
	b     *binder
	t     *table
	from  source
	where bound
	limit *limit
	hits  []hit
	seen  map[*row]bool
}

// hit is a row to change; next is nil for one to delete.
type hit struct {
	row       *row
	old, next []any
}

func (x *exec) planChanges(target *tsql.Table, from tsql.TableExpr, where tsql.Expr, top *tsql.Top) (*changes, error) {
	c := &changes{x: x, b: newBinder(x, nil), seen: map[*row]bool{}}
	c.b.target = target
	if from == nil {
		from = target
	} else if found := findTarget(from, target.Name); found != nil {
		found.Hints = append(slices.Clone(found.Hints), target.Hints...)
		c.b.target = found
	} else {
		from = &tsql.Join{Kind: "CROSS", L: target, R: from}
	}
	if _, err := x.targetTable(c.b.target.Name); err != nil {
		return nil, err
	}
	var err error
	if c.from, err = c.b.from(from); err != nil {
		return nil, err
	}
	if c.b.changed == nil {
		return nil, unknown("changes through a view or a query of WITH")
	}
	c.t = c.b.changed.t
	if where != nil {
		if c.where, err = c.b.holds(where); err != nil {
			return nil, err
		}
		if err = c.b.seek(c.from, conjuncts(where)); err != nil {
			return nil, err
		}
	}
	c.limit, err = planLimit(newBinder(x, nil), top, &tsql.Query{})
	return c, err
}

// findTarget finds the table in FROM that a statement's target names, by its
// alias or its name. It is a copy of the statement's own, for hints are added.
func findTarget(from tsql.TableExpr, name tsql.Name) *tsql.Table {
	switch f := from.(type) {
	case *tsql.Table:
		if len(name.Parts) == 1 && f.Alias != "" && sameName(f.Alias, name.Last()) ||
			(f.Alias == "" || len(name.Parts) > 1) && sameName(f.Name.Last(), name.Last()) {
			return f
		}
	case *tsql.Join:
		if t := findTarget(f.L, name); t != nil {
			return t
		}
		return findTarget(f.R, name)
	}
	return nil
}

// find collects the rows. next computes what becomes of one.
func (c *changes) find(next func(e *env, old []any) ([]any, error)) error {
	e := &env{x: c.x, row: make([]any, len(c.b.cols))}
	passage, err := c.limit.start(e)
	if err != nil || passage.take == 0 {
		return err
	}
	if err := c.x.intend(c.t, locks.IX); err != nil {
		return err
	}
	return enough(c.from.each(e, func() error {
		if c.where.eval != nil {
			v, err := c.where.eval(e)
			if err != nil || v != true {
				return err
			}
		}
		r := c.b.changed.current
		if c.seen[r] { // a join may meet it again
			return nil
		}
		c.seen[r] = true
		return passage.pass(nil, func([]any) error { return c.take(e, r, next) })
	}))
}

func (c *changes) take(e *env, r *row, next func(*env, []any) ([]any, error)) error {
	if !c.t.private {
		if err := c.x.lock(c.t.resource(r), locks.X); err != nil {
			return err
		}
		if err := c.conflict(r); err != nil {
			return err
		}
	}
	offset := c.b.changed.offset
	h := hit{row: r, old: slices.Clone(e.row[offset : offset+len(c.t.columns)])}
	if next != nil {
		var err error
		if h.next, err = next(e, h.old); err != nil {
			return err
		}
	}
	c.hits = append(c.hits, h)
	return nil
}

// conflict refuses to change a row under SNAPSHOT that another transaction has
// changed since.
func (c *changes) conflict(r *row) error {
	if !c.b.changed.access.versions {
		return nil
	}
	c.x.server.data.Lock()
	defer c.x.server.data.Unlock()
	if !r.changedSince(c.b.changed.access.stamp, c.x.cur) {
		return nil
	}
	return fault(3960, "Snapshot isolation transaction aborted due to update conflict. You cannot use snapshot isolation to access table '%s.%s' "+
		"directly or indirectly in database '%s' to update, delete, or insert the row that has been modified or deleted by another transaction. "+
		"Retry the transaction or change the isolation level for the update/delete statement.", c.t.schema, c.t.name, c.t.db.name)
}

// apply makes the changes. Rows whose primary key changes are taken out first,
// so that keys may be passed on among them.
func (c *changes) apply() error {
	p := c.t.primary()
	moves := func(h hit) bool { return p != nil && h.next != nil && c.t.key(p, h.old) != c.t.key(p, h.next) }
	for _, h := range c.hits {
		if h.next != nil && !c.t.private {
			if err := c.x.lockKeys(c.t, h.next, h.old); err != nil {
				return err
			}
		}
	}
	c.x.server.data.Lock()
	for _, h := range c.hits {
		if moves(h) {
			c.t.write(c.x.cur, h.row, nil)
		} else {
			c.t.write(c.x.cur, h.row, h.next)
		}
	}
	c.x.server.data.Unlock()
	for _, h := range c.hits {
		if err := c.verify(h, moves(h)); err != nil {
			return err
		}
	}
	return nil
}

// verify checks constraints once all changes are made, and puts a row whose
// key changed back in.
func (c *changes) verify(h hit, moved bool) error {
	switch {
	case moved:
		if err := c.x.addRow(c.t, h.next); err != nil {
			return err
		}
	case h.next != nil:
		if err := c.x.checkUnique(c.t, h.next, h.row); err != nil {
			return err
		}
		if err := c.x.checkParents(c.t, h.next, "UPDATE"); err != nil {
			return err
		}
	}
	return c.x.checkChildren(c.t, h)
}

// update runs UPDATE.
func (x *exec) update(s *tsql.Update) error {
	out := &output{}
	var c *changes
	err := x.writing(func() error {
		target := s.Target
		var err error
		if c, err = x.planChanges(&target, cloneFrom(s.From), s.Where, s.Top); err != nil {
			return err
		}
		if out, err = x.planOutput(s.Output, c.t); err != nil {
			return err
		}
		next, err := c.assignments(s.Sets)
		if err != nil {
			return err
		}
		if err := c.find(next); err != nil {
			return err
		}
		return c.finish(out)
	})
	if err != nil {
		return err
	}
	out.send(x)
	x.counted(cmdUpdate, int64(len(c.hits)), out.sends())
	return nil
}

func (c *changes) finish(out *output) error {
	if err := c.apply(); err != nil {
		return err
	}
	for _, h := range c.hits {
		if err := out.add(c.x, h.old, h.next); err != nil {
			return err
		}
	}
	return out.store(c.x)
}

// cloneFrom copies FROM as far as planning changes it.
func cloneFrom(from tsql.TableExpr) tsql.TableExpr {
	switch f := from.(type) {
	case *tsql.Table:
		t := *f
		return &t
	case *tsql.Join:
		j := *f
		j.L, j.R = cloneFrom(f.L), cloneFrom(f.R)
		return &j
	}
	return from
}

// setting is one assignment of an UPDATE.
type setting struct {
	column   int // -1 for a variable alone
	variable *value
	x        bound
	preset   tsql.Expr
}

// assignments binds SET. Every expression sees the row as it was.
func (c *changes) assignments(sets []tsql.Assignment) (func(*env, []any) ([]any, error), error) {
	var all []setting
	for _, a := range sets {
		s, err := c.assignment(a)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return func(e *env, old []any) ([]any, error) {
		next := slices.Clone(old)
		for _, s := range all {
			v, err := c.newValue(e, s)
			if err != nil {
				return nil, err
			}
			if s.variable != nil {
				if s.variable.v, err = convert(v.v, v.typ, s.variable.typ, 0); err != nil {
					return nil, err
				}
			}
			if s.column >= 0 {
				if next[s.column], err = c.t.fit(s.column, v); err != nil {
					return nil, err
				}
			}
		}
		return next, c.x.checkRow(c.t, next, "UPDATE")
	}, nil
}

func (c *changes) newValue(e *env, s setting) (value, error) {
	if s.preset != nil {
		return c.x.value(s.preset)
	}
	v, err := s.x.eval(e)
	return value{s.x.typ, v}, err
}

func (c *changes) assignment(a tsql.Assignment) (setting, error) {
	s := setting{column: -1}
	var err error
	if a.Variable != "" {
		if s.variable, err = c.x.variable(a.Variable); err != nil {
			return s, err
		}
	}
	if len(a.Column.Parts) > 0 {
		if s.column = c.t.column(a.Column.Last()); s.column < 0 {
			return s, fault(207, "Invalid column name '%s'.", a.Column.Last())
		}
		if c.t.columns[s.column].identity != nil {
			return s, fault(8102, "Cannot update identity column '%s'.", a.Column.Last())
		}
	}
	e := a.X
	if l, ok := e.(*tsql.Literal); ok && l.Kind == tsql.Default && s.column >= 0 {
		if s.preset = c.t.columns[s.column].preset; s.preset == nil {
			s.preset = &tsql.Literal{Kind: tsql.Null}
		}
		return s, nil
	}
	if a.Op != "=" {
		var left tsql.Expr = &tsql.Variable{Name: a.Variable}
		if s.column >= 0 {
			left = &tsql.ColumnRef{Name: a.Column}
		}
		e = &tsql.Operation{Op: a.Op, L: left, R: a.X}
	}
	s.x, err = c.b.value(e)
	return s, err
}

// delete runs DELETE.
func (x *exec) delete(s *tsql.Delete) error {
	out := &output{}
	var c *changes
	err := x.writing(func() error {
		target := s.Target
		var err error
		if c, err = x.planChanges(&target, cloneFrom(s.From), s.Where, s.Top); err != nil {
			return err
		}
		if out, err = x.planOutput(s.Output, c.t); err != nil {
			return err
		}
		if err := c.find(nil); err != nil {
			return err
		}
		return c.finish(out)
	})
	if err != nil {
		return err
	}
	out.send(x)
	x.counted(cmdDelete, int64(len(c.hits)), out.sends())
	return nil
}

// truncate runs TRUNCATE TABLE, which locks the table alone.
func (x *exec) truncate(s *tsql.Truncate) error {
	err := x.writing(func() error {
		t, err := x.targetTable(s.Table)
		if err != nil {
			return err
		}
		if err := x.intend(t, locks.X); err != nil {
			return err
		}
		x.server.data.Lock()
		defer x.server.data.Unlock()
		for _, r := range slices.Clone(t.rows) {
			if r.current() != nil {
				t.write(x.cur, r, nil)
			}
		}
		counter := t.counter
		t.counter = 0
		x.cur.undo = append(x.cur.undo, func() { t.counter = counter })
		return nil
	})
	if err == nil {
		x.ended(cmdDelete)
	}
	return err
}

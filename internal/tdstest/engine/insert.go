package engine

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/locks"
	"github.com/lockstep-go/lockstep/internal/tdstest/engine/tsql"
)

// insert runs INSERT.
func (x *exec) insert(s *tsql.Insert) error {
	var n int64
	out := &output{}
	err := x.writing(func() error {
		t, err := x.targetTable(s.Target.Name)
		if err != nil {
			return err
		}
		if out, err = x.planOutput(s.Output, t); err != nil {
			return err
		}
		targets, err := t.insertColumns(s.Columns)
		if err != nil {
			return err
		}
		rows, err := x.insertRows(s, t, targets)
		if err != nil {
			return err
		}
		h := readHints(s.Target.Hints)
		if err := x.intend(t, locks.Union(locks.IX, h.table)); err != nil {
			return err
		}
		for _, r := range rows {
			if err := x.addRow(t, r); err != nil {
				return err
			}
			if err := out.add(x, nil, r); err != nil {
				return err
			}
		}
		n = int64(len(rows))
		return out.store(x)
	})
	if err != nil {
		return err
	}
	out.send(x)
	x.counted(cmdInsert, n, out.sends())
	return nil
}

// writing runs a statement that writes.
func (x *exec) writing(f func() error) error {
	err := x.changing(f)
	if f, ok := err.(*failure); ok {
		f.write = true
	}
	return err
}

// changing runs a statement that the transaction must be able to keep.
func (x *exec) changing(f func() error) error {
	if err := x.writable(); err != nil {
		return err
	}
	return x.atomically(f)
}

// targetTable finds the table that a statement changes.
func (x *exec) targetTable(n tsql.Name) (*table, error) {
	_, o, err := x.lookUp(n)
	if err != nil {
		return nil, err
	}
	switch o := o.(type) {
	case *table:
		if o.db.readOnly.Load() && !o.private {
			return nil, fault(3906, "Failed to update database \"%s\" because the database is read-only.", o.db.name)
		}
		if x.s.isolation == Snapshot && !o.private && !o.db.allowsSnapshot.Load() {
			_, err := x.reading(o, nil, true)
			return nil, err
		}
		return o, nil
	case *module:
		return nil, unknown("changes through a view")
	}
	return nil, fault(208, "Invalid object name '%s'.", strings.Join(n.Parts, "."))
}

func (x *exec) intend(t *table, mode locks.Mode) error {
	if t.private {
		return nil
	}
	return x.lock(t.whole(), mode)
}

func (t *table) insertColumns(names []string) ([]int, error) {
	var targets []int
	if len(names) == 0 {
		for i, c := range t.columns {
			if c.identity == nil {
				targets = append(targets, i)
			}
		}
		return targets, nil
	}
	for _, name := range names {
		i := t.column(name)
		switch {
		case i < 0:
			return nil, fault(207, "Invalid column name '%s'.", name)
		case slices.Contains(targets, i):
			return nil, fault(264, "The column name '%s' is specified more than once in the SET clause or column list of an INSERT.", name)
		case t.columns[i].identity != nil:
			return nil, fault(544, "Cannot insert explicit value for identity column in table '%s' when IDENTITY_INSERT is set to OFF.", t.name)
		}
		targets = append(targets, i)
	}
	return targets, nil
}

// given is a value for a column with the type it has; preset asks for the
// column's default.
type given struct {
	value
	preset bool
}

// insertRows computes the rows to insert, in full.
func (x *exec) insertRows(s *tsql.Insert, t *table, targets []int) ([][]any, error) {
	var rows [][]any
	add := func(values []given) error {
		r, err := x.fullRow(t, targets, values)
		rows = append(rows, r)
		return err
	}
	if s.Default {
		return rows, append2(&rows, x, t)
	}
	if s.Query != nil {
		p, err := planQuery(x, s.Query, nil)
		if err != nil {
			return nil, err
		}
		if len(p.cols) != len(targets) {
			return nil, columnCount(len(p.cols), len(targets), len(s.Columns) > 0)
		}
		err = p.run(nil, func(row []any) error {
			values := make([]given, len(row))
			for i, v := range row {
				values[i] = given{value: value{p.cols[i].typ, v}}
			}
			return add(values)
		})
		return rows, err
	}
	for _, r := range s.Rows {
		if len(r) != len(targets) {
			return nil, columnCount(len(r), len(targets), len(s.Columns) > 0)
		}
		values := make([]given, len(r))
		for i, e := range r {
			v, err := x.insertValue(e)
			if err != nil {
				return nil, err
			}
			values[i] = v
		}
		if err := add(values); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func append2(rows *[][]any, x *exec, t *table) error {
	r, err := x.fullRow(t, nil, nil)
	*rows = append(*rows, r)
	return err
}

func (x *exec) insertValue(e tsql.Expr) (given, error) {
	if l, ok := e.(*tsql.Literal); ok && l.Kind == tsql.Default {
		return given{preset: true}, nil
	}
	v, err := x.value(e)
	return given{value: v}, err
}

func columnCount(have, want int, named bool) error {
	switch {
	case !named:
		return fault(213, "Column name or number of supplied values does not match table definition.")
	case have > want:
		return fault(110, "There are fewer columns in the INSERT statement than values specified in the VALUES clause. The number of values in "+
			"the VALUES clause must match the number of columns specified in the INSERT statement.")
	}
	return fault(109, "There are more columns in the INSERT statement than values specified in the VALUES clause. The number of values in "+
		"the VALUES clause must match the number of columns specified in the INSERT statement.")
}

// fullRow completes a row with defaults and checks it.
func (x *exec) fullRow(t *table, targets []int, values []given) ([]any, error) {
	row := make([]any, len(t.columns))
	for i, c := range t.columns {
		at := slices.Index(targets, i)
		var err error
		switch {
		case at >= 0 && !values[at].preset:
			row[i], err = t.fit(i, values[at].value)
		case c.identity != nil:
			row[i], err = x.nextIdentity(t, c)
		case c.preset != nil:
			var v value
			if v, err = x.value(c.preset); err == nil {
				row[i], err = t.fit(i, v)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return row, x.checkRow(t, row, "INSERT")
}

// nextIdentity is not undone with the transaction.
func (x *exec) nextIdentity(t *table, c *column) (any, error) {
	x.server.data.Lock()
	defer x.server.data.Unlock()
	n := c.identity.Seed + t.counter*c.identity.Increment
	t.counter++
	x.s.identity = n
	return convert(n, typeBigInt, c.typ, 0)
}

// fit converts a value to a column's type and refuses what is too long.
func (t *table) fit(i int, v value) (any, error) {
	c := t.columns[i]
	out, err := convert(v.v, v.typ, c.typ, 0)
	if err != nil || out == nil || !c.typ.sized() || c.typ.Size < 0 {
		return out, err
	}
	wide := c.typ
	wide.Size = -1
	if c.typ.Kind == Char || c.typ.Kind == NChar {
		wide.Kind = NVarChar
	}
	if c.typ.Kind == Binary {
		wide.Kind = VarBinary
	}
	full, err := convert(v.v, v.typ, wide, 0)
	if err != nil {
		return nil, err
	}
	long := false
	switch full := full.(type) {
	case string:
		long = units(strings.TrimRight(full, " ")) > c.typ.Size
	case []byte:
		long = len(full) > c.typ.Size
	}
	if long {
		return nil, fault(2628, "String or binary data would be truncated in table '%s', column '%s'. Truncated value: '%v'.",
			t.fullName(), c.name, out)
	}
	return out, nil
}

func (t *table) fullName() string { return t.db.name + "." + t.schema + "." + t.name }

// checkRow refuses NULL where it is not allowed, and what a CHECK refuses.
func (x *exec) checkRow(t *table, row []any, verb string) error {
	for i, c := range t.columns {
		if row[i] == nil && !c.nullable {
			return fault(515, "Cannot insert the value NULL into column '%s', table '%s'; column does not allow nulls. %s fails.", c.name, t.fullName(), verb)
		}
	}
	for _, k := range t.checks {
		ok, err := x.rowMeets(t, row, k.x)
		if err != nil {
			return err
		}
		if ok == false {
			return fault(547, "The %s statement conflicted with the CHECK constraint \"%s\". The conflict occurred in database \"%s\", table \"%s.%s\".",
				verb, k.name, t.db.name, t.schema, t.name)
		}
	}
	return nil
}

// rowMeets computes a condition over one row of t: true, false or nil.
func (x *exec) rowMeets(t *table, row []any, condition tsql.Expr) (any, error) {
	b := newBinder(x, nil)
	for _, c := range t.columns {
		b.cols = append(b.cols, binding{table: t.name, name: c.name, typ: c.typ, nullable: c.nullable, exact: c.exact})
	}
	holds, err := b.holds(condition)
	if err != nil {
		return nil, err
	}
	return holds.eval(&env{x: x, row: row})
}

// addRow locks a new row's keys, so that nobody else can be about to add the
// same, and puts it in.
func (x *exec) addRow(t *table, values []any) error {
	x.server.data.Lock()
	t.nextRow++
	id := t.nextRow
	x.server.data.Unlock()
	if !t.private {
		if err := x.lockKeys(t, values, nil); err != nil {
			return err
		}
		if t.primary() == nil {
			r := locks.Resource{Kind: locks.Row, Database: t.db.id, Object: t.id, Key: strconv.FormatInt(id, 10)}
			if err := x.lock(r, locks.X); err != nil {
				return err
			}
		}
	}
	if err := x.checkParents(t, values, "INSERT"); err != nil {
		return err
	}
	if err := x.checkUnique(t, values, nil); err != nil {
		return err
	}
	x.server.data.Lock()
	defer x.server.data.Unlock()
	t.write(x.cur, t.place(id, values), values)
	return nil
}

// lockKeys locks the unique keys of values that differ from those of old.
func (x *exec) lockKeys(t *table, values, old []any) error {
	for _, i := range t.indexes {
		if !i.unique || old != nil && t.key(i, old) == t.key(i, values) {
			continue
		}
		if err := x.lock(t.keyResource(i, t.key(i, values)), locks.X); err != nil {
			return err
		}
	}
	return nil
}

// checkUnique refuses values whose unique keys another row than self has.
func (x *exec) checkUnique(t *table, values []any, self *row) error {
	for _, i := range t.indexes {
		if !i.unique {
			continue
		}
		if i.where != nil {
			if ok, err := x.rowMeets(t, values, i.where); err != nil || ok != true {
				if err != nil {
					return err
				}
				continue
			}
		}
		twin := x.twin(t, i, values, self)
		if twin == nil {
			continue
		}
		if i.where != nil {
			if ok, err := x.rowMeets(t, twin, i.where); err != nil || ok != true {
				if err != nil {
					return err
				}
				continue
			}
		}
		return t.duplicate(i, values)
	}
	return nil
}

// twin returns the values of another row with the same key.
func (x *exec) twin(t *table, i *index, values []any, self *row) []any {
	x.server.data.Lock()
	defer x.server.data.Unlock()
	key := t.key(i, values)
	if i.primary {
		if r := t.byKey[key]; r != nil && r != self {
			return r.current()
		}
		return nil
	}
	for _, r := range t.rows {
		if v := r.current(); v != nil && r != self && t.key(i, v) == key {
			return v
		}
	}
	return nil
}

func (t *table) duplicate(i *index, values []any) error {
	var parts []string
	for _, c := range i.columns {
		text := "<NULL>"
		if values[c] != nil {
			v, _ := convert(values[c], t.columns[c].typ, nvarchar(-1), 1)
			text = fmt.Sprint(v)
		}
		parts = append(parts, text)
	}
	object, key := t.schema+"."+t.name, strings.Join(parts, ", ")
	switch {
	case i.primary:
		return fault(2627, "Violation of PRIMARY KEY constraint '%s'. Cannot insert duplicate key in object '%s'. The duplicate key value is (%s).", i.name, object, key)
	case i.constraint:
		return fault(2627, "Violation of UNIQUE KEY constraint '%s'. Cannot insert duplicate key in object '%s'. The duplicate key value is (%s).", i.name, object, key)
	}
	return fault(2601, "Cannot insert duplicate key row in object '%s' with unique index '%s'. The duplicate key value is (%s).", object, i.name, key)
}

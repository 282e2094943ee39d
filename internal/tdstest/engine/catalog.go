package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/locks"
	"github.com/lockstep-go/lockstep/internal/tdstest/engine/tsql"
)

// resolved is where a name of an object leads.
type resolved struct {
	db           *database
	schema, name string
}

func (r resolved) key() string { return foldName(r.schema + "." + r.name) }

// resource is what DDL on the object locks, and what its users lock briefly.
func (r resolved) resource() locks.Resource {
	return locks.Resource{Kind: locks.Metadata, Database: r.db.id, Key: r.key()}
}

// resolve completes a name with the current database and the schema dbo.
func (x *exec) resolve(n tsql.Name) (resolved, error) {
	r := resolved{db: x.s.db, schema: "dbo", name: n.Last()}
	parts := n.Parts
	if len(parts) > 1 && parts[len(parts)-2] != "" {
		r.schema = parts[len(parts)-2]
	}
	if len(parts) > 2 && parts[len(parts)-3] != "" {
		if r.db = x.server.database(parts[len(parts)-3]); r.db == nil {
			return r, fault(208, "Invalid object name '%s'.", strings.Join(parts, "."))
		}
	}
	if len(parts) > 3 {
		return r, unknown("linked servers")
	}
	return r, nil
}

// lookUp finds a table, a view or a procedure; nil if there is none. It waits
// for a transaction that is making or dropping it.
func (x *exec) lookUp(n tsql.Name) (resolved, object, error) {
	switch name := n.Last(); name[0] {
	case '@':
		t := x.scope.tables[foldName(name)]
		if t == nil {
			return resolved{}, nil, fault(1087, "Must declare the table variable \"%s\".", name)
		}
		return resolved{}, t, nil
	case '#':
		if t := x.s.temporary[foldName(name)]; t != nil {
			return resolved{}, t, nil
		}
		return resolved{}, nil, nil
	}
	r, err := x.resolve(n)
	if err != nil {
		return r, nil, err
	}
	if x.cur != nil {
		if err := x.lockBriefly(r.resource(), locks.S); err != nil {
			return r, nil, err
		}
	}
	x.server.data.Lock()
	defer x.server.data.Unlock()
	if o, ok := r.db.objects[r.key()]; ok {
		return r, o, nil
	}
	return r, nil, nil
}

// newObject describes an object that is being made.
func (x *exec) newObject(r resolved) description {
	x.server.data.Lock()
	defer x.server.data.Unlock()
	r.db.nextID += 16
	return description{id: r.db.nextID, schema: r.schema, name: r.name, created: x.server.now()}
}

// newTable makes a table from its definition; it is in no database yet.
func (x *exec) newTable(d *tsql.CreateTable, name string) (*table, error) {
	r := resolved{db: x.s.db, schema: "dbo", name: name}
	if name[0] != '@' && name[0] != '#' {
		var err error
		if r, err = x.resolve(d.Name); err != nil {
			return nil, err
		}
	}
	t := &table{description: x.newObject(r), db: r.db, byKey: map[string]*row{}}
	for _, c := range d.Columns {
		if err := x.addColumn(t, c); err != nil {
			return nil, err
		}
	}
	for _, c := range d.Constraints {
		if err := x.addConstraint(t, c); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (x *exec) addColumn(t *table, d tsql.ColumnDef) error {
	if t.column(d.Name) >= 0 {
		return fault(2705, "Column names in each table must be unique. Column name '%s' in table '%s' is specified more than once.", d.Name, t.name)
	}
	typ, err := resolveType(d.Type, false)
	if err != nil {
		return fault(2715, "Column, parameter, or variable #%d: Cannot find data type %s.", len(t.columns)+1, d.Type.Name)
	}
	c := &column{name: d.Name, typ: typ, nullable: true, exact: exactCollation(d.Collation), preset: d.Default, presetAs: d.DefaultAs, identity: d.Identity}
	if d.Nullable != nil {
		c.nullable = *d.Nullable
	}
	if c.identity != nil {
		c.nullable = false
	}
	if c.preset != nil {
		if _, err := newBinder(x, nil).value(c.preset); err != nil {
			return err
		}
		if c.presetAs == "" {
			c.presetAs = t.constraintName("DF", c.name)
		}
	}
	t.columns = append(t.columns, c)
	return nil
}

// constraintName makes a name as the server does.
func (t *table) constraintName(prefix, column string) string {
	short := func(s string, n int) string { return sliceUnits(s, 0, n) }
	name := prefix + "__" + short(t.name, 9)
	if column != "" {
		name += "__" + short(column, 9)
	}
	return fmt.Sprintf("%s__%08X", name, uint32(t.id)+uint32(len(t.indexes)+len(t.checks)+len(t.foreign)+len(t.columns)))
}

func (t *table) places(names []string) ([]int, error) {
	var all []int
	for _, n := range names {
		i := t.column(n)
		if i < 0 {
			return nil, fault(1911, "Column name '%s' does not exist in the target table or view.", n)
		}
		all = append(all, i)
	}
	return all, nil
}

func (x *exec) addConstraint(t *table, c tsql.Constraint) error {
	columns, err := t.places(c.Columns)
	if err != nil {
		return err
	}
	switch c.Kind {
	case "PRIMARY KEY":
		if t.primary() != nil {
			return fault(1779, "Table '%s' already has a primary key defined on it.", t.name)
		}
		if c.Name == "" {
			c.Name = t.constraintName("PK", "")
		}
		for _, i := range columns {
			t.columns[i].nullable = false
		}
		t.indexes = append(t.indexes, &index{name: c.Name, columns: columns, unique: true, primary: true, constraint: true})
	case "UNIQUE":
		if c.Name == "" {
			c.Name = t.constraintName("UQ", "")
		}
		t.indexes = append(t.indexes, &index{name: c.Name, columns: columns, unique: true, constraint: true})
	case "INDEX":
		t.indexes = append(t.indexes, &index{name: c.Name, columns: columns})
	case "CHECK":
		if c.Name == "" {
			c.Name = t.constraintName("CK", "")
		}
		t.checks = append(t.checks, check{c.Name, c.Check})
	case "FOREIGN KEY":
		return x.addForeignKey(t, c, columns)
	}
	return nil
}

func (x *exec) addForeignKey(t *table, c tsql.Constraint, columns []int) error {
	parent := t
	if !sameName(c.References.Last(), t.name) {
		_, o, err := x.lookUp(*c.References)
		if err != nil {
			return err
		}
		var ok bool
		if parent, ok = o.(*table); !ok {
			return fault(1767, "Foreign key '%s' references invalid table '%s'.", c.Name, c.References.Last())
		}
	}
	f := foreignKey{name: c.Name, columns: columns, parent: parent}
	if f.name == "" {
		f.name = t.constraintName("FK", "")
	}
	switch p := parent.primary(); {
	case len(c.Referenced) > 0:
		var err error
		if f.target, err = parent.places(c.Referenced); err != nil {
			return err
		}
	case p != nil:
		f.target = p.columns
	}
	keyed := slices.ContainsFunc(parent.indexes, func(i *index) bool { return i.unique && slices.Equal(i.columns, f.target) })
	if !keyed || len(f.target) != len(columns) {
		return fault(1776, "There are no primary or candidate keys in the referenced table '%s' that match the referencing column list in the "+
			"foreign key '%s'.", parent.name, f.name)
	}
	t.foreign = append(t.foreign, f)
	return nil
}

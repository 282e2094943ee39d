package engine

import (
	"slices"
	"strings"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/locks"
	"github.com/lockstep-go/lockstep/internal/tdstest/engine/tsql"
)

// define runs a statement of DDL, and what else is left.
func (x *exec) define(s tsql.Statement) error {
	switch s := s.(type) {
	case *tsql.CreateTable:
		return x.createTable(s)
	case *tsql.CreateIndex:
		return x.createIndex(s)
	case *tsql.CreateModule:
		return x.createModule(s)
	case *tsql.AlterTable:
		return x.alterTable(s)
	case *tsql.CreateSchema:
		return x.createSchema(s)
	case *tsql.Drop:
		return x.drop(s)
	case *tsql.CreateDatabase:
		return x.createDatabase(s)
	case *tsql.AlterDatabase:
		return x.alterDatabase(s)
	case *tsql.CreateLogin, *tsql.CreateUser, *tsql.Permission:
		return x.security(s)
	}
	return unknown("a statement of kind %T", s)
}

// ddl runs a definition in the transaction, with its undoing.
func (x *exec) ddl(command uint16, f func() error) error {
	err := x.changing(f)
	if err == nil {
		x.ended(command)
	}
	return err
}

// claim locks a name for the rest of the transaction.
func (x *exec) claim(r resolved) error { return x.lock(r.resource(), locks.X) }

// put adds, replaces or, with nil, drops an object until the transaction is
// rolled back.
func (x *exec) put(r resolved, o object) {
	x.server.data.Lock()
	defer x.server.data.Unlock()
	key, old := r.key(), r.db.objects[r.key()]
	set := func(o object) {
		if o == nil {
			delete(r.db.objects, key)
		} else {
			r.db.objects[key] = o
		}
	}
	set(o)
	x.cur.undo = append(x.cur.undo, func() { set(old) })
}

func (x *exec) exists(r resolved) object {
	x.server.data.Lock()
	defer x.server.data.Unlock()
	return r.db.objects[r.key()]
}

func (x *exec) createTable(s *tsql.CreateTable) error {
	return x.ddl(cmdCreate, func() error {
		name := s.Name.Last()
		if name[0] == '#' {
			return x.createTemporary(s, name)
		}
		r, err := x.resolve(s.Name)
		if err != nil {
			return err
		}
		if err := x.claim(r); err != nil {
			return err
		}
		if err := x.free(r); err != nil {
			return err
		}
		t, err := x.newTable(s, name)
		if err != nil {
			return err
		}
		x.put(r, t)
		return nil
	})
}

// free fails when a name is taken or its schema is missing.
func (x *exec) free(r resolved) error {
	if x.exists(r) != nil {
		return fault(2714, "There is already an object named '%s' in the database.", r.name)
	}
	x.server.data.Lock()
	defer x.server.data.Unlock()
	if _, ok := r.db.schemas[foldName(r.schema)]; !ok {
		return fault(2760, "The specified schema name \"%s\" either does not exist or you do not have permission to use it.", r.schema)
	}
	return nil
}

func (x *exec) createTemporary(s *tsql.CreateTable, name string) error {
	if x.s.temporary[foldName(name)] != nil {
		return fault(2714, "There is already an object named '%s' in the database.", name)
	}
	t, err := x.newTable(s, name)
	if err != nil {
		return err
	}
	t.private = true
	session := x.s
	session.temporary[foldName(name)] = t
	x.cur.undo = append(x.cur.undo, func() { delete(session.temporary, foldName(name)) })
	return nil
}

// selectInto makes a table from a query's columns and fills it.
func (x *exec) selectInto(q *tsql.Query) error {
	return unknown("SELECT ... INTO %s", strings.Join(q.Selects[0].Into.Parts, "."))
}

func (x *exec) createIndex(s *tsql.CreateIndex) error {
	return x.ddl(cmdCreate, func() error {
		t, err := x.tableToAlter(s.Table)
		if err != nil {
			return err
		}
		columns, err := t.places(s.Columns)
		if err != nil {
			return err
		}
		i := &index{name: s.Name, columns: columns, unique: s.Unique, where: s.Where}
		if slices.ContainsFunc(t.indexes, func(o *index) bool { return sameName(o.name, i.name) }) {
			return fault(1913, "The operation failed because an index or statistics with name '%s' already exists on table '%s'.", i.name, t.name)
		}
		if i.unique {
			if err := x.verifyUnique(t, i); err != nil {
				return err
			}
		}
		x.change(t, func() { t.indexes = append(slices.Clone(t.indexes), i) })
		return nil
	})
}

func (x *exec) verifyUnique(t *table, i *index) error {
	x.server.data.Lock()
	rows := slices.Clone(t.rows)
	x.server.data.Unlock()
	seen := map[string]bool{}
	for _, r := range rows {
		v := x.visible(r, access{})
		if v == nil {
			continue
		}
		if i.where != nil {
			if ok, err := x.rowMeets(t, v, i.where); err != nil || ok != true {
				if err != nil {
					return err
				}
				continue
			}
		}
		k := t.key(i, v)
		if seen[k] {
			return fault(1505, "The CREATE UNIQUE INDEX statement terminated because a duplicate key was found for the object name '%s.%s' "+
				"and the index name '%s'.", t.schema, t.name, i.name)
		}
		seen[k] = true
	}
	return nil
}

// tableToAlter finds a table and keeps everybody else from it.
func (x *exec) tableToAlter(n tsql.Name) (*table, error) {
	if n.Last()[0] == '#' {
		return x.targetTable(n)
	}
	r, err := x.resolve(n)
	if err != nil {
		return nil, err
	}
	if err := x.claim(r); err != nil {
		return nil, err
	}
	t, ok := x.exists(r).(*table)
	if !ok {
		return nil, fault(1088, "Cannot find the object \"%s\" because it does not exist or you do not have permissions.", strings.Join(n.Parts, "."))
	}
	return t, x.lock(t.whole(), locks.X)
}

// change alters a table's definition until the transaction is rolled back.
func (x *exec) change(t *table, f func()) {
	x.server.data.Lock()
	defer x.server.data.Unlock()
	columns, indexes, checks, foreign := t.columns, t.indexes, t.checks, t.foreign
	f()
	x.cur.undo = append(x.cur.undo, func() { t.columns, t.indexes, t.checks, t.foreign = columns, indexes, checks, foreign })
}

func (x *exec) alterTable(s *tsql.AlterTable) error {
	return x.ddl(cmdCreate, func() error {
		t, err := x.tableToAlter(s.Table)
		if err != nil {
			return err
		}
		shadow := *t // the definition is built aside, and taken over as a whole
		shadow.columns, shadow.indexes = slices.Clone(t.columns), slices.Clone(t.indexes)
		shadow.checks, shadow.foreign = slices.Clone(t.checks), slices.Clone(t.foreign)
		for _, name := range s.DropConstraint {
			if !shadow.dropConstraint(name) {
				return fault(3728, "'%s' is not a constraint.", name)
			}
		}
		if len(s.DropColumns) > 0 {
			return unknown("ALTER TABLE ... DROP COLUMN")
		}
		for _, c := range s.AddColumns {
			if err := x.addColumn(&shadow, c); err != nil {
				return err
			}
		}
		for _, c := range s.AddConstraints {
			if c.Kind == "PRIMARY KEY" && len(t.rows) > 0 {
				return unknown("ALTER TABLE ... ADD PRIMARY KEY on a table with rows")
			}
			if err := x.addConstraint(&shadow, c); err != nil {
				return err
			}
		}
		x.change(t, func() {
			t.columns, t.indexes, t.checks, t.foreign = shadow.columns, shadow.indexes, shadow.checks, shadow.foreign
		})
		return x.widen(t, s.AddColumns)
	})
}

func (t *table) dropConstraint(name string) bool {
	n := len(t.indexes) + len(t.checks) + len(t.foreign)
	t.indexes = slices.DeleteFunc(t.indexes, func(i *index) bool { return i.constraint && !i.primary && sameName(i.name, name) })
	t.checks = slices.DeleteFunc(t.checks, func(c check) bool { return sameName(c.name, name) })
	t.foreign = slices.DeleteFunc(t.foreign, func(f foreignKey) bool { return sameName(f.name, name) })
	if len(t.indexes)+len(t.checks)+len(t.foreign) < n {
		return true
	}
	for i, c := range t.columns {
		if c.preset != nil && sameName(c.presetAs, name) {
			plain := *c
			plain.preset, plain.presetAs = nil, ""
			t.columns[i] = &plain
			return true
		}
	}
	return false
}

// widen gives all rows the columns that were added.
func (x *exec) widen(t *table, added []tsql.ColumnDef) error {
	x.server.data.Lock()
	rows := slices.Clone(t.rows)
	x.server.data.Unlock()
	for _, r := range rows {
		x.server.data.Lock()
		values := slices.Clone(r.current())
		x.server.data.Unlock()
		if values == nil || len(added) == 0 {
			continue
		}
		for _, c := range t.columns[len(values):] {
			var v any
			if c.preset != nil && !c.nullable {
				out, err := x.scalar(c.preset, c.typ)
				if err != nil {
					return err
				}
				v = out
			}
			if v == nil && !c.nullable {
				return fault(4901, "ALTER TABLE only allows columns to be added that can contain nulls, or have a DEFAULT definition specified, "+
					"or the column being added is an identity or timestamp column. Column '%s' cannot be added to non-empty table '%s'.", c.name, t.name)
			}
			values = append(values, v)
		}
		x.server.data.Lock()
		t.write(x.cur, r, values)
		x.server.data.Unlock()
	}
	return nil
}

func (x *exec) createModule(s *tsql.CreateModule) error {
	return x.ddl(cmdCreate, func() error {
		r, err := x.resolve(s.Name)
		if err != nil {
			return err
		}
		if err := x.claim(r); err != nil {
			return err
		}
		old, _ := x.exists(r).(*module)
		switch {
		case s.Alter && old == nil && !s.OrCreate:
			return fault(208, "Invalid object name '%s'.", strings.Join(s.Name.Parts, "."))
		case old == nil || !s.Alter:
			if err := x.free(r); err != nil {
				return err
			}
		}
		if s.Kind == "VIEW" {
			if _, err := planQuery(x, s.Query, nil); err != nil {
				return err
			}
		}
		x.put(r, &module{x.newObject(r), s})
		return nil
	})
}

func (x *exec) createSchema(s *tsql.CreateSchema) error {
	return x.ddl(cmdCreate, func() error {
		x.server.data.Lock()
		defer x.server.data.Unlock()
		db, key := x.s.db, foldName(s.Name)
		if _, ok := db.schemas[key]; ok {
			return fault(2714, "There is already an object named '%s' in the database.", s.Name)
		}
		db.schemas[key] = len(db.schemas) + 1
		x.cur.undo = append(x.cur.undo, func() { delete(db.schemas, key) })
		return nil
	})
}

package engine

import (
	"strings"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/tsql"
)

// drop runs DROP of one or more objects.
func (x *exec) drop(s *tsql.Drop) error {
	if s.Kind == "DATABASE" {
		return x.dropDatabases(s)
	}
	return x.ddl(cmdDrop, func() error {
		for _, n := range s.Names {
			err := x.dropOne(s, n)
			if f, ok := err.(*failure); ok && f.Number == 3701 && s.IfExists {
				continue
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func missing(kind, name string) error {
	return fault(3701, "Cannot drop the %s '%s', because it does not exist or you do not have permission.", strings.ToLower(kind), name)
}

func (x *exec) dropOne(s *tsql.Drop, n tsql.Name) error {
	name := n.Last()
	switch s.Kind {
	case "INDEX":
		return x.dropIndex(s, n)
	case "SCHEMA", "USER":
		return x.dropName(s.Kind, name)
	case "LOGIN":
		x.server.clients.Lock()
		defer x.server.clients.Unlock()
		if x.server.logins[foldName(name)] == nil {
			return fault(15151, "Cannot drop the login '%s', because it does not exist or you do not have permission.", name)
		}
		delete(x.server.logins, foldName(name))
		return nil
	}
	if name[0] == '#' {
		return x.dropTemporary(name)
	}
	r, err := x.resolve(n)
	if err != nil {
		return err
	}
	if err := x.claim(r); err != nil {
		return err
	}
	o := x.exists(r)
	switch o := o.(type) {
	case *table:
		if s.Kind == "TABLE" {
			for _, c := range x.children(o) {
				if c != o {
					return fault(3726, "Could not drop object '%s' because it is referenced by a FOREIGN KEY constraint.", name)
				}
			}
			x.put(r, nil)
			return nil
		}
	case *module:
		if o.definition.Kind == s.Kind {
			x.put(r, nil)
			return nil
		}
	}
	return missing(s.Kind, strings.Join(n.Parts, "."))
}

func (x *exec) dropTemporary(name string) error {
	session, key := x.s, foldName(name)
	t := session.temporary[key]
	if t == nil {
		return missing("TABLE", name)
	}
	delete(session.temporary, key)
	x.cur.undo = append(x.cur.undo, func() { session.temporary[key] = t })
	return nil
}

func (x *exec) dropIndex(s *tsql.Drop, n tsql.Name) error {
	on := s.On
	if len(on.Parts) == 0 { // the old form, table.index
		if len(n.Parts) < 2 {
			return fault(159, "Must specify the table name and index name for the DROP INDEX statement.")
		}
		on = tsql.Name{Parts: n.Parts[:len(n.Parts)-1]}
	}
	t, err := x.tableToAlter(on)
	if err != nil {
		return err
	}
	for at, i := range t.indexes {
		if sameName(i.name, n.Last()) && !i.constraint {
			x.change(t, func() {
				t.indexes = append(append([]*index{}, t.indexes[:at]...), t.indexes[at+1:]...)
			})
			return nil
		}
	}
	return missing("INDEX", t.name+"."+n.Last())
}

func (x *exec) dropName(kind, name string) error {
	x.server.data.Lock()
	defer x.server.data.Unlock()
	names := x.s.db.schemas
	if kind == "USER" {
		names = x.s.db.users
	}
	key := foldName(name)
	id, ok := names[key]
	if !ok {
		return fault(15151, "Cannot drop the %s '%s', because it does not exist or you do not have permission.", strings.ToLower(kind), name)
	}
	if kind == "SCHEMA" {
		for at := range x.s.db.objects {
			if strings.HasPrefix(at, key+".") {
				return fault(3729, "Cannot drop schema '%s' because it is being referenced by object '%s'.", name, at)
			}
		}
	}
	delete(names, key)
	x.cur.undo = append(x.cur.undo, func() { names[key] = id })
	return nil
}

// noTransaction refuses what cannot run within one.
func (x *exec) noTransaction(what string) error {
	if x.s.tran != nil {
		return fault(226, "%s statement not allowed within multi-statement transaction.", what)
	}
	return nil
}

func (x *exec) createDatabase(s *tsql.CreateDatabase) error {
	if err := x.noTransaction("CREATE DATABASE"); err != nil {
		return err
	}
	if !x.server.may(x.s.user, "CREATE ANY DATABASE") {
		return fault(262, "CREATE DATABASE permission denied in database 'master'.")
	}
	x.server.data.Lock()
	taken := x.server.databases[foldName(s.Name)] != nil
	if !taken {
		x.server.addDatabase(s.Name)
	}
	x.server.data.Unlock()
	if taken {
		return fault(1801, "Database '%s' already exists. Choose a different database name.", s.Name)
	}
	x.ended(cmdCreate)
	return nil
}

func (x *exec) dropDatabases(s *tsql.Drop) error {
	if err := x.noTransaction("DROP DATABASE"); err != nil {
		return err
	}
	for _, n := range s.Names {
		d := x.server.database(n.Last())
		switch {
		case d == nil && s.IfExists:
			continue
		case d == nil:
			return missing("DATABASE", n.Last())
		case d.id <= 4:
			return fault(3708, "Cannot drop the database '%s' because it is a system database.", d.name)
		case x.users(d) > 0:
			return fault(3702, "Cannot drop database \"%s\" because it is currently in use.", d.name)
		}
		x.server.data.Lock()
		delete(x.server.databases, foldName(d.name))
		x.server.data.Unlock()
	}
	x.ended(cmdDrop)
	return nil
}

// users counts the sessions that a database is in use by.
func (x *exec) users(d *database) int {
	n := 0
	for _, s := range x.server.everySession() {
		if s == x.s && s.db == d || s != x.s && s.seen.Load().db == d {
			n++
		}
	}
	return n
}

package engine

import (
	"slices"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/tsql"
)

// alterDatabase runs ALTER DATABASE ... SET.
func (x *exec) alterDatabase(s *tsql.AlterDatabase) error {
	if err := x.noTransaction("ALTER DATABASE"); err != nil {
		return err
	}
	d := x.s.db
	if s.Name != "" && !sameName(s.Name, "CURRENT") {
		d = x.server.database(s.Name)
	}
	if d == nil {
		return fault(5011, "User does not have permission to alter database '%s', the database does not exist, or the database is not in a state "+
			"that allows access checks.", s.Name)
	}
	for _, o := range s.Options {
		if err := x.alterOption(d, o, s); err != nil {
			return err
		}
	}
	x.ended(cmdSet)
	return nil
}

// exclusive are the options that need the database for this session alone.
var exclusive = []string{"SINGLE_USER", "READ_COMMITTED_SNAPSHOT", "OFFLINE", "READ_ONLY", "READ_WRITE"}

func (x *exec) alterOption(d *database, o tsql.DatabaseOption, s *tsql.AlterDatabase) error {
	if slices.Contains(exclusive, o.Name) {
		if err := x.takeOver(d, s); err != nil {
			return err
		}
	}
	x.server.data.Lock()
	defer x.server.data.Unlock()
	switch o.Name {
	case "SINGLE_USER":
		d.singleUser.Store(true)
	case "MULTI_USER", "RESTRICTED_USER":
		d.singleUser.Store(false)
	case "ALLOW_SNAPSHOT_ISOLATION":
		d.allowsSnapshot.Store(o.Value == "ON")
	case "READ_COMMITTED_SNAPSHOT":
		d.readsSnapshot.Store(o.Value == "ON")
	case "READ_ONLY":
		d.readOnly.Store(true)
	case "READ_WRITE":
		d.readOnly.Store(false)
	case "RECOVERY", "AUTO_CLOSE", "AUTO_SHRINK", "DELAYED_DURABILITY", "AUTO_UPDATE_STATISTICS", "AUTO_CREATE_STATISTICS",
		"ANSI_NULLS", "ANSI_PADDING", "ANSI_WARNINGS", "ARITHABORT", "QUOTED_IDENTIFIER", "RECURSIVE_TRIGGERS", "TRUSTWORTHY",
		"COMPATIBILITY_LEVEL", "PAGE_VERIFY", "ACCELERATED_DATABASE_RECOVERY":
	default:
		return unknown("ALTER DATABASE ... SET %s", o.Name)
	}
	return nil
}

// takeOver ends the other sessions of a database with ROLLBACK IMMEDIATE, and
// waits for them to go in any case.
func (x *exec) takeOver(d *database, s *tsql.AlterDatabase) error {
	for _, other := range x.server.everySession() {
		if seen := other.seen.Load(); other == x.s || seen == nil || seen.db != d {
			continue
		}
		switch {
		case s.Immediate:
			other.end(ErrKilled)
		case s.NoWait:
			return fault(5070, "Database state cannot be changed while other users are using the database '%s'", d.name)
		default:
			select {
			case <-other.gone:
			case <-x.ctx.Done():
				return x.interrupted()
			}
			continue
		}
		select {
		case <-other.gone:
		case <-x.ctx.Done():
			return x.interrupted()
		}
	}
	return nil
}

// security runs CREATE LOGIN, CREATE USER, GRANT, DENY and REVOKE.
func (x *exec) security(s tsql.Statement) error {
	switch s := s.(type) {
	case *tsql.CreateLogin:
		x.server.clients.Lock()
		_, taken := x.server.logins[foldName(s.Name)]
		x.server.clients.Unlock()
		if taken {
			return fault(15025, "The server principal '%s' already exists.", s.Name)
		}
		x.server.SetUser(s.Name, s.Password)
	case *tsql.CreateUser:
		x.server.data.Lock()
		db, key := x.s.db, foldName(s.Name)
		_, taken := db.users[key]
		if !taken {
			db.users[key] = len(db.users) + 3
		}
		x.server.data.Unlock()
		if taken {
			return fault(15023, "User, group, or role '%s' already exists in the current database.", s.Name)
		}
	case *tsql.Permission:
		x.server.clients.Lock()
		defer x.server.clients.Unlock()
		l := x.server.logins[foldName(s.Principal)]
		if l == nil {
			return fault(15151, "Cannot find the login '%s', because it does not exist or you do not have permission.", s.Principal)
		}
		if l.perms == nil {
			l.perms = map[string]bool{}
		}
		for _, p := range s.Permissions {
			if s.Verb == "GRANT" {
				l.grant(p)
			} else {
				delete(l.perms, p)
			}
		}
	}
	x.ended(cmdCreate)
	return nil
}

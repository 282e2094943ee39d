package chaos

import (
	"context"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect"
)

// A target is a database product as the workers and the nemesis see it. SQL in
// units is portable, with ? for arguments.
type target interface {
	dialect() dialect.Dialect
	// open opens the database that url names, for workers and for the checker.
	open(url string) (*sqlx.DB, error)
	// levels are what units of a reach may ask for; none leaves their kinds out.
	levels(reach) []isolation
	// schema is what makes the tables; see postgresTarget for what is in them.
	schema() []string
	// tick is a query of one row with two columns: a number that never goes back
	// while the server runs, and text that is another after a restart.
	tick() string
	// seals is a query for the ticks that were drawn during COMMIT, with the
	// columns unit, attempt, tick and epoch; empty if none are.
	seals() string
	// held is a query that yields 1 if the session that asks holds the lock, else
	// 0; empty where the server cannot tell.
	held(name string, mode dialect.Mode) (query string, args []any)
	// returning makes an INSERT a query that yields the column; empty if it cannot.
	returning(insert, column string) string
	// leftovers describes locks and open transactions of workers, and with
	// connections also their idle sessions.
	leftovers(ctx context.Context, admin *sqlx.DB, connections bool) ([]string, error)
}

// An observer is a target whose sessions can be seen, and ended, from outside.
type observer interface {
	// sessions are those of workers that are not idle.
	sessions(ctx context.Context, admin *sqlx.DB) ([]session, error)
	// terminate ends a session. It reports false if there was none to end.
	terminate(ctx context.Context, admin *sqlx.DB, s session) (bool, error)
}

// An interrupter can end a session's statement alone.
type interrupter interface {
	interrupt(ctx context.Context, admin *sqlx.DB, s session) (bool, error)
}

// A clocked target has ticks that need no statement. A unit whose transaction
// begins with its first statement shows by them that it is inside its locks
// before that.
type clocked interface {
	clock() (tick int64, epoch string, err error)
}

// reach tells what units do at the levels that they ask for.
type reach int

const (
	plain   reach = iota // acquire locks when they have begun
	declare              // write under declared locks
	read                 // read under declared locks
	stale                // write under declared locks, reading from one snapshot
	twice                // write in two units at once, one within the other
)

// session is a session of the server that runs a unit.
type session struct {
	ID   int    `db:"id"`
	Unit string `db:"unit"` // the unit's label, if it shows one
}

// targetOf finds the product by the URL's scheme.
func targetOf(url string) (target, error) {
	scheme, _, _ := strings.Cut(url, "://")
	switch scheme {
	case "postgres", "postgresql":
		return postgresTarget{}, nil
	case "sqlserver":
		return mssqlTarget{}, nil
	case "file":
		return newSQLiteTarget(url), nil
	}
	return nil, fmt.Errorf("chaos: no target for %q databases", scheme)
}

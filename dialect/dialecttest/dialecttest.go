// Package dialecttest is the conformance suite of Lockstep's dialects. A dialect
// passes it against a real server with a test of its own such as
//
//	func TestConformance(t *testing.T) { dialecttest.Run(t, harness{}) }
//
// and, for the cases that need several processes, calls Child first thing in
// its TestMain. The suite drives the public packages uow and applock, so what it
// proves is what users get. It uses tables with columns of type int and
// varchar, placeholders by Rebind, and never asks for a database's name.
package dialecttest

import (
	"slices"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect"
)

// Harness connects the suite to a dialect and its server.
type Harness interface {
	// Dialect returns the dialect under test.
	Dialect() dialect.Dialect
	// NewDatabase makes an empty database that no other test uses and returns
	// its DSN. It is dropped when tb ends, by force if need be. It skips tb,
	// naming the reason, when there is no server.
	NewDatabase(tb testing.TB) (dsn string)
	// Address returns the host:port, or the socket, that dsn leads to, for a
	// fault proxy to stand before. It skips tb, naming the reason, where there is
	// nothing between the engine and its user.
	Address(tb testing.TB, dsn string) string
	// Open returns a pool of its own on the database; if address is not empty,
	// through it. The suite closes it.
	Open(tb testing.TB, dsn, address string) *sqlx.DB
}

// Killer is a Harness that can end a session from the server's side, as an
// administrator would.
type Killer interface {
	// Kill ends the session that a dialect.Session names by its ID.
	Kill(tb testing.TB, admin *sqlx.DB, session string)
}

// SingleWriter is a Harness whose engine lets one transaction write at a time, and
// takes each unit that is not ReadOnly for one that will. Cases that need two at
// once are skipped.
type SingleWriter interface {
	// SingleWriter does nothing: that it is there says it.
	SingleWriter()
}

// Tracer is a Harness whose engine is in this process, so that there is no wire on
// which to see what is asked of it.
type Tracer interface {
	// OpenTraced is Open for a pool of which it is counted what the engine is asked.
	OpenTraced(tb testing.TB, dsn string) (db *sqlx.DB, asked func() int64)
}

// RowFailer is a Harness whose engine does not fail to divide by zero.
type RowFailer interface {
	// FailingRow returns an expression of the column n that fails where n is 0
	// and only there.
	FailingRow() string
}

// Lender is a Harness whose database/sql pool takes its connections out of another
// pool, and wraps them anew each time.
type Lender interface {
	// Lent returns the connection that the driver's connection wraps.
	Lent(driverConn any) any
}

// Run runs the suite, or only the topics named. Cases that the server lacks the
// ability for are skipped by name.
func Run(t *testing.T, h Harness, only ...string) {
	for _, topic := range []struct {
		name  string
		cases []testCase
	}{
		{"Outcome", outcomeCases},
		{"Nesting", nestingCases},
		{"Context", contextCases},
		{"Faults", faultCases},
		{"Retry", retryCases},
		{"Hooks", hookCases},
		{"Hygiene", hygieneCases},
		{"LockCore", lockCoreCases},
		{"LockModes", lockModeCases},
		{"LockSets", lockSetCases},
		{"LockInUnit", lockInUnitCases},
		{"LockPool", lockPoolCases},
		{"LockServer", lockServerCases},
		{"Hold", holdCases},
		{"Processes", processCases},
	} {
		if len(only) > 0 && !slices.Contains(only, topic.name) {
			continue
		}
		t.Run(topic.name, func(t *testing.T) {
			// Processes come first and one by one: under SERIALIZABLE, load from
			// elsewhere on the server makes PostgreSQL see conflicts that are none.
			alone := topic.name == "Processes"
			if !alone {
				t.Parallel()
			}
			for _, c := range topic.cases {
				t.Run(c.name, func(t *testing.T) {
					if !alone {
						t.Parallel()
					}
					c.run(newEnv(t, h))
				})
			}
		})
	}
}

// testCase is one behaviour. Its name is what a failure reads like.
type testCase struct {
	name string
	run  func(*env)
}

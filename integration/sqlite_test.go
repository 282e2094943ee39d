package integration

import (
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/dialect/dialecttest"
	"github.com/lockstep-go/lockstep/dialect/sqlite"
)

// sqliteHarness runs the suite on SQLite, which is in this process.
type sqliteHarness struct{}

func TestSQLite(t *testing.T) { dialecttest.Run(t, sqliteHarness{}) }

func (sqliteHarness) Dialect() dialect.Dialect { return sqlite.Dialect() }

// NewDatabase leaves out waiting for the disk: what survives a loss of power is
// not asked here.
func (sqliteHarness) NewDatabase(tb testing.TB) string {
	return "file:" + filepath.Join(tb.TempDir(), "test.db") + "?_synchronous=off"
}

func (sqliteHarness) Address(tb testing.TB, _ string) string {
	tb.Skip("there is no wire between SQLite and its user")
	return ""
}

func (sqliteHarness) Open(tb testing.TB, dsn, _ string) *sqlx.DB {
	db, err := sqlite.Open(dsn)
	if err != nil {
		tb.Fatal(err)
	}
	return db
}

// OpenTraced implements dialecttest.Tracer.
func (sqliteHarness) OpenTraced(tb testing.TB, dsn string) (db *sqlx.DB, asked func() int64) {
	var n atomic.Int64
	db, err := sqlite.Open(dsn, sqlite.Trace(func(string) { n.Add(1) }))
	if err != nil {
		tb.Fatal(err)
	}
	return db, n.Load
}

// SingleWriter implements dialecttest.SingleWriter.
func (sqliteHarness) SingleWriter() {}

// FailingRow implements dialecttest.RowFailer: the least of all integers has no
// absolute value.
func (sqliteHarness) FailingRow() string { return "abs(n - 1 - 9223372036854775807)" }

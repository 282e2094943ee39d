package sqlite

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/lockstep-go/lockstep/dialect"
)

func TestTrace(t *testing.T) {
	t.Parallel()
	var told []string
	db, err := Open(filepath.Join(t.TempDir(), "test.db"), Trace(func(s string) { told = append(told, s) }))
	check(t, err)
	defer db.Close()
	db.SetMaxOpenConns(1) // so that told needs no lock
	mustExec(t, db, "create table t (id integer primary key)")
	plain, err := db.Prepare("insert into t default values")
	check(t, err)
	defer plain.Close()
	wantTold := func(what string, f func(), want ...string) {
		t.Helper()
		told = nil
		f()
		told = slices.DeleteFunc(told, func(s string) bool { return s == "PRAGMA busy_timeout=0" || s == "PRAGMA busy_timeout=10000" })
		if !slices.Equal(told, want) {
			t.Errorf("%s: told %q, want %q", what, told, want)
		}
	}
	wantTold("a prepared statement", func() {
		_, err := plain.Exec()
		check(t, err)
	}, "insert into t default values")
	wantTold("a transaction of database/sql", func() {
		tx, err := db.Beginx()
		check(t, err)
		check(t, tx.Get(new(int), "select count(*) from t"))
		check(t, tx.Commit())
	}, "BEGIN", "select count(*) from t", "COMMIT")
	wantTold("a unit", func() {
		tx, conn := begin(t, db, dialect.Begin{})
		check(t, run(t, tx, "insert into t default values"))
		check(t, conn.Raw(func(pooled any) error {
			if _, ok := (d{}).DriverConn(pooled).(traced); ok {
				t.Error("the driver's connection is not its own")
			}
			return nil
		}))
		check(t, tx.Rollback(t.Context()))
		check(t, conn.Close())
	}, "BEGIN IMMEDIATE", "insert into t default values", "ROLLBACK")
	wantRows(t, db, 1)
}

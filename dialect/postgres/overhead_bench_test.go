package postgres_test

import (
	"context"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect/postgres"
	"github.com/lockstep-go/lockstep/integration/servers/serverstest"
	"github.com/lockstep-go/lockstep/internal/noopdb"
	"github.com/lockstep-go/lockstep/uow"
)

const insertRow = "insert into saved (number, text) values ($1, $2)"

// openSaved returns a pool with a table to write to.
func openSaved(tb testing.TB) *sqlx.DB {
	tb.Helper()
	db, err := postgres.Open(serverstest.PostgresSchema(tb))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	db.MustExec("create table saved (number int not null, text text not null)")
	return db
}

func saveRow(ctx context.Context, u *uow.UnitOfWork) error {
	_, err := u.ExecContext(ctx, insertRow, 1, "a")
	return err
}

// saveByHand is what saveRow in a unit of its own stands for.
func saveByHand(ctx context.Context, db *sqlx.DB) error {
	tx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, insertRow, 1, "a"); err != nil {
		return err
	}
	return tx.Commit()
}

// BenchmarkUnit measures whole units on a server, allocations foremost.
func BenchmarkUnit(b *testing.B) {
	db := openSaved(b)
	m, ctx := uow.New(db, postgres.Dialect()), b.Context()
	lock := applock.With(applock.Exclusive("invoice:42"))
	empty := func(context.Context, *uow.UnitOfWork) error { return nil }
	for _, unit := range []struct {
		name string
		run  func() error
	}{
		{"one-exec", func() error { return m.Do(ctx, saveRow) }},
		{"one-exec-by-hand", func() error { return saveByHand(ctx, db) }},
		{"lock", func() error { return m.Do(ctx, empty, lock) }},
		{"lock-and-exec", func() error { return m.Do(ctx, saveRow, lock) }},
	} {
		b.Run(unit.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := unit.run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkKey(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		postgres.Key("tenant:42:upgrade")
	}
}

// unitMayAdd is what a unit of one statement may allocate beyond the same by
// hand.
const unitMayAdd = 6

// TestAllocationsOfAUnit is the test of that name in package uow with a driver
// that works.
func TestAllocationsOfAUnit(t *testing.T) {
	if noopdb.RaceDetector {
		t.Skip("the race detector allocates")
	}
	db := openSaved(t)
	m, ctx := uow.New(db, postgres.Dialect()), t.Context()
	average := func(f func() error) float64 {
		return testing.AllocsPerRun(100, func() {
			if err := f(); err != nil {
				t.Fatal(err)
			}
		})
	}
	byHand := average(func() error { return saveByHand(ctx, db) })
	ours := average(func() error { return m.Do(ctx, saveRow) })
	t.Logf("by hand %v, as a unit %v", byHand, ours)
	if ours > byHand+unitMayAdd {
		t.Errorf("a unit of one statement allocates %v times, by hand it is %v", ours, byHand)
	}
}

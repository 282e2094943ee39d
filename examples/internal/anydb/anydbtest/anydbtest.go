// Package anydbtest runs the tests of the examples on every database that they
// are for.
package anydbtest

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/lockstep-go/lockstep/examples/internal/anydb"
	"github.com/lockstep-go/lockstep/integration/servers/serverstest"
	"github.com/lockstep-go/lockstep/uow"
)

// Each runs a test with the address of a new SQLite file, and with that of a new
// PostgreSQL database where there is a server. The package's TestMain must call
// serverstest.Main.
func Each(t *testing.T, test func(t *testing.T, address string)) {
	t.Helper()
	for name, database := range map[string]func(testing.TB) string{
		"SQLite":     func(tb testing.TB) string { return filepath.Join(tb.TempDir(), "test.db") },
		"PostgreSQL": serverstest.PostgresDatabase,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, database(t))
		})
	}
}

// Open opens a database until the test ends.
func Open(tb testing.TB, address string) *uow.Manager {
	tb.Helper()
	m, err := anydb.Open(address)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := m.DB().Close(); err != nil {
			tb.Error(err)
		}
	})
	return m
}

// Patience is how long a test may wait for what must become true.
const Patience = 2 * time.Minute

// Eventually waits until a condition is met.
func Eventually(tb testing.TB, what string, met func() bool) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), Patience)
	defer cancel()
	for !met() {
		select {
		case <-ctx.Done():
			tb.Fatalf("not in %v: %s", Patience, what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Int returns what a query of one integer finds, outside any unit. The query is
// written with question marks.
func Int(tb testing.TB, m *uow.Manager, query string, args ...any) (n int) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), Patience)
	defer cancel()
	if err := m.DB().GetContext(ctx, &n, m.DB().Rebind(query), args...); err != nil {
		tb.Fatalf("%s: %v", query, err)
	}
	return n
}

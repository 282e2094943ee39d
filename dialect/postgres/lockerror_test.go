package postgres

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lockstep-go/lockstep/dialect"
)

// failedWire is a connection whose transaction has failed. It answers an empty
// message as the server does: by one empty result.
type failedWire struct{}

func (failedWire) state() dialect.State { return dialect.Failed }

func (w failedWire) run(ctx context.Context, statements ...string) ([]row, error) {
	return w.last(ctx, statements...)
}

func (failedWire) last(_ context.Context, statements ...string) ([]row, error) {
	return make([]row, max(1, len(statements))), nil
}

// A cancel may strike the first statement of a message that takes locks, before
// the savepoint is set: there is nothing to undo, and no lock to blame.
func TestCancelledBeforeTheSavepoint(t *testing.T) {
	t.Parallel()
	for _, names := range [][]string{{"a"}, {"a", "b"}} {
		var locks []dialect.Lock
		for _, name := range names {
			locks = append(locks, dialect.Lock{Name: name, Mode: dialect.Exclusive, Limit: dialect.Forever})
		}
		err := (&tx{wire: failedWire{}}).lockError(locks, -1, 0, &pgconn.PgError{Code: "57014"})
		if !errors.Is(err, dialect.Cancelled) {
			t.Errorf("%d locks: got %v, want %v", len(locks), err, dialect.Cancelled)
		}
	}
}

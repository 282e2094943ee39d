package uow_test

import (
	"context"
	"testing"

	"github.com/lockstep-go/lockstep/internal/noopdb"
	"github.com/lockstep-go/lockstep/uow"
)

// What a unit may allocate. More is no mistake by itself, but must be meant.
const (
	joinedMayAllocate = 3 // an empty Do inside a unit
	unitMayAdd        = 6 // a unit of one statement, beyond the same by hand
)

// averageAllocations is AllocsPerRun of something that may fail. Tests that use
// it must not be parallel.
func averageAllocations(t *testing.T, f func() error) float64 {
	t.Helper()
	if noopdb.RaceDetector {
		t.Skip("the race detector allocates")
	}
	return testing.AllocsPerRun(200, func() {
		if err := f(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAllocationsOfAUnit(t *testing.T) {
	db := noopdb.Open(4)
	defer db.Close()
	m, ctx := uow.New(db, noopdb.Dialect()), t.Context()
	byHand := averageAllocations(t, func() error { return execByHand(ctx, db) })
	ours := averageAllocations(t, func() error { return m.Do(ctx, execOnce) })
	t.Logf("by hand %v, as a unit %v", byHand, ours)
	if ours > byHand+unitMayAdd {
		t.Errorf("a unit of one statement allocates %v times, by hand it is %v", ours, byHand)
	}
}

func TestAllocationsOfAJoinedDo(t *testing.T) {
	db := noopdb.Open(4)
	defer db.Close()
	m := uow.New(db, noopdb.Dialect())
	err := m.Do(t.Context(), func(ctx context.Context, _ *uow.UnitOfWork) error {
		got := averageAllocations(t, func() error { return m.Do(ctx, nothing) })
		t.Logf("joined: %v", got)
		if got > joinedMayAllocate {
			t.Errorf("an empty Do inside a unit allocates %v times; want %d at most", got, joinedMayAllocate)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

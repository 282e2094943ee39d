package applock_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/internal/noopdb"
	"github.com/lockstep-go/lockstep/uow"
)

// locksNamed returns so many exclusive locks.
func locksNamed(n int) []applock.Lock {
	locks := make([]applock.Lock, n)
	for i := range locks {
		locks[i] = applock.Exclusive(fmt.Sprintf("account:%d", i))
	}
	return locks
}

// BenchmarkDeclared measures units that take locks and do nothing, on a server
// that grants at once.
func BenchmarkDeclared(b *testing.B) {
	db := noopdb.Open(4)
	defer db.Close()
	m := uow.New(db, noopdb.Dialect())
	empty := func(context.Context, *uow.UnitOfWork) error { return nil }
	for _, n := range []int{1, 3, 10, 100} {
		locks := locksNamed(n)
		b.Run(fmt.Sprintf("locks=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := m.Do(b.Context(), empty, applock.With(locks...)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	withLock := m.With(applock.With(locksNamed(1)...))
	b.Run("in-advance", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := withLock.Do(b.Context(), empty); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkHeld measures what is asked of a unit that has its locks.
func BenchmarkHeld(b *testing.B) {
	db := noopdb.Open(4)
	defer db.Close()
	m := uow.New(db, noopdb.Dialect())
	for _, n := range []int{1, 100} {
		locks := locksNamed(n)
		err := m.Do(b.Context(), func(ctx context.Context, u *uow.UnitOfWork) error {
			b.Run(fmt.Sprintf("acquire-again/locks=%d", n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := applock.Acquire(ctx, u, locks[n/2]); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(fmt.Sprintf("held/locks=%d", n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, ok := applock.Held(u, locks[n/2].Name()); !ok {
						b.Fatal("not held")
					}
				}
			})
			return nil
		}, applock.With(locks...))
		if err != nil {
			b.Fatal(err)
		}
	}
}

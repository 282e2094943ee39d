package uow_test

import (
	"context"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/internal/noopdb"
	"github.com/lockstep-go/lockstep/uow"
)

const insertNothing = "insert into nothing values ($1, $2)"

func nothing(context.Context, *uow.UnitOfWork) error { return nil }

func execOnce(ctx context.Context, u *uow.UnitOfWork) error {
	_, err := u.ExecContext(ctx, insertNothing, 1, "a")
	return err
}

// execByHand is what execOnce in a unit of its own stands for.
func execByHand(ctx context.Context, db *sqlx.DB) error {
	tx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, insertNothing, 1, "a"); err != nil {
		return err
	}
	return tx.Commit()
}

// A named call is measured under its name.
type named struct {
	name string
	call uow.Func
}

// overheads are the units whose cost is the library's own, on a database that
// does nothing.
func overheads(m *uow.Manager) []named {
	nested := m.With(uow.Nested())
	return []named{
		{"empty", nothing},
		{"one-exec", execOnce},
		{"joined-exec", func(ctx context.Context, _ *uow.UnitOfWork) error { return m.Do(ctx, execOnce) }},
		{"nested-exec", func(ctx context.Context, _ *uow.UnitOfWork) error { return nested.Do(ctx, execOnce) }},
		{"two-hooks", func(_ context.Context, u *uow.UnitOfWork) error {
			u.BeforeCommit(func(context.Context) error { return nil })
			u.AfterCommit(func(context.Context) error { return nil })
			return nil
		}},
	}
}

func BenchmarkDo(b *testing.B) {
	db := noopdb.Open(4)
	defer db.Close()
	m, ctx := uow.New(db, noopdb.Dialect()), b.Context()
	for _, unit := range overheads(m) {
		b.Run(unit.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := m.Do(ctx, unit.call); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("one-exec-by-hand", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := execByHand(ctx, db); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkInside measures calls inside a unit that is open.
func BenchmarkInside(b *testing.B) {
	db := noopdb.Open(4)
	defer db.Close()
	m := uow.New(db, noopdb.Dialect())
	nested := m.With(uow.Nested())
	for _, inside := range []named{
		{"joined-empty", func(ctx context.Context, _ *uow.UnitOfWork) error { return m.Do(ctx, nothing) }},
		{"nested-empty", func(ctx context.Context, _ *uow.UnitOfWork) error { return nested.Do(ctx, nothing) }},
		{"nested-exec", func(ctx context.Context, _ *uow.UnitOfWork) error { return nested.Do(ctx, execOnce) }},
		{"exec", execOnce},
	} {
		b.Run(inside.name, func(b *testing.B) {
			b.ReportAllocs()
			err := m.Do(b.Context(), func(ctx context.Context, u *uow.UnitOfWork) error {
				if err := execOnce(ctx, u); err != nil {
					return err
				}
				for b.Loop() {
					if err := inside.call(ctx, u); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		})
	}
}

func BenchmarkDoParallel(b *testing.B) {
	db := noopdb.Open(64)
	defer db.Close()
	m := uow.New(db, noopdb.Dialect())
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if err := m.Do(b.Context(), execOnce); err != nil {
				b.Error(err)
			}
		}
	})
}

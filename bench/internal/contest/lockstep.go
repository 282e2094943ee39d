package contest

import (
	"context"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect/postgres"
	"github.com/lockstep-go/lockstep/uow"
)

// orders and stock are repositories as the README shows them.
type (
	orders struct{ m *uow.Manager }
	stock  struct{ m *uow.Manager }
)

func (r orders) save(ctx context.Context, o Order) error {
	return r.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		_, err := u.ExecContext(ctx, insertOrder, o.Article, o.Quantity)
		return err
	})
}

func (r stock) take(ctx context.Context, o Order) error {
	return r.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		_, err := u.ExecContext(ctx, takeStock, o.Article, o.Quantity)
		return err
	})
}

func openLockstep(_ context.Context, url string) (*Contestant, error) {
	db, err := postgres.Open(url)
	if err != nil {
		return nil, err
	}
	limit(db)
	m := uow.New(db, postgres.Dialect())
	readers := m.With(uow.ReadOnly())
	return &Contestant{
		Note: "Manager.Do, applock.With",
		Save: orders{m}.save,
		SaveLocked: func(ctx context.Context, o Order, names ...string) error {
			return m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
				_, err := u.ExecContext(ctx, insertOrder, o.Article, o.Quantity)
				return err
			}, applock.With(exclusive(names)...))
		},
		Cycle: func(ctx context.Context, name string) error {
			return m.Do(ctx, nothing, applock.With(applock.Exclusive(name)))
		},
		SaveNested: func(ctx context.Context, o Order) error {
			return m.Do(ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
				if err := (orders{m}).save(ctx, o); err != nil {
					return err
				}
				return stock{m}.take(ctx, o)
			})
		},
		Read: func(ctx context.Context, article int) (quantity int64, err error) {
			err = readers.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
				return u.GetContext(ctx, &quantity, readStock, article)
			})
			return quantity, err
		},
		Close: db.Close,
	}, nil
}

func nothing(context.Context, *uow.UnitOfWork) error { return nil }

func exclusive(names []string) []applock.Lock {
	locks := make([]applock.Lock, len(names))
	for i, name := range names {
		locks[i] = applock.Exclusive(name)
	}
	return locks
}

// limit gives every pool of database/sql the same size. It keeps its
// connections: the default of two idle ones would measure how they are opened.
func limit(db *sqlx.DB) {
	db.SetMaxOpenConns(PoolSize)
	db.SetMaxIdleConns(PoolSize)
}

package contest

import (
	"context"
	"database/sql"

	trmsql "github.com/avito-tech/go-transaction-manager/drivers/sql/v2"
	trmsqlx "github.com/avito-tech/go-transaction-manager/drivers/sqlx/v2"
	"github.com/avito-tech/go-transaction-manager/trm/v2/manager"
	"github.com/avito-tech/go-transaction-manager/trm/v2/settings"
	"github.com/jmoiron/sqlx"
)

// An avitoShop has its repositories' methods; each runs in a transaction of its
// own or joins the one that ctx carries.
type avitoShop struct {
	db *sqlx.DB
	m  *manager.Manager
}

// exec runs a statement on the transaction of ctx, as the documentation shows.
func (s avitoShop) exec(ctx context.Context, query string, args ...any) error {
	_, err := trmsqlx.DefaultCtxGetter.DefaultTrOrDB(ctx, s.db).ExecContext(ctx, query, args...)
	return err
}

func (s avitoShop) save(ctx context.Context, o Order) error {
	return s.m.Do(ctx, func(ctx context.Context) error {
		return s.exec(ctx, insertOrder, o.Article, o.Quantity)
	})
}

func (s avitoShop) take(ctx context.Context, o Order) error {
	return s.m.Do(ctx, func(ctx context.Context) error {
		return s.exec(ctx, takeStock, o.Article, o.Quantity)
	})
}

func (s avitoShop) lock(ctx context.Context, names []string) error {
	return s.exec(ctx, calls(lockInTx, len(names)), keys(names)...)
}

func openAvito(ctx context.Context, url string) (*Contestant, error) {
	db, err := sqlx.ConnectContext(ctx, "pgx", url)
	if err != nil {
		return nil, err
	}
	limit(db)
	s := avitoShop{db: db, m: manager.Must(trmsqlx.NewDefaultFactory(db))}
	readOnly := trmsql.MustSettings(settings.Must(), trmsql.WithTxOptions(&sql.TxOptions{ReadOnly: true}))
	return &Contestant{
		Note: "avito-tech/go-transaction-manager, trm/v2 and drivers/sqlx/v2 at v2.0.2: Manager.Do",
		Save: s.save,
		SaveLocked: func(ctx context.Context, o Order, names ...string) error {
			return s.m.Do(ctx, func(ctx context.Context) error {
				if err := s.lock(ctx, names); err != nil {
					return err
				}
				return s.exec(ctx, insertOrder, o.Article, o.Quantity)
			})
		},
		Cycle: func(ctx context.Context, name string) error {
			return s.m.Do(ctx, func(ctx context.Context) error { return s.lock(ctx, []string{name}) })
		},
		SaveNested: func(ctx context.Context, o Order) error {
			return s.m.Do(ctx, func(ctx context.Context) error {
				if err := s.save(ctx, o); err != nil {
					return err
				}
				return s.take(ctx, o)
			})
		},
		Read: func(ctx context.Context, article int) (quantity int64, err error) {
			err = s.m.DoWithSettings(ctx, readOnly, func(ctx context.Context) error {
				tx := trmsqlx.DefaultCtxGetter.DefaultTrOrDB(ctx, db)
				return tx.GetContext(ctx, &quantity, readStock, article)
			})
			return quantity, err
		},
		Close: db.Close,
	}, nil
}

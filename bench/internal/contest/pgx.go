package contest

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/lockstep-go/lockstep/dialect/postgres"
)

func openPgx(ctx context.Context, url string) (*Contestant, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	config.MaxConns = PoolSize
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	return &Contestant{
		Note: "pgxpool without database/sql, pgx.BeginFunc",
		Save: func(ctx context.Context, o Order) error {
			return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
				_, err := tx.Exec(ctx, insertOrder, o.Article, o.Quantity)
				return err
			})
		},
		SaveLocked: func(ctx context.Context, o Order, names ...string) error {
			return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
				if _, err := tx.Exec(ctx, calls(lockInTx, len(names)), keys(names)...); err != nil {
					return err
				}
				_, err := tx.Exec(ctx, insertOrder, o.Article, o.Quantity)
				return err
			})
		},
		Cycle: func(ctx context.Context, name string) error {
			return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
				_, err := tx.Exec(ctx, calls(lockInTx, 1), postgres.Key(name))
				return err
			})
		},
		SaveNested: func(ctx context.Context, o Order) error {
			return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
				if _, err := tx.Exec(ctx, insertOrder, o.Article, o.Quantity); err != nil {
					return err
				}
				_, err := tx.Exec(ctx, takeStock, o.Article, o.Quantity)
				return err
			})
		},
		Read: func(ctx context.Context, article int) (quantity int64, err error) {
			err = pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
				return tx.QueryRow(ctx, readStock, article).Scan(&quantity)
			})
			return quantity, err
		},
		Close: func() error { pool.Close(); return nil },
	}, nil
}

package contest

import (
	"context"
	"database/sql"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
)

func bunExec(ctx context.Context, db bun.IDB, query string, args ...any) error {
	_, err := db.NewRaw(query, args...).Exec(ctx)
	return err
}

func bunLocks(ctx context.Context, db bun.IDB, names []string) error {
	return bunExec(ctx, db, markedCalls(lockInTx, len(names)), keys(names)...)
}

func openBun(_ context.Context, url string) (*Contestant, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	// As bun's guide does with pgx: no statement of bun has arguments.
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	pool := stdlib.OpenDB(*config)
	pool.SetMaxOpenConns(PoolSize)
	pool.SetMaxIdleConns(PoolSize)
	db := bun.NewDB(pool, pgdialect.New())
	return &Contestant{
		Note: "bun v1.3.0 over pgx in the simple protocol: DB.RunInTx and NewRaw; its nested work takes the handle of the outer transaction",
		Save: func(ctx context.Context, o Order) error {
			return db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
				return bunExec(ctx, tx, markedInsert, o.Article, o.Quantity)
			})
		},
		SaveLocked: func(ctx context.Context, o Order, names ...string) error {
			return db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
				if err := bunLocks(ctx, tx, names); err != nil {
					return err
				}
				return bunExec(ctx, tx, markedInsert, o.Article, o.Quantity)
			})
		},
		Cycle: func(ctx context.Context, name string) error {
			return db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
				return bunLocks(ctx, tx, []string{name})
			})
		},
		SaveNested: func(ctx context.Context, o Order) error {
			return db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
				// A RunInTx of tx would set a savepoint, which nobody else pays for.
				if err := bunExec(ctx, tx, markedInsert, o.Article, o.Quantity); err != nil {
					return err
				}
				return bunExec(ctx, tx, markedTake, o.Quantity, o.Article)
			})
		},
		Read: func(ctx context.Context, article int) (quantity int64, err error) {
			err = db.RunInTx(ctx, &sql.TxOptions{ReadOnly: true}, func(ctx context.Context, tx bun.Tx) error {
				return tx.NewRaw(markedRead, article).Scan(ctx, &quantity)
			})
			return quantity, err
		},
		Close: db.Close,
	}, nil
}

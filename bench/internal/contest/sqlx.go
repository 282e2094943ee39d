package contest

import (
	"context"
	"database/sql"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect/postgres"
)

func openSqlx(ctx context.Context, url string) (*Contestant, error) {
	db, err := sqlx.ConnectContext(ctx, "pgx", url)
	if err != nil {
		return nil, err
	}
	return byHand(db, `sqlx.Connect("pgx", …), BeginTxx, pg_advisory_xact_lock, deferred Rollback`), nil
}

// openSqlxOurs is there so that nobody can say that the handle makes the
// difference.
func openSqlxOurs(_ context.Context, url string) (*Contestant, error) {
	db, err := postgres.Open(url)
	if err != nil {
		return nil, err
	}
	return byHand(db, "the same on the handle of postgres.Open"), nil
}

func byHand(db *sqlx.DB, note string) *Contestant {
	limit(db)
	return &Contestant{
		Note: note,
		Save: func(ctx context.Context, o Order) error {
			return inTx(ctx, db, nil, func(tx *sqlx.Tx) error { return insertIn(ctx, tx, o) })
		},
		SaveLocked: func(ctx context.Context, o Order, names ...string) error {
			return inTx(ctx, db, nil, func(tx *sqlx.Tx) error {
				if _, err := tx.ExecContext(ctx, calls(lockInTx, len(names)), keys(names)...); err != nil {
					return err
				}
				return insertIn(ctx, tx, o)
			})
		},
		Cycle: func(ctx context.Context, name string) error {
			return inTx(ctx, db, nil, func(tx *sqlx.Tx) error {
				_, err := tx.ExecContext(ctx, calls(lockInTx, 1), postgres.Key(name))
				return err
			})
		},
		SaveNested: func(ctx context.Context, o Order) error {
			return inTx(ctx, db, nil, func(tx *sqlx.Tx) error {
				if err := insertIn(ctx, tx, o); err != nil {
					return err
				}
				_, err := tx.ExecContext(ctx, takeStock, o.Article, o.Quantity)
				return err
			})
		},
		Read: func(ctx context.Context, article int) (quantity int64, err error) {
			err = inTx(ctx, db, &sql.TxOptions{ReadOnly: true}, func(tx *sqlx.Tx) error {
				return tx.GetContext(ctx, &quantity, readStock, article)
			})
			return quantity, err
		},
		Close: db.Close,
	}
}

func insertIn(ctx context.Context, db sqlx.ExecerContext, o Order) error {
	_, err := db.ExecContext(ctx, insertOrder, o.Article, o.Quantity)
	return err
}

// inTx is what is written by hand around the work.
func inTx(ctx context.Context, db *sqlx.DB, opts *sql.TxOptions, f func(*sqlx.Tx) error) error {
	tx, err := db.BeginTxx(ctx, opts)
	if err != nil {
		return err
	}
	defer tx.Rollback() // which a commit makes void
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

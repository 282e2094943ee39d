package contest

import (
	"context"
	"database/sql"

	gormpostgres "gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// The repositories of gorm take the handle that they are to work on; each
// opens a transaction, which joins where the handle is one already.

func gormSave(db *gorm.DB, o Order) error {
	return db.Transaction(func(tx *gorm.DB) error {
		return tx.Exec(markedInsert, o.Article, o.Quantity).Error
	})
}

func gormTake(db *gorm.DB, o Order) error {
	return db.Transaction(func(tx *gorm.DB) error {
		return tx.Exec(markedTake, o.Quantity, o.Article).Error
	})
}

func gormLock(tx *gorm.DB, names []string) error {
	return tx.Exec(markedCalls(lockInTx, len(names)), keys(names)...).Error
}

func openGorm(_ context.Context, url string) (*Contestant, error) {
	// Joined transactions would set savepoints otherwise, which nobody else
	// pays for. Its logger would print slow statements in the midst of a run.
	db, err := gorm.Open(gormpostgres.Open(url), &gorm.Config{DisableNestedTransaction: true, Logger: logger.Discard})
	if err != nil {
		return nil, err
	}
	pool, err := db.DB()
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(PoolSize)
	pool.SetMaxIdleConns(PoolSize)
	return &Contestant{
		Note: "gorm v1.31.2, driver/postgres v1.6.3: DB.Transaction and Exec, without savepoints for nested transactions",
		Save: func(ctx context.Context, o Order) error { return gormSave(db.WithContext(ctx), o) },
		SaveLocked: func(ctx context.Context, o Order, names ...string) error {
			return db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
				if err := gormLock(tx, names); err != nil {
					return err
				}
				return tx.Exec(markedInsert, o.Article, o.Quantity).Error
			})
		},
		Cycle: func(ctx context.Context, name string) error {
			return db.WithContext(ctx).Transaction(func(tx *gorm.DB) error { return gormLock(tx, []string{name}) })
		},
		SaveNested: func(ctx context.Context, o Order) error {
			return db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
				if err := gormSave(tx, o); err != nil {
					return err
				}
				return gormTake(tx, o)
			})
		},
		Read: func(ctx context.Context, article int) (quantity int64, err error) {
			err = db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
				return tx.Raw(markedRead, article).Scan(&quantity).Error
			}, &sql.TxOptions{ReadOnly: true})
			return quantity, err
		},
		Close: pool.Close,
	}, nil
}

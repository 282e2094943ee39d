package contest

import (
	"context"
	"errors"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect/postgres"
)

// openSession is the lock that belongs to a connection: cheap, and not tied to
// what is written under it.
func openSession(ctx context.Context, url string) (*Contestant, error) {
	db, err := sqlx.ConnectContext(ctx, "pgx", url)
	if err != nil {
		return nil, err
	}
	limit(db)
	return &Contestant{
		Note: "pg_advisory_lock and pg_advisory_unlock on a sql.Conn, statements in autocommit",
		SaveLocked: func(ctx context.Context, o Order, names ...string) error {
			return underSession(ctx, db, names, func(conn *sqlx.Conn) error { return insertIn(ctx, conn, o) })
		},
		Cycle: func(ctx context.Context, name string) error {
			return underSession(ctx, db, []string{name}, func(*sqlx.Conn) error { return nil })
		},
		Close: db.Close,
	}, nil
}

func underSession(ctx context.Context, db *sqlx.DB, names []string, f func(*sqlx.Conn) error) (err error) {
	conn, err := db.Connx(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	all := keys(names)
	if _, err := conn.ExecContext(ctx, calls(lockInSession, len(names)), all...); err != nil {
		return err
	}
	defer func() {
		_, unlocking := conn.ExecContext(ctx, calls(unlockInSession, len(names)), all...)
		err = errors.Join(err, unlocking)
	}()
	return f(conn)
}

// openAutocommit is the floor: one statement, and nothing around it.
func openAutocommit(ctx context.Context, url string) (*Contestant, error) {
	db, err := sqlx.ConnectContext(ctx, "pgx", url)
	if err != nil {
		return nil, err
	}
	limit(db)
	return &Contestant{
		Note: "one statement with no transaction around it: the floor",
		Save: func(ctx context.Context, o Order) error { return insertIn(ctx, db, o) },
		Cycle: func(ctx context.Context, name string) error {
			_, err := db.ExecContext(ctx, calls(lockInTx, 1), postgres.Key(name))
			return err
		},
		Read: func(ctx context.Context, article int) (quantity int64, err error) {
			err = db.GetContext(ctx, &quantity, readStock, article)
			return quantity, err
		},
		Close: db.Close,
	}, nil
}

package contest

import (
	"context"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/internal/noopdb"
	"github.com/lockstep-go/lockstep/uow"
)

// Overheads are a unit of one statement, and the same by hand, on a database of
// noopdb.
func Overheads(db *sqlx.DB) (unit, byHand func(context.Context) error) {
	o := Order{Article: 1, Quantity: 1}
	m := uow.New(db, noopdb.Dialect())
	unit = func(ctx context.Context) error { return orders{m}.save(ctx, o) }
	byHand = func(ctx context.Context) error {
		return inTx(ctx, db, nil, func(tx *sqlx.Tx) error { return insertIn(ctx, tx, o) })
	}
	return unit, byHand
}

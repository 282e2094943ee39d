package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/lockstep-go/lockstep/uow"
)

// ErrSoldOut is returned when there is less of an article than asked for.
var ErrSoldOut = errors.New("sold out")

// Stock is the repository of what a shop has left.
type Stock struct{ m *uow.Manager }

// Take takes some of an article, or returns ErrSoldOut.
func (s Stock) Take(ctx context.Context, article string, quantity int) error {
	return s.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		const take = "update stock set quantity = quantity - ? where article = ? and quantity >= ?"
		result, err := u.ExecContext(ctx, u.Rebind(take), quantity, article, quantity)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err == nil && n == 0 {
			err = fmt.Errorf("%w: %d of %s", ErrSoldOut, quantity, article)
		}
		return err
	})
}

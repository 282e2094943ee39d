package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/lockstep-go/lockstep/uow"
)

// ErrSoldOut is returned when there is less of an article than asked for.
var ErrSoldOut = errors.New("sold out")

// Stock is the repository of articles.
type Stock struct{ m *uow.Manager }

// Price returns what one of an article costs, in euros.
func (s Stock) Price(ctx context.Context, article string) (int, error) {
	return uow.Value(ctx, s.m, func(ctx context.Context, u *uow.UnitOfWork) (price int, err error) {
		const read = "select price from shop_stock where article = ?"
		err = u.GetContext(ctx, &price, u.Rebind(read), article)
		return price, err
	})
}

// Take takes some of an article, or returns ErrSoldOut. It needs no named lock:
// the article has a row, and the update locks it.
func (s Stock) Take(ctx context.Context, article string, quantity int) error {
	return s.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		const take = "update shop_stock set quantity = quantity - ? where article = ? and quantity >= ?"
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

// Left returns how many there are of an article.
func (s Stock) Left(ctx context.Context, article string) (int, error) {
	return uow.Value(ctx, s.m, func(ctx context.Context, u *uow.UnitOfWork) (left int, err error) {
		const read = "select quantity from shop_stock where article = ?"
		err = u.GetContext(ctx, &left, u.Rebind(read), article)
		return left, err
	})
}

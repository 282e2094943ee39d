package uow_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/lockstep-go/lockstep/uow"
)

var errSoldOut = errors.New("sold out")

// Orders keeps the orders of a shop.
type Orders struct{ m *uow.Manager }

// Save adds an order: within a unit as part of it, else in a unit of its own.
func (o Orders) Save(ctx context.Context, id int, article string, quantity int) error {
	return o.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		_, err := u.ExecContext(ctx, "insert into orders values ($1, $2, $3)", id, article, quantity)
		return err
	})
}

// Stock keeps what the shop has left.
type Stock struct{ m *uow.Manager }

// Take takes some of an article, unless less is left.
func (s Stock) Take(ctx context.Context, article string, quantity int) error {
	return s.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		const take = "update stock set quantity = quantity - $2 where article = $1 and quantity >= $2"
		result, err := u.ExecContext(ctx, take, article, quantity)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); n == 0 {
			return errors.Join(errSoldOut, err)
		}
		return nil
	})
}

// Shop sells what it has.
type Shop struct {
	m      *uow.Manager
	orders Orders
	stock  Stock
}

// Place writes the order and the stock, or neither.
func (s Shop) Place(ctx context.Context, id int, article string, quantity int) error {
	return s.m.Do(ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
		if err := s.orders.Save(ctx, id, article, quantity); err != nil {
			return err
		}
		return s.stock.Take(ctx, article, quantity)
	})
}

// Two repositories that know nothing of each other write in one transaction.
func ExampleManager_Do() {
	ctx := context.Background()
	m, closeShop := openShop() // five lamps in stock
	defer closeShop()
	shop := Shop{m, Orders{m}, Stock{m}}

	fmt.Println(shop.Place(ctx, 1, "lamp", 2))
	fmt.Println(shop.Place(ctx, 2, "lamp", 9))
	printShop(ctx, m.DB())
	// Output:
	// <nil>
	// sold out
	// orders: 1, lamps left: 3
}

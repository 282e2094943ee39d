package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/uow"
)

// ErrCredit is returned for an order that exceeds the customer's credit.
var ErrCredit = errors.New("no credit")

// Shop sells articles on credit.
type Shop struct {
	m       *uow.Manager
	orders  Orders
	stock   Stock
	credit  int               // of every customer, in euros
	wait    time.Duration     // for other orders of the same customer
	confirm func(Order) error // sends a confirmation
}

// NewShop returns a shop whose repositories share m, so that they join.
func NewShop(m *uow.Manager, credit int, confirm func(Order) error) Shop {
	return Shop{m, Orders{m}, Stock{m}, credit, 10 * time.Second, confirm}
}

// Place takes the articles from the stock and saves the order, or does neither.
// It returns ErrSoldOut, ErrCredit, or an error that matches applock.ErrTimeout
// when other orders of the customer take too long.
//
// The credit is a rule over rows that do not exist yet: no row can be locked to
// keep two orders from being added at once. The customer's lock does, and other
// customers do not wait for it. It ends with the transaction.
func (s Shop) Place(ctx context.Context, order Order) error {
	return s.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		price, err := s.stock.Price(ctx, order.Article)
		if err != nil {
			return err
		}
		order.Amount = price * order.Quantity
		owed, err := s.orders.Owed(ctx, order.Customer)
		if err != nil {
			return err
		}
		if owed+order.Amount > s.credit {
			return fmt.Errorf("%w: customer %d would owe %d of at most %d", ErrCredit, order.Customer, owed+order.Amount, s.credit)
		}
		if err := s.orders.Save(ctx, order); err != nil {
			return err
		}
		if err := s.stock.Take(ctx, order.Article, order.Quantity); err != nil {
			return err
		}
		// Not before it is true, and not while the transaction is open.
		u.AfterCommit(func(context.Context) error { return s.confirm(order) })
		return nil
	}, applock.With(customerLock(order.Customer).Wait(s.wait)), uow.Label("place order"))
}

// customerLock is held by whoever changes what a customer owes.
func customerLock(customer int) applock.Lock {
	return applock.Exclusive(fmt.Sprintf("customer:%d", customer))
}

package main

import (
	"context"

	"github.com/lockstep-go/lockstep/uow"
)

// Order is what a customer has ordered. Its ID is the caller's, so that whoever
// does not know whether an order was saved can look.
type Order struct {
	ID       string
	Customer int
	Article  string
	Quantity int
	Amount   int // in euros
}

// Orders is the repository of orders.
type Orders struct{ m *uow.Manager }

// Save adds an order. Inside a unit of work it is part of that unit; alone it is
// a transaction of its own.
func (o Orders) Save(ctx context.Context, order Order) error {
	return o.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		const insert = `insert into shop_order (id, customer, article, quantity, amount)
			values (:id, :customer, :article, :quantity, :amount)`
		_, err := u.NamedExecContext(ctx, insert, order)
		return err
	})
}

// Owed returns what all orders of a customer amount to, in euros. Two who ask at
// once get the same answer: who decides by it must hold the customer's lock.
func (o Orders) Owed(ctx context.Context, customer int) (int, error) {
	return uow.Value(ctx, o.m, func(ctx context.Context, u *uow.UnitOfWork) (owed int, err error) {
		const sum = "select coalesce(sum(amount), 0) from shop_order where customer = ?"
		err = u.GetContext(ctx, &owed, u.Rebind(sum), customer)
		return owed, err
	})
}

package main

import (
	"context"

	"github.com/lockstep-go/lockstep/uow"
)

// Order is an order of a shop.
type Order struct {
	ID       int
	Article  string
	Quantity int
}

// Orders is the repository of orders.
type Orders struct{ m *uow.Manager }

// Save adds an order. Inside a unit of work it is part of that unit, and a unit
// of its own otherwise.
func (o Orders) Save(ctx context.Context, order Order) error {
	return o.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		const insert = "insert into orders (id, article, quantity) values (:id, :article, :quantity)"
		_, err := u.NamedExecContext(ctx, insert, order)
		return err
	})
}

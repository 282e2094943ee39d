package main

import (
	"context"

	"github.com/lockstep-go/lockstep/uow"
)

// Shop is a service over two repositories.
type Shop struct {
	m      *uow.Manager
	orders Orders
	stock  Stock
}

// NewShop returns a shop whose repositories share m, so that they join.
func NewShop(m *uow.Manager) Shop { return Shop{m, Orders{m}, Stock{m}} }

// Place saves an order and takes its articles from the stock, or does neither.
func (s Shop) Place(ctx context.Context, order Order) error {
	return s.m.Do(ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
		if err := s.orders.Save(ctx, order); err != nil {
			return err
		}
		return s.stock.Take(ctx, order.Article, order.Quantity)
	})
}

// PlaceCarelessly is Place with a mistake: it ignores what Take returns.
func (s Shop) PlaceCarelessly(ctx context.Context, order Order) error {
	return s.m.Do(ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
		if err := s.orders.Save(ctx, order); err != nil {
			return err
		}
		_ = s.stock.Take(ctx, order.Article, order.Quantity)
		return nil
	})
}

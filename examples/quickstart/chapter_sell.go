package main

import (
	"errors"
	"fmt"

	"github.com/lockstep-go/lockstep/uow"
)

const (
	countOrders = "select count(*) from orders"
	countLamps  = "select quantity from stock where article = 'lamp'"
)

// sellLamps tells the first two chapters. writers asks how many transactions
// wrote orders and stock, unless it is empty.
func sellLamps(s *story, m *uow.Manager, writers string) error {
	shop := NewShop(m)

	s.chapter("1. Two repositories, one transaction")
	s.say("There are 5 lamps. An order of 2 is placed: Orders.Save and Stock.Take,")
	s.say("which know nothing of each other, join one unit of work.")
	if err := shop.Place(s.ctx, Order{1, "lamp", 2}); err != nil {
		return err
	}
	s.holds("orders in the database", "1", countOrders)
	s.holds("lamps left", "3", countLamps)
	if writers != "" {
		s.holds("transactions that wrote these rows", "1", writers)
	}

	s.chapter("2. An inner failure that the caller swallows")
	s.say("An order of 9 lamps is saved. Stock.Take fails, its caller ignores that and returns nil.")
	err := shop.PlaceCarelessly(s.ctx, Order{2, "lamp", 9})
	var undone *uow.UnexpectedRollbackError
	s.confirm("Do returned *uow.UnexpectedRollbackError", errors.As(err, &undone))
	s.confirm(fmt.Sprintf("which tells the cause: %v", err), errors.Is(err, ErrSoldOut))
	s.holds("orders in the database", "1", countOrders)
	s.holds("lamps left", "3", countLamps)
	return nil
}

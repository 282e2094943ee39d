package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/lockstep-go/lockstep/uow"
)

// tables are read by SQLite and PostgreSQL alike.
var tables = []string{
	"create table if not exists api_stock (article varchar(40) primary key, quantity int not null)",
	`create table if not exists api_order (id varchar(40) primary key, customer int not null,
		article varchar(40) not null references api_stock)`,
	"insert into api_stock values ('lamp', 5), ('chair', 0) on conflict (article) do nothing",
}

// order is one of an article that a customer has bought.
type order struct {
	ID       string
	Customer int
	Article  string
}

// readOrder reads an order from a form. The ID is the client's own, so that it
// can ask what became of a request whose answer was lost.
func readOrder(r *http.Request) (order, error) {
	o := order{ID: r.PostFormValue("id"), Article: r.PostFormValue("article")}
	customer, err := strconv.ParseInt(r.PostFormValue("customer"), 10, 32) // as the column
	o.Customer = int(customer)
	if err != nil || o.ID == "" || len(o.ID) > 40 || o.Article == "" {
		return order{}, errors.New("want id, customer (a number) and article")
	}
	return o, nil
}

// The functions below are handed nothing but a ctx: within a transaction that a
// handler has begun they are part of it, and alone they are one each.

// errNoArticle is returned for an article that was never sold here.
var errNoArticle = errors.New("no such article")

func checkArticle(ctx context.Context, article string) error {
	return uow.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		var known bool
		err := u.GetContext(ctx, &known, u.Rebind("select exists (select 1 from api_stock where article = ?)"), article)
		if err == nil && !known {
			err = errNoArticle
		}
		return err
	})
}

// errTaken is returned for the ID of an order that is there.
var errTaken = errors.New("another order has this id")

func saveOrder(ctx context.Context, o order) error {
	return uow.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		const insert = "insert into api_order (id, customer, article) values (:id, :customer, :article) on conflict (id) do nothing"
		result, err := u.NamedExecContext(ctx, insert, o)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err == nil && n == 0 {
			err = errTaken
		}
		return err
	})
}

func findOrder(ctx context.Context, id string) (o order, err error) {
	err = uow.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		return u.GetContext(ctx, &o, u.Rebind("select id, customer, article from api_order where id = ?"), id)
	})
	return o, err
}

func hasOrdered(ctx context.Context, customer int, article string) (known bool, err error) {
	err = uow.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		const find = "select exists (select 1 from api_order where customer = ? and article = ?)"
		return u.GetContext(ctx, &known, u.Rebind(find), customer, article)
	})
	return known, err
}

// errSoldOut is returned when there is none left of an article.
var errSoldOut = errors.New("sold out")

func takeFromStock(ctx context.Context, article string) error {
	return uow.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		const take = "update api_stock set quantity = quantity - 1 where article = ? and quantity > 0"
		result, err := u.ExecContext(ctx, u.Rebind(take), article)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err == nil && n == 0 {
			err = fmt.Errorf("%w: %s", errSoldOut, article)
		}
		return err
	})
}

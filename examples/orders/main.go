// Command orders shows two repositories under a service. Each of them wraps its
// writes in a unit of work of its own; the service joins them in one transaction,
// under a lock for each customer that keeps the customer's credit.
//
//	go run ./examples/orders [-db ADDRESS]
//
// Ten orders of one customer arrive at once, of one lamp for 30 euros each; the
// credit is 100 euros, so three are accepted. Without -db everything happens in
// a SQLite file that is removed at the end. ADDRESS is the path of a SQLite file
// or the URL of a PostgreSQL, where the tables shop_order and shop_stock are made
// and kept: a second run finds the credit used up.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sync"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/examples/internal/anydb"
	"github.com/lockstep-go/lockstep/uow"
)

// tables are made by whoever comes first. SQLite and PostgreSQL read them alike.
var tables = []string{
	"create table if not exists shop_stock (article varchar(40) primary key, quantity int not null, price int not null)",
	`create table if not exists shop_order (id varchar(40) primary key, customer int not null,
		article varchar(40) not null references shop_stock, quantity int not null, amount int not null)`,
	"insert into shop_stock values ('lamp', 100, 30), ('chair', 1, 10) on conflict (article) do nothing",
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "orders:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("orders", flag.ContinueOnError)
	address := flags.String("db", "", "`ADDRESS` of the database: postgres://… or a SQLite file (default: a SQLite file that is removed at the end)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *address == "" {
		folder, err := os.MkdirTemp("", "orders")
		if err != nil {
			return err
		}
		defer os.RemoveAll(folder)
		*address = filepath.Join(folder, "orders.db")
	}
	m, err := anydb.Open(*address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.DB().Close()) }()
	if err := createTables(ctx, m); err != nil {
		return err
	}
	return sell(ctx, m, out)
}

// createTables may be called by any number of processes at once: without the
// lock two "create table if not exists" of PostgreSQL can collide.
func createTables(ctx context.Context, m *uow.Manager) error {
	return m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		for _, statement := range tables {
			if _, err := u.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	}, applock.With(applock.Exclusive("shop:tables")))
}

// sell places ten orders of one customer at once and tells what became of them.
func sell(ctx context.Context, m *uow.Manager, out io.Writer) error {
	const customer, buyers, credit = 7, 10, 100
	printing := make(chan string, buyers) // confirmations come from ten goroutines
	shop := NewShop(m, credit, func(o Order) error {
		printing <- fmt.Sprintf("confirmed: %d %s for %d euros", o.Quantity, o.Article, o.Amount)
		return nil
	})
	failures := make([]error, buyers)
	var all sync.WaitGroup
	for i := range buyers {
		all.Go(func() {
			failures[i] = shop.Place(ctx, Order{ID: rand.Text(), Customer: customer, Article: "lamp", Quantity: 1})
		})
	}
	all.Wait()
	close(printing)
	for line := range printing {
		fmt.Fprintln(out, line)
	}
	refused := 0
	for _, err := range failures {
		if errors.Is(err, ErrCredit) || errors.Is(err, ErrSoldOut) {
			refused++
		} else if err != nil {
			return err
		}
	}
	return tell(ctx, shop, out, customer, refused)
}

func tell(ctx context.Context, shop Shop, out io.Writer, customer, refused int) error {
	owed, err := shop.orders.Owed(ctx, customer)
	if err != nil {
		return err
	}
	left, err := shop.stock.Left(ctx, "lamp")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "refused: %d\ncustomer %d owes %d of at most %d euros; %d lamps are left\n", refused, customer, owed, shop.credit, left)
	return err
}

package uow_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/lockstep-go/lockstep/uow"
)

// A function that has a result to return.
func ExampleValue() {
	ctx := context.Background()
	m, closeShop := openShop() // five lamps in stock
	defer closeShop()

	left, err := uow.Value(ctx, m, func(ctx context.Context, u *uow.UnitOfWork) (int, error) {
		var left int
		err := u.GetContext(ctx, &left, "update stock set quantity = quantity - 1 where article = $1 returning quantity", "lamp")
		return left, err
	})
	fmt.Println(left, err)
	// Output: 4 <nil>
}

// Each line of an import is a savepoint: a line that the database refuses is
// left out, and the rest is kept.
func ExampleNested() {
	ctx := context.Background()
	m, closeShop := openShop() // sells lamps
	defer closeShop()

	err := m.Do(ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
		for id, article := range []string{"lamp", "no such article", "lamp"} {
			err := m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
				_, err := u.ExecContext(ctx, "insert into orders values ($1, $2, 1)", id, article)
				return err
			}, uow.Nested())
			fmt.Printf("line %d refused: %t\n", id, err != nil)
		}
		return nil
	})
	fmt.Println(err)
	printShop(ctx, m.DB())
	// Output:
	// line 0 refused: false
	// line 1 refused: true
	// line 2 refused: false
	// <nil>
	// orders: 2, lamps left: 5
}

// The audit entry is a unit of its own and stays when the order fails.
func ExampleRequiresNew() {
	ctx := context.Background()
	m, closeShop := openShop()
	defer closeShop()

	err := m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		if _, err := u.ExecContext(ctx, "insert into orders values (1, 'lamp', 9)"); err != nil {
			return err
		}
		err := m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			_, err := u.ExecContext(ctx, "insert into audit values ('order 1 was tried')")
			return err
		}, uow.RequiresNew())
		return errors.Join(errSoldOut, err)
	})
	fmt.Println(err)

	var entry string
	err = m.DB().GetContext(ctx, &entry, "select entry from audit")
	fmt.Println(entry, err)
	printShop(ctx, m.DB())
	// Output:
	// sold out
	// order 1 was tried <nil>
	// orders: 0, lamps left: 5
}

// Mail is sent when the order is sure to be there, and not before.
func ExampleUnitOfWork_AfterCommit() {
	ctx := context.Background()
	m, closeShop := openShop()
	defer closeShop()

	place := func(id int) error {
		return m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			u.AfterCommit(func(context.Context) error {
				fmt.Printf("mail: order %d is placed\n", id)
				return nil
			})
			_, err := u.ExecContext(ctx, "insert into orders values ($1, 'lamp', 1)", id)
			return err
		})
	}
	fmt.Println(place(1))
	fmt.Println(place(1) != nil) // there is an order 1 already
	// Output:
	// mail: order 1 is placed
	// <nil>
	// true
}

// The unit is run again when the server could not serialize it.
func ExampleRetry() {
	ctx := context.Background()
	m, closeShop := openShop() // five lamps in stock
	defer closeShop()

	attempt := 0
	err := m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		attempt++
		var quantity int
		if err := u.GetContext(ctx, &quantity, "select quantity from stock where article = 'lamp'"); err != nil {
			return err
		}
		if attempt == 1 {
			// Somebody else is faster.
			m.DB().MustExecContext(ctx, "update stock set quantity = 4 where article = 'lamp'")
		}
		fmt.Printf("attempt %d read %d\n", attempt, quantity)
		_, err := u.ExecContext(ctx, "update stock set quantity = $1 where article = 'lamp'", quantity-1)
		return err
	}, uow.Isolation(sql.LevelRepeatableRead), uow.Retry(uow.RetryPolicy{Attempts: 5}))
	fmt.Println(err)
	printShop(ctx, m.DB())
	// Output:
	// attempt 1 read 5
	// attempt 2 read 4
	// <nil>
	// orders: 0, lamps left: 3
}

// A job started from inside a unit, which must neither join it nor end with it.
func ExampleDetach() {
	ctx := context.Background()
	m, closeShop := openShop()
	defer closeShop()

	job := make(chan error)
	err := m.Do(ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
		background := uow.Detach(context.WithoutCancel(ctx))
		go func() {
			job <- m.Do(background, func(ctx context.Context, u *uow.UnitOfWork) error {
				_, err := u.ExecContext(ctx, "insert into orders values (1, 'lamp', 1)")
				return err
			})
		}()
		return errors.New("the unit around it fails")
	})
	fmt.Println(err)
	fmt.Println(<-job)
	printShop(ctx, m.DB())
	// Output:
	// the unit around it fails
	// <nil>
	// orders: 1, lamps left: 5
}

// A dry run: everything is done, and nothing is kept.
func ExampleUnitOfWork_SetRollbackOnly() {
	ctx := context.Background()
	m, closeShop := openShop() // five lamps in stock
	defer closeShop()
	shop := Shop{m, Orders{m}, Stock{m}}
	errDryRun := errors.New("dry run")

	err := m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		if err := shop.Place(ctx, 1, "lamp", 2); err != nil {
			return err
		}
		u.SetRollbackOnly(errDryRun)
		return nil
	})
	fmt.Println(errors.Is(err, errDryRun))
	printShop(ctx, m.DB())
	// Output:
	// true
	// orders: 0, lamps left: 5
}

// The caller of Do swallows an inner failure. The unit is not committed, and
// Do says why.
func ExampleUnexpectedRollbackError() {
	ctx := context.Background()
	m, closeShop := openShop() // five lamps in stock
	defer closeShop()
	shop := Shop{m, Orders{m}, Stock{m}}

	err := m.Do(ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
		_ = shop.Place(ctx, 1, "lamp", 9) // inserts the order, then finds no nine lamps
		return nil
	})
	var undone *uow.UnexpectedRollbackError
	if errors.As(err, &undone) {
		fmt.Println("nothing was written:", undone.Cause)
	}
	printShop(ctx, m.DB())
	// Output:
	// nothing was written: sold out
	// orders: 0, lamps left: 5
}

// The connection breaks after COMMIT was sent. Whether the order is there
// cannot be known from that; the server can be asked.
func ExampleInDoubtError() {
	ctx := context.Background()
	m, closeShop := openShopWithLostReply() // the answer to the first COMMIT is lost
	defer closeShop()

	err := m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		_, err := u.ExecContext(ctx, "insert into orders values (1, 'lamp', 1)")
		return err
	})
	var doubt *uow.InDoubtError
	if errors.As(err, &doubt) {
		outcome, err := doubt.Resolve(ctx)
		fmt.Println("in doubt; in truth", outcome, err)
	}
	printShop(ctx, m.DB())
	// Output:
	// in doubt; in truth committed <nil>
	// orders: 1, lamps left: 5
}

// Code deep down takes the Manager from ctx: that of the request's tenant, say.
func ExampleNewContext() {
	m, closeShop := openShop()
	defer closeShop()

	ctx := uow.NewContext(context.Background(), m) // once, where the request comes in
	err := uow.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		_, err := u.ExecContext(ctx, "insert into orders values (1, 'lamp', 1)")
		return err
	})
	fmt.Println(err)

	err = uow.Do(context.Background(), func(context.Context, *uow.UnitOfWork) error { return nil })
	fmt.Println(err)
	// Output:
	// <nil>
	// uow: no manager
}

package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect/sqlite"
	"github.com/lockstep-go/lockstep/uow"
)

// OpenInvoices needs no server: the database is a file, and its locks are files
// beside it.
func OpenInvoices(file string) (*uow.Manager, error) {
	db, err := sqlite.Open(file)
	if err != nil {
		return nil, err
	}
	return uow.New(db, sqlite.Dialect()), nil
}

// NextInvoice books the next number. No two callers get the same, in however
// many processes, and a number that was not committed is given out again.
func NextInvoice(ctx context.Context, m *uow.Manager) (int, error) {
	return uow.Value(ctx, m, func(ctx context.Context, u *uow.UnitOfWork) (n int, err error) {
		if err := u.GetContext(ctx, &n, "select count(*) + 1 from invoice"); err != nil {
			return 0, err
		}
		_, err = u.ExecContext(ctx, "insert into invoice values (?)", n)
		return n, err
	}, applock.With(applock.Exclusive("invoices")))
}

// Ten callers at once, of two pools as two processes would have.
func Example() {
	folder, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(folder)
	var managers [2]*uow.Manager
	for i := range managers {
		if managers[i], err = OpenInvoices(filepath.Join(folder, "app.db")); err != nil {
			fmt.Println(err)
			return
		}
		defer managers[i].DB().Close()
	}
	if _, err := managers[0].DB().Exec("create table invoice (number int not null)"); err != nil {
		fmt.Println(err)
		return
	}

	numbers := make([]int, 10)
	callers, ctx := errgroup.WithContext(context.Background())
	for i := range numbers {
		callers.Go(func() (err error) {
			numbers[i], err = NextInvoice(ctx, managers[i%2])
			return err
		})
	}
	err = callers.Wait()
	slices.Sort(numbers)
	fmt.Println(numbers, err)
	// Output: [1 2 3 4 5 6 7 8 9 10] <nil>
}

package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/examples/internal/anydb/anydbtest"
	"github.com/lockstep-go/lockstep/integration/servers/serverstest"
	"github.com/lockstep-go/lockstep/uow"
)

// asProgram makes the test binary the program itself.
const asProgram = "ORDERS_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(serverstest.Main(m))
}

// openShop returns a shop in which every customer has a credit of 100 euros, and
// what it has confirmed so far.
func openShop(t *testing.T, address string) (Shop, *[]Order) {
	t.Helper()
	m := anydbtest.Open(t, address)
	if err := createTables(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	var confirmed []Order
	return NewShop(m, 100, func(o Order) error {
		confirmed = append(confirmed, o)
		return nil
	}), &confirmed
}

const countOrders = "select count(*) from shop_order"

func TestBothOrNeither(t *testing.T) {
	t.Parallel()
	anydbtest.Each(t, func(t *testing.T, address string) {
		shop, confirmed := openShop(t, address)
		ctx := t.Context()
		for _, c := range []struct {
			order Order
			want  error
		}{
			{Order{ID: "first", Customer: 7, Article: "lamp", Quantity: 2}, nil},
			{Order{ID: "too many", Customer: 7, Article: "chair", Quantity: 2}, ErrSoldOut}, // found when the order is saved
			{Order{ID: "too dear", Customer: 7, Article: "lamp", Quantity: 2}, ErrCredit},
			{Order{ID: "of another", Customer: 8, Article: "lamp", Quantity: 3}, nil},
		} {
			if err := shop.Place(ctx, c.order); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", c.order.ID, err, c.want)
			}
		}
		if err := shop.Place(ctx, Order{ID: "first", Customer: 9, Article: "lamp", Quantity: 1}); err == nil {
			t.Error("two orders have one ID")
		}
		if n := anydbtest.Int(t, shop.m, countOrders); n != 2 {
			t.Errorf("%d orders, want 2", n)
		}
		if left, err := shop.stock.Left(ctx, "lamp"); left != 95 || err != nil {
			t.Errorf("%d lamps left, error %v; want 95", left, err)
		}
		if len(*confirmed) != 2 || (*confirmed)[1].Amount != 90 {
			t.Errorf("confirmed: %v", *confirmed)
		}
	})
}

// A repository is of use without the service, and joins whatever unit there is.
func TestRepositoriesAloneAndTogether(t *testing.T) {
	t.Parallel()
	anydbtest.Each(t, func(t *testing.T, address string) {
		shop, _ := openShop(t, address)
		order := Order{ID: "alone", Customer: 7, Article: "lamp", Quantity: 1, Amount: 30}
		if err := shop.orders.Save(t.Context(), order); err != nil {
			t.Fatal(err)
		}
		undo := errors.New("undo")
		err := shop.m.Do(t.Context(), func(ctx context.Context, _ *uow.UnitOfWork) error {
			order.ID = "joined"
			if err := shop.orders.Save(ctx, order); err != nil {
				return err
			}
			if owed, err := shop.orders.Owed(ctx, 7); owed != 60 || err != nil {
				t.Errorf("within the unit %d are owed, error %v; want 60", owed, err)
			}
			return undo
		})
		if !errors.Is(err, undo) {
			t.Error(err)
		}
		if owed, err := shop.orders.Owed(t.Context(), 7); owed != 30 || err != nil {
			t.Errorf("after it %d are owed, error %v; want 30", owed, err)
		}
	})
}

func TestOnlyTheSameCustomerWaits(t *testing.T) {
	t.Parallel()
	anydbtest.Each(t, func(t *testing.T, address string) {
		shop, _ := openShop(t, address)
		shop.wait = 0
		err := applock.Hold(t.Context(), shop.m, func(ctx context.Context) error {
			// A shop of another process.
			other, _ := openShop(t, address)
			other.wait = 0
			err := other.Place(ctx, Order{ID: "same", Customer: 7, Article: "lamp", Quantity: 1})
			if !errors.Is(err, applock.ErrTimeout) {
				t.Errorf("the same customer: %v, want a timeout", err)
			}
			return other.Place(ctx, Order{ID: "other", Customer: 8, Article: "lamp", Quantity: 1})
		}, customerLock(7))
		if err != nil {
			t.Error(err)
		}
		if err := shop.Place(t.Context(), Order{ID: "later", Customer: 7, Article: "lamp", Quantity: 1}); err != nil {
			t.Errorf("after the lock's end: %v", err)
		}
	})
}

// Two processes of the program sell to one customer at once.
func TestProcessesKeepTheCredit(t *testing.T) {
	t.Parallel()
	anydbtest.Each(t, func(t *testing.T, address string) {
		var programs [2]*exec.Cmd
		var out, errs [2]bytes.Buffer
		for i := range programs {
			programs[i] = exec.CommandContext(t.Context(), os.Args[0], "-db", address)
			programs[i].Env = append(os.Environ(), asProgram+"=1")
			programs[i].Stdout, programs[i].Stderr = &out[i], &errs[i]
			if err := programs[i].Start(); err != nil {
				t.Fatal(err)
			}
		}
		for i := range programs {
			if err := programs[i].Wait(); err != nil {
				t.Errorf("%v: %s", err, &errs[i])
			}
		}
		if n := strings.Count(out[0].String()+out[1].String(), "confirmed: 1 lamp for 30 euros\n"); n != 3 {
			t.Errorf("%d orders are confirmed, want 3:\n%s%s", n, &out[0], &out[1])
		}
		m := anydbtest.Open(t, address)
		if owed := anydbtest.Int(t, m, "select sum(amount) from shop_order"); owed != 90 {
			t.Errorf("%d euros are owed, want 90", owed)
		}
		if left := anydbtest.Int(t, m, "select quantity from shop_stock where article = 'lamp'"); left != 97 {
			t.Errorf("%d lamps are left, want 97", left)
		}
	})
}

func TestDefaultNeedsNoServer(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("TMPDIR", folder)
	var out bytes.Buffer
	if err := run(t.Context(), nil, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "refused: 7\ncustomer 7 owes 90 of at most 100 euros; 97 lamps are left\n") {
		t.Error(out.String())
	}
	if left, err := filepath.Glob(filepath.Join(folder, "*")); len(left) > 0 || err != nil {
		t.Errorf("left behind: %v, error %v", left, err)
	}
}

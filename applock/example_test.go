package applock_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/uow"
)

// The lock's name is known only after something was read.
func ExampleAcquire() {
	ctx := context.Background()
	m, closeTenants := openTenants()
	defer closeTenants()

	err := m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		var tenant int
		if err := u.GetContext(ctx, &tenant, "select tenant from account where id = 1"); err != nil {
			return err
		}
		lock := applock.Exclusive(fmt.Sprintf("tenant:%d:accounts", tenant)).Wait(time.Second)
		if err := applock.Acquire(ctx, u, lock); err != nil {
			return err
		}
		mode, held := applock.Held(u, "tenant:42:accounts")
		fmt.Println(mode, held)
		_, err := u.ExecContext(ctx, "update account set balance = balance + 1 where tenant = $1", tenant)
		return err
	})
	fmt.Println(err)
	// Output:
	// exclusive true
	// <nil>
}

// A nightly job is left out while another process is at it.
func ExampleTryAcquire() {
	ctx := context.Background()
	m, closeTenants := openTenants()
	defer closeTenants()

	nightly := func(ctx context.Context) error {
		return m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			free, err := applock.TryAcquire(ctx, u, applock.Exclusive("nightly"))
			if err != nil || !free {
				fmt.Println("left out:", err)
				return err
			}
			fmt.Println("at work")
			return nil
		})
	}

	// Somebody else holds the lock, and then does not.
	_, other, err := m.Begin(ctx, applock.With(applock.Exclusive("nightly")))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(nightly(ctx))
	fmt.Println(other.Close())
	fmt.Println(nightly(ctx))
	// Output:
	// left out: <nil>
	// <nil>
	// <nil>
	// at work
	// <nil>
}

// Read first, together with other readers, and write only if need be. Update
// keeps a second unit from doing the same meanwhile, which would end in a
// deadlock when both ask for Exclusive.
func ExampleUpdate() {
	ctx := context.Background()
	m, closeTenants := openTenants()
	defer closeTenants()

	err := m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		var balance int
		if err := u.GetContext(ctx, &balance, "select balance from account where id = 2"); err != nil {
			return err
		}
		if balance >= 100 {
			return nil
		}
		// Waits for the readers to end.
		if err := applock.Acquire(ctx, u, applock.Exclusive("account:2")); err != nil {
			return err
		}
		mode, _ := applock.Held(u, "account:2")
		fmt.Println(mode)
		_, err := u.ExecContext(ctx, "update account set balance = 100 where id = 2")
		return err
	}, applock.With(applock.Update("account:2")))
	fmt.Println(err)
	// Output:
	// exclusive
	// <nil>
}

// Who holds a lock, and who waits for it.
func ExampleInspect() {
	ctx := context.Background()
	m, closeTenants := openTenants()
	defer closeTenants()

	err := m.Do(ctx, func(context.Context, *uow.UnitOfWork) error {
		all, err := applock.Inspect(ctx, m, "tenant:42:upgrade", "tenant:43:upgrade")
		for _, status := range all {
			fmt.Println(status.Name, "waiters:", len(status.Waiters))
			for _, holder := range status.Holders {
				fmt.Println("  held by", holder.Label, "as", holder.Mode)
			}
		}
		return err
	}, applock.With(applock.Exclusive("tenant:42:upgrade")), uow.Label("deploy 7 on host b"))
	fmt.Println(err)
	// Output:
	// tenant:42:upgrade waiters: 0
	//   held by deploy 7 on host b as exclusive
	// tenant:43:upgrade waiters: 0
	// <nil>
}

// A lock that is not granted in time. The error names who holds it.
func ExampleTimeoutError() {
	ctx := context.Background()
	m, closeTenants := openTenants()
	defer closeTenants()
	lock := applock.Exclusive("tenant:42:upgrade")

	_, holder, err := m.Begin(ctx, applock.With(lock), uow.Label("deploy 7"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer holder.Close()

	err = m.Do(ctx, func(context.Context, *uow.UnitOfWork) error {
		panic("not called")
	}, applock.With(lock.Wait(20*time.Millisecond)))
	var timeout *applock.TimeoutError
	if errors.As(err, &timeout) {
		fmt.Println("not granted:", timeout.Lock)
		for _, session := range timeout.Holders {
			fmt.Println("held by", session.Label)
		}
	}
	// Output:
	// not granted: exclusive "tenant:42:upgrade"
	// held by deploy 7
}

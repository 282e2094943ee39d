package applock_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/uow"
)

// Migrations brings tenants' schemas up to date, one step after the other.
type Migrations struct {
	m     *uow.Manager
	steps []string
}

// Upgrade may be called by any number of processes at once: one works, and the
// others wait for up to ten minutes and then find nothing left to do.
func (r Migrations) Upgrade(ctx context.Context, tenant int) error {
	lock := applock.Exclusive(fmt.Sprintf("tenant:%d:upgrade", tenant)).Wait(10 * time.Minute)
	return r.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		var version int
		if err := u.GetContext(ctx, &version, "select version from tenant where id = $1", tenant); err != nil {
			return err
		}
		for ; version < len(r.steps); version++ {
			if _, err := u.ExecContext(ctx, r.steps[version]); err != nil {
				return fmt.Errorf("step %d: %w", version+1, err)
			}
		}
		_, err := u.ExecContext(ctx, "update tenant set version = $1 where id = $2", version, tenant)
		return err
	}, applock.With(lock), uow.Label("upgrade"))
}

// Four runners upgrade one tenant at once. Each step runs once: a second
// "create table invoice" would fail.
func ExampleWith() {
	ctx := context.Background()
	m, closeTenants := openTenants() // tenant 42 has version 0
	defer closeTenants()
	r := Migrations{m, []string{
		"create table invoice (id int primary key)",
		"alter table invoice add column total numeric not null",
	}}

	var runners sync.WaitGroup
	failures := make([]error, 4)
	for i := range failures {
		runners.Go(func() { failures[i] = r.Upgrade(ctx, 42) })
	}
	runners.Wait()
	fmt.Println(errors.Join(failures...))

	var version int
	err := m.DB().GetContext(ctx, &version, "select version from tenant where id = 42")
	fmt.Println("version", version, err)
	// Output:
	// <nil>
	// version 2 <nil>
}

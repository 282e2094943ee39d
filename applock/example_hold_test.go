package applock_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/uow"
)

// Deploy runs the deployment's script unless another process is at it.
func Deploy(ctx context.Context, m *uow.Manager, script string) error {
	return applock.Hold(ctx, m.With(uow.Label("deploy")), func(ctx context.Context) error {
		// Should the lock be lost, ctx ends and the script is killed.
		return exec.CommandContext(ctx, "sh", "-c", script).Run()
	}, applock.Exclusive("deploy").Wait(time.Minute))
}

// Work outside the database, under a lock of the database.
func ExampleHold() {
	ctx := context.Background()
	m, closeTenants := openTenants()
	defer closeTenants()

	fmt.Println(Deploy(ctx, m, "true"))

	err := applock.Hold(ctx, m, func(ctx context.Context) error {
		err := applock.Hold(context.Background(), m, func(context.Context) error { return nil }, applock.Exclusive("deploy").NoWait())
		fmt.Println("a second one at the same time:", errors.Is(err, applock.ErrTimeout))
		return ctx.Err()
	}, applock.Exclusive("deploy"))
	fmt.Println(err)
	// Output:
	// <nil>
	// a second one at the same time: true
	// <nil>
}

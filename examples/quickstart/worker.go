package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"golang.org/x/sync/errgroup"

	"github.com/lockstep-go/lockstep/uow"
)

// workerCommand makes the program a process of workers. It is what the program
// starts itself with: quickstart workers -name A -number 5.
//
// For every step, the process writes the line "inside 3" from within the step's
// transaction, and goes on to the commit when it is answered with a line.
const workerCommand = "workers"

// errAbandoned says that the process which tells the story is gone.
var errAbandoned = errors.New("nobody answers any more")

// runWorkers upgrades the tenant by several workers at once.
func runWorkers(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet(workerCommand, flag.ContinueOnError)
	name := flags.String("name", "", "name of the process")
	number := flags.Int("number", 1, "number of workers")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dsn := os.Getenv(envHome)
	p := productOf(dsn)
	db, err := p.open(dsn)
	if err != nil {
		return err
	}
	defer db.Close()

	answers := bufio.NewScanner(in)
	upgrades := Upgrades{m: uow.New(db, p.dialect), tenant: tenant}
	// The workers share one conversation: under the lock, only one of them is
	// inside a step.
	upgrades.inside = func(step int) error {
		fmt.Fprintln(out, insideWord, step)
		if !answers.Scan() {
			return errors.Join(errAbandoned, answers.Err())
		}
		return nil
	}
	workers, ctx := errgroup.WithContext(ctx)
	for i := range *number {
		workers.Go(func() error { return upgrades.All(ctx, fmt.Sprintf("%s%d", *name, i+1)) })
	}
	return workers.Wait()
}

// insideWord begins the line that a process writes from within a step.
const insideWord = "inside"

// Command migrate brings the tables of tenants up to date with goose, each under
// a lock of its own: runners of one tenant wait for each other, in whatever
// process and on whatever host, and different tenants are upgraded at once.
//
//	cd examples/migrate && go run . [-db ADDRESS] TENANT…
//
// ADDRESS is the URL of a PostgreSQL, where each tenant has a schema, or a folder
// in which each has a SQLite file. Without -db it is a folder that is removed at
// the end.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "migrate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("migrate", flag.ContinueOnError)
	address := flags.String("db", "", "`ADDRESS` of the database: postgres://… or a folder for SQLite files (default: a folder that is removed at the end)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return errors.New("which tenants? For example: migrate 42 43")
	}
	if *address == "" {
		folder, err := os.MkdirTemp("", "migrate")
		if err != nil {
			return err
		}
		defer os.RemoveAll(folder)
		*address = folder
	}
	lines := make([]string, flags.NArg())
	failures := make([]error, flags.NArg())
	var all sync.WaitGroup
	for i, name := range flags.Args() {
		all.Go(func() { lines[i], failures[i] = upgradeTenant(ctx, *address, name) })
	}
	all.Wait()
	for _, line := range lines {
		fmt.Fprint(out, line)
	}
	return errors.Join(failures...)
}

// upgradeTenant upgrades one tenant and tells what was done.
func upgradeTenant(ctx context.Context, address, name string) (line string, err error) {
	t, err := openTenant(address, name)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, t.m.DB().Close()) }()
	done, err := t.upgrade(ctx)
	if err != nil {
		return "", fmt.Errorf("tenant %s: %w", name, err)
	}
	return fmt.Sprintf("tenant %s: %d steps applied\n", name, len(done)), nil
}

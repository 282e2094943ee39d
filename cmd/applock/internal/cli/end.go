package cli

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/cmd/applock/internal/database"
	"github.com/lockstep-go/lockstep/uow"
)

func (p *program) endCommand() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "end NAME",
		Short: "End the sessions that hold a lock",
		Long: "end makes the server end the sessions that hold a lock, and with them their\n" +
			"transactions: they cannot commit any more, and whoever waits gets the lock. A\n" +
			"command that applock run runs for them is terminated.\n\n" +
			"It asks first, and without a terminal it does nothing unless --yes is given.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, names []string) error {
			return p.end(c, names[0], yes)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return c
}

// end ends the holders of a lock.
func (p *program) end(c *cobra.Command, name string, yes bool) error {
	if !yes && !p.interactive() {
		return usage("end asks before it ends a session, and there is no terminal: use --yes")
	}
	var holders []applock.Session
	err := p.ask(c, func(ctx context.Context, _ database.Database, m *uow.Manager) (err error) {
		holders, err = holdersOf(ctx, m, name)
		return err
	})
	if err != nil {
		return err
	}
	if len(holders) == 0 {
		fmt.Fprintf(p.stdout, "%q is free\n", name)
		return nil
	}
	if !yes && !p.confirm(name, holders) {
		return exit(exitNo)
	}
	return p.ask(c, func(ctx context.Context, d database.Database, m *uow.Manager) error {
		for _, holder := range holders {
			if err := d.End(ctx, m, name, holder); err != nil {
				return fmt.Errorf("%s: %w", session(holder), err)
			}
		}
		return p.awaitEnd(ctx, m, name, holders)
	})
}

func holdersOf(ctx context.Context, m *uow.Manager, name string) ([]applock.Session, error) {
	all, err := applock.Inspect(ctx, m, name)
	if err != nil {
		return nil, err
	}
	return all[0].Holders, nil
}

// interactive reports whether somebody can be asked.
func (p *program) interactive() bool {
	keyboard, ok := p.stdin.(*os.File)
	return ok && term.IsTerminal(int(keyboard.Fd()))
}

// confirm asks whether the holders are to be ended.
func (p *program) confirm(name string, holders []applock.Session) bool {
	for _, holder := range holders {
		fmt.Fprintf(p.stderr, "%q is held by %s\n", name, describe(holder, time.Now()))
	}
	fmt.Fprint(p.stderr, "End it? What it has not committed is undone. [y/N] ")
	answer, _ := bufio.NewReader(p.stdin).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true
	}
	return false
}

// endPatience bounds the wait for a server to end a session.
const endPatience = 10 * time.Second

// awaitEnd waits until none of the sessions holds the lock.
func (p *program) awaitEnd(ctx context.Context, m *uow.Manager, name string, ended []applock.Session) error {
	ctx, cancel := context.WithTimeout(ctx, endPatience)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		now, err := holdersOf(ctx, m, name)
		if err == nil && !slices.ContainsFunc(now, func(s applock.Session) bool { return isIn(s, ended) }) {
			for _, s := range ended {
				fmt.Fprintf(p.stdout, "ended %s\n", describe(s, time.Now()))
			}
			return nil
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return &failure{exitNo, fmt.Errorf("%q is still held; the server may take longer to end its holder", name)}
		case <-ticker.C:
		}
	}
}

// isIn reports whether a session is one of others, in the same transaction.
func isIn(s applock.Session, others []applock.Session) bool {
	return slices.ContainsFunc(others, func(o applock.Session) bool { return o.ID == s.ID && o.Since.Equal(s.Since) })
}

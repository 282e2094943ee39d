// Command quickstart shows on a real database what Lockstep does, in three
// short chapters: two repositories that write in one transaction, an inner
// failure that is swallowed, and ten workers in two processes that upgrade one
// tenant's schema while one of the processes is killed.
//
//	quickstart [-db URL]
//
// Without -db the database is a temporary file of SQLite, which needs no server.
// The URL is that of a PostgreSQL (postgres://) or SQL Server (sqlserver://),
// where everything happens in a schema of its own, in SQL Server in a database
// of its own. The story is the same everywhere, and what was made for it is
// removed at the end. Each line that begins with "ok" was compared with what the
// database holds; the exit code is 1 when one of them does not hold, or when
// anything else fails.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/lockstep-go/lockstep/uow"
)

// patience bounds the whole story. It takes about a second.
const patience = 2 * time.Minute

func main() {
	os.Exit(exitCode(run(os.Args[1:], os.Stdout)))
}

func exitCode(err error) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	fmt.Fprintln(os.Stderr, "quickstart:", err)
	return 1
}

// run tells the story, or works as one of its processes.
func run(args []string, out io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if len(args) > 0 && args[0] == workerCommand {
		return runWorkers(ctx, args[1:], os.Stdin, out)
	}
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	dsn := flags.String("db", "", "`URL` of a PostgreSQL or SQL Server database (default: a temporary file of SQLite)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if scheme, _, _ := strings.Cut(*dsn, "://"); *dsn != "" && !slices.Contains([]string{"postgres", "postgresql", "sqlserver"}, scheme) {
		return errors.New("-db takes postgres://… or sqlserver://…; without it the story makes a SQLite file of its own")
	}
	return tell(ctx, *dsn, out)
}

// tell makes a home for tables, tells the chapters in it, and removes it.
func tell(ctx context.Context, dsn string, out io.Writer) (err error) {
	home, err := createHome(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, home.remove()) }()

	db, err := home.open(home.dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	s := &story{ctx: ctx, out: out, db: db}
	s.chapter("The database is %s.", home.name)
	m := uow.New(db, home.dialect)
	if err := sellLamps(s, m, home.writers); err != nil {
		return err
	}
	if err := upgradeTenant(s, m, home.dsn); err != nil {
		return err
	}
	return s.end()
}

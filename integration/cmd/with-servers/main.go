// Command with-servers runs a program with database servers at its side: it
// finds or starts them, names them in the program's environment, and stops
// what it started when the program has ended.
//
//	with-servers [--need] [--postgres] [--pgbouncer] [--mssql] -- program [arguments]
//
// The program finds the servers in LOCKSTEP_POSTGRES_URL,
// LOCKSTEP_PGBOUNCER_URL and LOCKSTEP_MSSQL_URL; the documentation of package
// integration/servers says where servers are looked for. --postgres is meant
// where no server is asked for, and --pgbouncer includes it. Where there is no
// SQL Server, --mssql serves its simulator, from this process.
//
// A server that is missing is told in one line. The program runs all the same,
// so that tests can skip what needs it. With --need, or where LOCKSTEP_REQUIRE
// names the server, the program does not run, and with-servers exits with code
// 1. It otherwise exits with the program's own
// code, or 128 and the signal's number when a signal ended the program. Usage
// errors are code 2. SIGINT, SIGTERM, SIGHUP and SIGQUIT are passed on to the
// program.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"

	"github.com/lockstep-go/lockstep/integration/servers"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// Exit codes of with-servers itself.
const (
	exitMissing    = 1
	exitUsage      = 2
	exitNotRun     = 127
	exitSignalBase = 128
)

// A request is what the command line asks for.
type request struct {
	need, pgbouncer bool
	products        []servers.Product
	program         []string
}

// run is main with its surroundings as parameters; it returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	wanted, err := parse(args, stderr)
	if err != nil {
		return exitUsage
	}
	// Signals are taken from the start: the default would end this process
	// before it stopped the servers.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(signals)

	fleet, err := provision(wanted, signals)
	defer fleet.stop(stderr)
	if err != nil {
		fmt.Fprintf(stderr, "lockstep: %s\n", servers.OneLine(err))
		return exitMissing
	}
	fleet.describe(stdout)
	return execute(wanted.program, fleet.environment, signals, stderr)
}

// parse reads the command line. It has printed what is wrong when it returns
// an error.
func parse(args []string, stderr io.Writer) (request, error) {
	var wanted request
	flags := flag.NewFlagSet("with-servers", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: with-servers [--need] [--postgres] [--pgbouncer] [--mssql] -- program [arguments]")
		flags.PrintDefaults()
	}
	flags.BoolVar(&wanted.need, "need", false, "do not run the program where a server is missing")
	flags.BoolVar(&wanted.pgbouncer, "pgbouncer", false, "PostgreSQL, and PgBouncer in front of it")
	postgres := flags.Bool("postgres", false, "PostgreSQL, which is meant where no server is asked for")
	mssql := flags.Bool("mssql", false, "SQL Server, or else its simulator")
	if err := flags.Parse(args); err != nil {
		return wanted, err
	}
	if *postgres || wanted.pgbouncer || !*mssql {
		wanted.products = append(wanted.products, servers.Postgres)
	}
	if *mssql {
		wanted.products = append(wanted.products, servers.MSSQL)
	}
	if wanted.program = flags.Args(); len(wanted.program) == 0 {
		flags.Usage()
		return wanted, errors.New("no program")
	}
	return wanted, nil
}

// A fleet is the servers of one run.
type fleet struct {
	started     []*servers.Server // in the order of their start
	missing     []string          // lines that say what there is not
	environment []string
}

// provision finds or starts the servers. The fleet has what was found, also
// when it returns an error, which says that the program must not run. A signal
// ends the search.
func provision(wanted request, signals <-chan os.Signal) (*fleet, error) {
	ctx, cancel := context.WithCancelCause(context.Background())
	found := make(chan struct{})
	defer cancel(nil)
	defer close(found)
	go func() {
		select {
		case received := <-signals:
			cancel(fmt.Errorf("received %v", received))
		case <-found:
		}
	}()

	f := &fleet{}
	for _, p := range wanted.products {
		server, err := servers.Find(ctx, p)
		f.environment = append(f.environment, servers.Environment(p, server, err)...)
		requirements := p.Requirements()
		if p == servers.Postgres { // which PgBouncer needs
			requirements = append(requirements, servers.RequirePgBouncer)
		}
		if err := f.add(string(p), server, err, wanted.need, requirements...); err != nil {
			return f, err
		}
		if p == servers.Postgres && server != nil && wanted.pgbouncer {
			if err := f.addPgBouncer(ctx, server.URL, wanted.need); err != nil {
				return f, err
			}
		}
	}
	return f, nil
}

func (f *fleet) addPgBouncer(ctx context.Context, postgresURL string, need bool) error {
	bouncer, err := servers.StartPgBouncer(ctx, postgresURL)
	if err != nil {
		return f.add("PgBouncer", nil, err, need, servers.RequirePgBouncer)
	}
	f.environment = append(f.environment, servers.EnvPgBouncerURL+"="+bouncer.URL)
	return f.add("PgBouncer", bouncer.Server, nil, need)
}

// add takes a server into the fleet, or notes why there is none. It returns err
// where the server may not be missing.
func (f *fleet) add(name string, server *servers.Server, err error, need bool, requirements ...string) error {
	switch {
	case err == nil:
		f.started = append(f.started, server)
	case need || !servers.MaySkip(err, requirements...):
		return err
	default:
		f.missing = append(f.missing, fmt.Sprintf("tests that need %s are skipped: %s", name, servers.OneLine(err)))
	}
	return nil
}

// describe prints a line for each server.
func (f *fleet) describe(w io.Writer) {
	for _, server := range f.started {
		fmt.Fprintf(w, "lockstep: %v\n", server)
	}
	for _, line := range f.missing {
		fmt.Fprintf(w, "lockstep: %s\n", line)
	}
}

// stop stops the servers, in the reverse order of their start.
func (f *fleet) stop(stderr io.Writer) {
	for _, server := range slices.Backward(f.started) {
		if err := server.Stop(); err != nil {
			fmt.Fprintf(stderr, "lockstep: stopping %v: %v\n", server, err)
		}
	}
}

// execute runs the program with this process's streams, passes signals on to
// it, and returns its exit code.
func execute(program, environment []string, signals <-chan os.Signal, stderr io.Writer) int {
	cmd := exec.Command(program[0], program[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), environment...)
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(stderr, "lockstep: %v\n", err)
		return exitNotRun
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case received := <-signals:
			// It fails when the program has just ended, which the other case sees.
			_ = cmd.Process.Signal(received)
		case err := <-ended:
			return exitCode(err, stderr)
		}
	}
}

// exitCode is the code that tells how the program ended.
func exitCode(err error, stderr io.Writer) int {
	var exited *exec.ExitError
	switch {
	case err == nil:
		return 0
	case !errors.As(err, &exited):
		fmt.Fprintf(stderr, "lockstep: %v\n", err)
		return exitNotRun
	}
	if status, ok := exited.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return exitSignalBase + int(status.Signal())
	}
	return exited.ExitCode()
}

package chaos

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// Main is the program: it makes the run that the arguments ask for, prints its
// tables, and returns the code to exit with, which is 0 only if the run was made,
// shows something, and no promise was found broken.
func Main(args []string, out, problems io.Writer) int {
	c := Config{Out: out}
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.SetOutput(problems)
	flags.StringVar(&c.Stage, "stage", StageFaults, strings.Join(Stages(), ", "))
	flags.DurationVar(&c.Duration, "duration", time.Minute, "how long the load lasts")
	flags.Uint64Var(&c.Seed, "seed", 1, "what units do, and when the nemesis strikes")
	flags.IntVar(&c.Workers, "workers", DefaultWorkers, "how many worker processes")
	flags.BoolVar(&c.Sparse, "sparse", false, "spare the machine: less load, a quarter of the faults")
	flags.StringVar(&c.Kind, "kind", "", "have all units be of this kind, as the tables name it")
	flags.BoolVar(&c.Keep, "keep", false, "leave the workers' histories")
	if err := flags.Parse(args); err != nil {
		return exitUsage
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(problems, "chaos: unexpected argument %q\n", flags.Arg(0))
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	report, err := Run(ctx, c)
	if report != nil {
		report.Print(out)
	}
	switch {
	case err != nil:
		fmt.Fprintln(problems, "chaos:", strings.TrimPrefix(err.Error(), "chaos: "))
		return exitTrouble
	case len(report.Breaches) > 0:
		return exitBreach
	}
	return exitClean
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/cmd/applock/internal/process"
	"github.com/lockstep-go/lockstep/uow"
)

// running is one call of applock run.
type running struct {
	*program
	wait   time.Duration
	noWait bool
	waits  bool // --wait was given
	shared bool
	label  string
	onLost string
	grace  time.Duration

	names, command []string
}

// What to do with the command when the lock is lost.
const (
	lostTerminate = "terminate"
	lostIgnore    = "ignore"
)

func (p *program) runCommand() *cobra.Command {
	r := &running{program: p}
	c := &cobra.Command{
		Use:   "run [flags] NAME... -- COMMAND [ARGUMENT...]",
		Short: "Run a command while holding locks",
		Long: "run takes the named locks, all or none, and runs the command while it holds\n" +
			"them. The command has applock's streams, environment and signals, and its\n" +
			"exit code is applock's. The locks are freed when the command has ended, and\n" +
			"when applock is killed.\n\n" +
			"If the database ends the lock under way, the command, and what it has\n" +
			"started, gets SIGTERM, and after the grace SIGKILL.",
		Example: "  applock run deploy -- ./deploy.sh --fast\n" +
			"  applock run --no-wait nightly -- ./report.sh\n" +
			"  applock run --wait 10m --label 'release 7' db:main files -- make migrate",
		Args: r.arguments,
		RunE: func(c *cobra.Command, _ []string) error {
			r.waits = c.Flags().Changed("wait")
			return r.run(c.Context())
		},
		ValidArgsFunction: completeCommand,
	}
	flags := c.Flags()
	flags.DurationVar(&r.wait, "wait", 0, "give up after so long (default: wait until interrupted)")
	flags.BoolVar(&r.noWait, "no-wait", false, "give up at once if a lock is not free")
	flags.BoolVar(&r.shared, "shared", false, "share the locks with others who do so")
	flags.StringVar(&r.label, "label", "", "what others are shown as the holder (default: user@host command[pid])")
	flags.StringVar(&r.onLost, "on-lost", lostTerminate, "when a lock is lost: terminate or ignore")
	flags.DurationVar(&r.grace, "grace", 10*time.Second, "time between SIGTERM and SIGKILL when a lock is lost")
	c.MarkFlagsMutuallyExclusive("wait", "no-wait")
	complete(c, "on-lost", cobra.ShellCompDirectiveNoFileComp, lostTerminate, lostIgnore)
	return c
}

// completeCommand offers files as the command and its arguments; the names of
// locks are not known.
func completeCommand(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	if c.ArgsLenAtDash() >= 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// arguments divides the names from the command.
func (r *running) arguments(c *cobra.Command, args []string) error {
	dash := c.ArgsLenAtDash()
	switch {
	case dash < 0:
		return usage("the command must follow the names after --: applock run NAME... -- COMMAND [ARGUMENT...]")
	case dash == 0:
		return usage("no lock is named: applock run NAME... -- COMMAND [ARGUMENT...]")
	case dash == len(args):
		return usage("no command follows --: applock run NAME... -- COMMAND [ARGUMENT...]")
	case r.onLost != lostTerminate && r.onLost != lostIgnore:
		return usage("--on-lost %s: want %s or %s", r.onLost, lostTerminate, lostIgnore)
	case r.label == "" && c.Flags().Changed("label"):
		return usage("--label is empty: leave it out for the default")
	case r.wait < 0 || r.grace < 0:
		return usage("times cannot be negative")
	}
	r.names, r.command = args[:dash], args[dash:]
	return nil
}

// locks are those that were asked for.
func (r *running) locks() []applock.Lock {
	locks := make([]applock.Lock, len(r.names))
	for i, name := range r.names {
		locks[i] = applock.Exclusive(name)
		if r.shared {
			locks[i] = applock.Shared(name)
		}
		if r.noWait || r.waits {
			locks[i] = locks[i].Wait(r.wait)
		}
	}
	return locks
}

// run waits for the locks and runs the command.
func (r *running) run(ctx context.Context) error {
	path, err := process.Find(r.command[0])
	if err != nil {
		return classify(err)
	}
	if r.label == "" {
		r.label = defaultLabel(r.command[0])
	}
	d, m, closing, err := r.open()
	if err != nil {
		return err
	}
	defer closing()
	m = m.With(uow.Label(r.label))

	mode := process.DetectMode()
	signals, unsubscribe := process.Subscribe(mode)
	defer unsubscribe()
	ctx, queue := r.queue(ctx, m, signals)
	defer queue.leave()

	code, ran := 0, false
	var start error
	err = applock.Hold(ctx, m, func(held context.Context) error {
		queue.leave()
		if ctx.Err() != nil { // a signal came with the grant
			return context.Cause(ctx)
		}
		lost, done := r.watch(held)
		defer done()
		command := process.Command{
			Path: path, Args: r.command, Mode: mode, Signals: signals, Stop: lost, Grace: r.grace,
		}
		code, start = command.Run()
		ran = start == nil
		return start
	}, r.locks()...)
	queue.leave()
	if ran {
		return r.end(code, err)
	}
	return r.notRun(d.Hide(err))
}

// watch tells of the loss of the locks when it happens. The channel that it
// returns is closed then if the command is to end.
func (r *running) watch(held context.Context) (lost <-chan struct{}, done func()) {
	stop := context.AfterFunc(held, func() {
		what := "the command is terminated"
		if r.onLost == lostIgnore {
			what = "the command goes on"
		}
		fmt.Fprintf(r.stderr, "applock: lost %s: %s; %s\n", r.quoted(), oneLine(reasonOf(context.Cause(held))), what)
	})
	if r.onLost == lostIgnore {
		return nil, func() { stop() }
	}
	return held.Done(), func() { stop() }
}

// reasonOf leaves out what the caller has said already.
func reasonOf(err error) string {
	var lost *applock.LostError
	if errors.As(err, &lost) {
		return lost.Unwrap().Error()
	}
	return err.Error()
}

// quoted are the names of the locks.
func (r *running) quoted() string {
	quoted := make([]string, len(r.names))
	for i, name := range r.names {
		quoted[i] = fmt.Sprintf("%q", name)
	}
	return strings.Join(quoted, ", ")
}

// end tells how a command ended that was run. err is not nil if the locks were
// not held to its end.
func (r *running) end(code int, err error) error {
	if err == nil || r.onLost == lostIgnore {
		return exit(code)
	}
	return &failure{exitLost, fmt.Errorf("%s was not held until the command had ended (with exit code %d)", r.quoted(), code)}
}

// notRun tells why the command was not run.
func (r *running) notRun(err error) error {
	var timeout *applock.TimeoutError
	if !errors.As(err, &timeout) {
		return classify(err)
	}
	after := ""
	if timeout.Waited >= time.Second {
		after = fmt.Sprintf(" after %v", timeout.Waited.Round(time.Second))
	}
	return &failure{exitNotGranted, fmt.Errorf("%q was not obtained%s: held by %s",
		timeout.Lock.Name(), after, describeAll(timeout.Holders, time.Now()))}
}

// interrupted turns a signal that came before the command into an error.
func interrupted(s os.Signal) error { return &signalError{s} }

// Command bench measures Lockstep beside what users would pick instead, on one
// PostgreSQL server, in one run. `make bench` starts it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"time"

	"github.com/lockstep-go/lockstep/bench/internal/crowd"
	"github.com/lockstep-go/lockstep/bench/internal/link"
	"github.com/lockstep-go/lockstep/bench/internal/race"
	"github.com/lockstep-go/lockstep/bench/internal/results"
	"github.com/lockstep-go/lockstep/bench/internal/stage"
)

func main() {
	if is, err := link.FromArguments(os.Args[1:]); is {
		exit(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	exit(run(ctx, os.Args[1:]))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// bench is one run.
type bench struct {
	delays      []time.Duration
	synchronous []bool
	chosen      *regexp.Regexp
	works       []work
	throngs     []throng
	contestants *regexp.Regexp
	options     race.Options
	crowd       crowd.Options
	json        string
	docs, plot  string
	render      string

	stage *stage.Stage
	run   results.Run
	began time.Time
}

func run(ctx context.Context, arguments []string) error {
	b, err := parse(arguments)
	if err != nil {
		return err
	}
	if b.render != "" {
		return b.again()
	}
	if err := b.measure(ctx); err != nil {
		return err
	}
	return b.report()
}

// measure measures all that was chosen, on a database of its own.
func (b *bench) measure(ctx context.Context) (err error) {
	address, err := stage.Find()
	if err != nil {
		return err
	}
	if b.stage, err = stage.Open(ctx, address); err != nil {
		return err
	}
	defer func() {
		if closing := b.stage.Close(context.WithoutCancel(ctx)); err == nil {
			err = closing
		}
	}()
	b.run.Notes = map[string]string{}
	b.run.Date = b.began.UTC().Format("2 January 2006")
	for _, part := range []func(context.Context) error{b.overhead, b.solo, b.crowds} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	b.run.Machine, err = b.machine(ctx)
	return err
}

func (b *bench) progress(format string, arguments ...any) {
	fmt.Printf("[%3.0f s] %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, arguments...))
}

// Command growth shows that no cost of the library grows with its use: time and
// memory against the number of names, waiters, scopes, hooks and connections,
// and the heap over a run of millions of units, and of fewer on PostgreSQL.
// `make bench-growth` starts it. It exits with code 1 where the heap has grown or
// something is left behind; what the times say is for readers to judge.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/lockstep-go/lockstep/bench/internal/chart"
	"github.com/lockstep-go/lockstep/bench/internal/grow"
	"github.com/lockstep-go/lockstep/bench/internal/results"
	"github.com/lockstep-go/lockstep/bench/internal/stage"
	"github.com/lockstep-go/lockstep/dialect/postgres"
	"github.com/lockstep-go/lockstep/uow"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "growth: %v\n", err)
		os.Exit(1)
	}
}

// The marks of the part of a document that this program writes.
const (
	begin = "<!-- growth: begin -->"
	end   = "<!-- growth: end -->"
)

func run(ctx context.Context, arguments []string) error {
	flags := flag.NewFlagSet("growth", flag.ContinueOnError)
	units := flags.Int("units", 10_000_000, "how many units to run")
	served := flags.Int("served", 500_000, "how many units to run on PostgreSQL")
	effort := flags.Int("effort", 100_000, "how many operations for each point")
	docs := flags.String("docs", "", "document to write the report to")
	plot := flags.String("plot", "", "file to write the plot to, as SVG")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	progress := func(line string) { fmt.Println(line) }
	series, err := grow.All(ctx, *effort, progress)
	if err != nil {
		return err
	}
	runs := make([][]grow.Sample, 2)
	if runs[0], err = grow.Units(ctx, *units, progress); err != nil {
		return err
	}
	if runs[1], err = onPostgres(ctx, *served, progress); err != nil {
		return err
	}
	var verdict error
	for _, samples := range runs {
		grown, err := grow.Grown(samples)
		fmt.Printf("the heap has grown by %d bytes\n", grown)
		verdict = errors.Join(verdict, err)
	}
	for _, s := range series {
		for _, p := range s.Points {
			if p.Left > 0 {
				verdict = errors.Join(verdict, fmt.Errorf("%s, %d: %d left", s.Name, p.N, p.Left))
			}
		}
	}
	return errors.Join(verdict, publish(series, runs, *docs, *plot))
}

// onPostgres runs units on the server that the environment names.
func onPostgres(ctx context.Context, count int, progress func(string)) (samples []grow.Sample, err error) {
	address, err := stage.Find()
	if err != nil {
		return nil, err
	}
	s, err := stage.Open(ctx, address)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close(context.WithoutCancel(ctx))) }()
	url, err := s.URL(ctx, 0, false)
	if err != nil {
		return nil, err
	}
	db, err := postgres.Open(url)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, grow.Table); err != nil {
		return nil, err
	}
	progress("on PostgreSQL:")
	return grow.UnitsOn(ctx, uow.New(db, postgres.Dialect()), count, progress)
}

func publish(series []grow.Series, runs [][]grow.Sample, docs, plot string) error {
	if plot != "" {
		var drawn bytes.Buffer
		if err := chart.DrawGrowth(&drawn, series, runs[0]); err != nil {
			return err
		}
		if err := os.WriteFile(plot, drawn.Bytes(), 0o644); err != nil {
			return err
		}
	}
	if docs == "" {
		return nil
	}
	return results.Publish(docs, begin, end, func(w *bytes.Buffer) {
		write(w, series, runs)
		if plot != "" {
			fmt.Fprintf(w, "\n![Time and memory against size](%s)\n", filepath.Base(plot))
		}
	})
}

func write(w io.Writer, series []grow.Series, runs [][]grow.Sample) {
	fmt.Fprint(w, "| of | so many | time for each | bytes for each | left over |\n|---|---|---|---|---|\n")
	for _, s := range series {
		for _, p := range s.Points {
			fmt.Fprintf(w, "| %s | %d | %v | %.0f | %d |\n", s.Name, p.N, p.Time, p.Bytes, p.Left)
		}
	}
	fmt.Fprintln(w)
	for _, s := range series {
		fmt.Fprintf(w, "- *%s*: %s.\n", s.Name, s.What)
	}
	fmt.Fprint(w, "\nOver many units, of which one in five each ran a statement, the same under one of many locks, in a savepoint, with two hooks, and joined:\n\n")
	for i, where := range []string{"on a database that does nothing", "on PostgreSQL"} {
		first, last := runs[i][0], runs[i][len(runs[i])-1]
		fmt.Fprintf(w, "- %s, the heap in use was %.0f KiB after %d units and %.0f KiB after %d; a unit took %v at first and %v in the end.\n",
			where, float64(first.Heap)/1024, first.Units, float64(last.Heap)/1024, last.Units, first.Time, last.Time)
	}
}

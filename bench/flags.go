package main

import (
	"errors"
	"flag"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/lockstep-go/lockstep/bench/internal/contest"
)

// What is measured where nothing is said.
const (
	allDelays   = "0,200us,1ms"
	allSettings = "off,on"
	fullRounds  = 10
	fullPasses  = 4
	fullSlice   = 25 * time.Millisecond
	fullWindow  = 400 * time.Millisecond
)

// parse reads the command line.
func parse(arguments []string) (*bench, error) {
	b := &bench{began: time.Now()}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	pattern := flags.String("works", ".", "works to measure, a regular expression")
	contestants := flags.String("contestants", ".", "contestants, a regular expression; Lockstep always takes part")
	delays := flags.String("delays", allDelays, "time added to each round trip")
	synchronous := flags.String("synchronous-commit", allSettings, "settings to measure with")
	flags.IntVar(&b.options.Rounds, "rounds", fullRounds, "figures for each contestant, of which the median counts")
	flags.IntVar(&b.options.Passes, "passes", fullPasses, "slices in each round")
	flags.DurationVar(&b.options.Slice, "slice", fullSlice, "time for a contestant before the next has its turn")
	flags.DurationVar(&b.crowd.Window, "window", fullWindow, "time for which a crowd is watched")
	flags.StringVar(&b.json, "json", "", "file to write all figures to")
	flags.StringVar(&b.docs, "docs", "", "document to write the report to, if everything was measured")
	flags.StringVar(&b.plot, "plot", "", "file to write the plot to, as SVG")
	flags.StringVar(&b.render, "render", "", "measure nothing: take the figures from this file")
	flags.StringVar(&b.run.Command, "command", "bench "+strings.Join(arguments, " "), "how the report says it was made")
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	b.run.Complete = *pattern == "." && *contestants == "." && *delays == allDelays && *synchronous == allSettings &&
		b.options.Rounds >= fullRounds && b.options.Passes >= fullPasses && b.options.Slice >= fullSlice && b.crowd.Window >= fullWindow
	b.crowd.Rounds, b.crowd.Settle, b.crowd.Bystanders = b.options.Rounds, b.crowd.Window/4, 2
	if b.options.Rounds < 1 || b.options.Passes < 1 {
		return nil, errors.New("there must be at least one round of one pass")
	}
	return b, errors.Join(b.choose(*pattern, *contestants), b.conditions(*delays, *synchronous))
}

// choose picks works and contestants.
func (b *bench) choose(pattern, contestants string) (err error) {
	if b.contestants, err = regexp.Compile("^" + contest.Lockstep + "$|" + contestants); err != nil {
		return err
	}
	if b.chosen, err = regexp.Compile(pattern); err != nil {
		return err
	}
	for _, w := range works() {
		if b.chosen.MatchString(w.name) {
			b.works = append(b.works, w)
		}
	}
	for _, t := range throngs() {
		if b.chosen.MatchString(t.name) {
			b.throngs = append(b.throngs, t)
		}
	}
	return nil
}

// conditions reads the conditions to measure under.
func (b *bench) conditions(delays, synchronous string) error {
	for _, text := range strings.Split(delays, ",") {
		delay, err := time.ParseDuration(text)
		if err != nil || delay < 0 {
			return fmt.Errorf("-delays: %q is no time", text)
		}
		b.delays = append(b.delays, delay)
	}
	for _, text := range strings.Split(synchronous, ",") {
		if text != "on" && text != "off" {
			return fmt.Errorf("-synchronous-commit: %q is neither on nor off", text)
		}
		b.synchronous = append(b.synchronous, text == "on")
	}
	return nil
}

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/lockstep-go/lockstep/bench/internal/chart"
	"github.com/lockstep-go/lockstep/bench/internal/contest"
	"github.com/lockstep-go/lockstep/bench/internal/race"
	"github.com/lockstep-go/lockstep/bench/internal/results"
)

// report prints the goals and writes what was asked for.
func (b *bench) report() error {
	fmt.Println("goals:")
	for _, g := range b.run.Goals() {
		if !g.Missing {
			fmt.Printf("  %-18s %s: %.3g, wanted %s\n", g.Verdict(), g.Text, g.Measured, g.Bound())
		}
	}
	if b.json != "" {
		text, err := json.MarshalIndent(b.run, "", "\t")
		if err == nil {
			err = os.WriteFile(b.json, text, 0o644)
		}
		if err != nil {
			return err
		}
	}
	if b.docs != "" && !b.run.Complete {
		fmt.Printf("%s is left as it is: not everything was measured\n", b.docs)
		return nil
	}
	return b.publish()
}

// again reports an earlier run.
func (b *bench) again() error {
	text, err := os.ReadFile(b.render)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &b.run); err != nil {
		return err
	}
	return b.report()
}

// publish writes the plot and the document.
func (b *bench) publish() error {
	if b.plot != "" {
		var drawn bytes.Buffer
		if err := chart.Draw(&drawn, &b.run); err != nil {
			return err
		}
		if err := os.WriteFile(b.plot, drawn.Bytes(), 0o644); err != nil {
			return err
		}
	}
	if b.docs == "" {
		return nil
	}
	return results.Publish(b.docs, results.Begin, results.End, func(w *bytes.Buffer) {
		b.run.Markdown(w, filepath.Base(b.plot))
	})
}

// summary is a cell in one line: the time of one operation, and how many times
// longer others need.
func summary(c *results.Cell) string {
	var text strings.Builder
	for _, row := range c.Rows {
		if row.Name == contest.Lockstep {
			fmt.Fprintf(&text, "%.0f µs", race.SpreadOf(row.PerOp).Median/1000)
			continue
		}
		if ratio, ok := c.Ratio(row.Name); ok {
			fmt.Fprintf(&text, "; %s %.2f", row.Name, ratio.Median)
		}
	}
	return text.String()
}

// Package chart draws what a run has measured.
package chart

import (
	"image/color"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/lockstep-go/lockstep/bench/internal/contest"
	"github.com/lockstep-go/lockstep/bench/internal/race"
	"github.com/lockstep-go/lockstep/bench/internal/results"
)

const (
	width  = 26 * vg.Centimeter
	height = 8 * vg.Centimeter // of one chart
)

// colors are those of the contestants, by their order.
func colors() []color.Color {
	return []color.Color{
		color.RGBA{0x1b, 0x9e, 0x77, 255}, color.RGBA{0xd9, 0x5f, 0x02, 255}, color.RGBA{0xfd, 0xb4, 0x62, 255},
		color.RGBA{0x75, 0x70, 0xb3, 255}, color.RGBA{0xe7, 0x29, 0x8a, 255}, color.RGBA{0x66, 0xa6, 0x1e, 255},
		color.RGBA{0xa6, 0x76, 0x1d, 255}, color.RGBA{0x80, 0xb1, 0xd3, 255}, color.RGBA{0x99, 0x99, 0x99, 255},
	}
}

// Draw writes an SVG of a run: for each delay, how many times longer the others
// need than Lockstep, with synchronous_commit off.
func Draw(w io.Writer, r *results.Run) error {
	byDelay := map[time.Duration][]results.Cell{}
	for _, c := range r.Solo {
		if !c.Synchronous {
			byDelay[c.Delay] = append(byDelay[c.Delay], c)
		}
	}
	var plots []*plot.Plot
	for _, delay := range slices.Sorted(maps.Keys(byDelay)) {
		p, err := ratios(delay, byDelay[delay])
		if err != nil {
			return err
		}
		plots = append(plots, p)
	}
	var crowds []results.Crowd
	for _, c := range r.Crowds {
		if !c.Synchronous {
			crowds = append(crowds, c)
		}
	}
	if len(crowds) > 0 {
		p, err := kept(crowds)
		if err != nil {
			return err
		}
		plots = append(plots, p)
	}
	return write(w, plots, 1, width, height)
}

// write draws plots below and beside each other, each of that size.
func write(w io.Writer, plots []*plot.Plot, columns int, width, height vg.Length) error {
	rows := (len(plots) + columns - 1) / columns
	canvas := vgsvg.New(width*vg.Length(columns), height*vg.Length(rows))
	whole := draw.New(canvas)
	tiles := draw.Tiles{Rows: rows, Cols: columns, PadTop: 5, PadBottom: 5, PadLeft: 5, PadRight: 5, PadY: 10, PadX: 10}
	for i, p := range plots {
		p.Draw(tiles.At(whole, i%columns, i/columns))
	}
	_, err := canvas.WriteTo(w)
	return err
}

// ratios has a group of bars for each work.
func ratios(delay time.Duration, cells []results.Cell) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = "Time ÷ Lockstep's, " + results.DelayText(delay) + " added to each round trip (more is slower)"
	p.Y.Min = 0
	names := contest.Names()
	labels := make([]string, len(cells))
	for i, c := range cells {
		labels[i] = strings.ReplaceAll(results.Title(c.Work), " under ", "\nunder ")
	}
	p.NominalX(labels...)
	leaveRoom(p, len(cells))
	for n, name := range names {
		values := make(plotter.Values, len(cells))
		present := false
		for i := range cells {
			if ratio, ok := cells[i].Ratio(name); ok {
				values[i], present = ratio.Median, true
			}
		}
		if err := addBars(p, name, values, n, len(names), present); err != nil {
			return nil, err
		}
	}
	p.Legend.Top = true
	return p, nil
}

// kept has a group of bars for each crowd.
func kept(crowds []results.Crowd) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = "Share of their rate that unrelated units keep beside a crowd, %"
	p.Y.Min, p.Y.Max = 0, 100
	labels := make([]string, len(crowds))
	for i, c := range crowds {
		labels[i] = strings.ReplaceAll(results.Title(c.Work), ", ", "\n") + "\n" + results.DelayText(c.Delay)
	}
	p.NominalX(labels...)
	leaveRoom(p, len(crowds))
	names := []string{contest.Lockstep, contest.SqlxByHand, contest.PgxByHand}
	for n, name := range names {
		values := make(plotter.Values, len(crowds))
		present := false
		for i := range crowds {
			if row := crowds[i].Row(name); row != nil {
				values[i], present = 100*race.SpreadOf(row.Kept).Median, true
			}
		}
		if err := addBars(p, name, values, n, len(names), present); err != nil {
			return nil, err
		}
	}
	p.Legend.Top = true
	return p, nil
}

// leaveRoom makes the axis longer than its groups, for the legend.
func leaveRoom(p *plot.Plot, groups int) {
	p.X.Min, p.X.Max = -0.6, float64(groups)-0.4+0.2*float64(groups)
}

func addBars(p *plot.Plot, name string, values plotter.Values, place, places int, present bool) error {
	if !present {
		return nil
	}
	const bar = 7
	bars, err := plotter.NewBarChart(values, vg.Points(bar))
	if err != nil {
		return err
	}
	bars.LineStyle.Width = 0
	bars.Color = colors()[slices.Index(contest.Names(), name)]
	bars.Offset = vg.Points(bar * (float64(place) - float64(places-1)/2))
	p.Add(bars)
	p.Legend.Add(name, bars)
	return nil
}

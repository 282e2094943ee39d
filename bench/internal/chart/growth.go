package chart

import (
	"io"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/lockstep-go/lockstep/bench/internal/grow"
)

// DrawGrowth writes an SVG of time and memory against size, and of the heap over
// a long run.
func DrawGrowth(w io.Writer, series []grow.Series, samples []grow.Sample) error {
	times, err := against(series, "Microseconds for each, against how many",
		func(p grow.Point) float64 { return float64(p.Time.Nanoseconds()) / 1000 })
	if err != nil {
		return err
	}
	bytes, err := against(series, "Bytes for each, against how many", func(p grow.Point) float64 { return p.Bytes })
	if err != nil {
		return err
	}
	heap := plot.New()
	heap.Title.Text = "KiB in use after so many units"
	heap.Y.Min = 0
	points := make(plotter.XYs, len(samples))
	for i, s := range samples {
		points[i] = plotter.XY{X: float64(s.Units), Y: float64(s.Heap) / 1024}
	}
	line, err := plotter.NewLine(points)
	if err != nil {
		return err
	}
	line.Color = colors()[0]
	heap.Add(line)
	heap.Y.Max = max(heap.Y.Max, 1) * 1.5
	return write(w, []*plot.Plot{times, bytes, heap}, 1, width, height)
}

// against has a line for each series, on logarithmic axes.
func against(series []grow.Series, title string, value func(grow.Point) float64) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = title
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	for i, s := range series {
		points := make(plotter.XYs, len(s.Points))
		for j, point := range s.Points {
			points[j] = plotter.XY{X: float64(point.N), Y: math.Max(value(point), 0.01)}
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, err
		}
		line.Color, dots.Color = colors()[i], colors()[i]
		line.Width = vg.Points(1.5)
		p.Add(line, dots)
		p.Legend.Add(s.Name, line)
	}
	p.Legend.Top = true
	p.X.Max *= 30 // room for the legend
	return p, nil
}

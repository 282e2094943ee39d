package race

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

func TestSpread(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		figures []float64
		want    Spread
	}{
		{nil, Spread{}},
		{[]float64{7}, Spread{7, 7, 7}},
		{[]float64{3, 1, 2}, Spread{1.5, 2, 2.5}},
		{[]float64{5, 1, 4, 2, 3}, Spread{2, 3, 4}},
		{[]float64{4, 1, 3, 2}, Spread{1.75, 2.5, 3.25}},
	} {
		before := slices.Clone(c.figures)
		if got := SpreadOf(c.figures); got != c.want {
			t.Errorf("%v: %v, want %v", c.figures, got, c.want)
		}
		if !slices.Equal(before, c.figures) {
			t.Errorf("%v was changed", before)
		}
	}
	if got := Quantile([]float64{0, 100}, 0.99); got != 99 {
		t.Errorf("the 99th percentile: %v", got)
	}
}

func TestRatiosAreTakenByRound(t *testing.T) {
	t.Parallel()
	if got := Ratios([]float64{2, 7, 9}, []float64{1, 0, 3}); !slices.Equal(got, []float64{2, 3}) {
		t.Errorf("%v", got)
	}
}

// TestRun has two entries that take exactly as long as they say.
func TestRun(t *testing.T) {
	t.Parallel()
	slow, fast := 0, 0
	entry := func(name string, turns *int, each time.Duration) Entry {
		return Entry{Name: name, Run: func(context.Context, time.Duration) (Done, error) {
			*turns++
			return Done{Operations: 10, Elapsed: 10 * each}, nil
		}}
	}
	entries := []Entry{entry("slow", &slow, 2000), entry("fast", &fast, 500)}
	lanes, err := Run(t.Context(), entries, Options{Rounds: 3, Passes: 2, Slice: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if slow != 7 || fast != 7 { // a warm-up, and three rounds of two
		t.Errorf("%d and %d turns", slow, fast)
	}
	for i, want := range []float64{2000, 500} {
		if l := lanes[i]; !slices.Equal(l.PerOp, []float64{want, want, want}) || l.Done != 70 {
			t.Errorf("%+v", l)
		}
	}
}

func TestRunsEnd(t *testing.T) {
	t.Parallel()
	operation := func(_ context.Context, i int) error { return nil }
	for name, run := range map[string]func(context.Context, time.Duration) (Done, error){
		"alone": Alone(operation), "together": Together(4, operation),
	} {
		done, err := run(t.Context(), time.Millisecond)
		if err != nil || done.Operations == 0 || done.Elapsed < time.Millisecond {
			t.Errorf("%s: %+v, %v", name, done, err)
		}
	}
	failure := errors.New("failure")
	failing := func(context.Context, int) error { return failure }
	for name, run := range map[string]func(context.Context, time.Duration) (Done, error){
		"alone": Alone(failing), "together": Together(4, failing),
	} {
		if _, err := run(t.Context(), time.Hour); !errors.Is(err, failure) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

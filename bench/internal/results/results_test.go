package results

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-go/lockstep/bench/internal/contest"
)

func sample() *Run {
	return &Run{Solo: []Cell{{Work: "save", Delay: time.Millisecond, Rows: []Row{
		{Name: contest.Lockstep, RoundTrips: 2, PerOp: []float64{100, 200, 400}},
		{Name: contest.SqlxByHand, RoundTrips: 3, PerOp: []float64{150, 280, 400}},
		{Name: contest.Gorm, RoundTrips: 3, PerOp: []float64{50, 100, 200}},
	}}}}
}

// goal finds the goal of a run whose text begins so.
func goal(t *testing.T, r *Run, text string) Goal {
	t.Helper()
	for _, g := range r.Goals() {
		if strings.HasPrefix(g.Text, text) {
			return g
		}
	}
	t.Fatalf("no goal %q", text)
	return Goal{}
}

func TestGoals(t *testing.T) {
	t.Parallel()
	r := sample()
	met := goal(t, r, "Save one row at 1 ms: time of sqlx by hand")
	if met.Measured != 1.4 || met.Limit != 1.5 || met.Verdict() != "met" {
		t.Errorf("%+v: %s", met, met.Verdict())
	}
	if g := goal(t, r, "Save one row at 1 ms: time of pgxpool"); !g.Missing || g.Verdict() != "not measured" {
		t.Errorf("%+v: %s", g, g.Verdict())
	}
	if g := goal(t, r, "the worst row against gorm"); g.Measured != 0.5 || g.Verdict() != "missed by 50 %" {
		t.Errorf("%+v: %s", g, g.Verdict())
	}
	if g := (Goal{Want: 1.3, Measured: 1.299}); g.Verdict() != "missed by less than 1 %" {
		t.Error(g.Verdict())
	}
	high := Goal{Want: 300, AtMost: true, Measured: 330}
	if high.Verdict() != "missed by 10 %" || high.Bound() != "≤ 300" {
		t.Errorf("%s, %s", high.Verdict(), high.Bound())
	}
}

func TestPublish(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "report.md")
	put := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("before\n" + Begin + "\nold\n" + End + "\nafter\n")
	if err := Publish(path, Begin, End, func(w *bytes.Buffer) { sample().Markdown(w, "plot.svg") }); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(got)
	for _, want := range []string{"before\n" + Begin + "\n", End + "\nafter\n", "| sqlx by hand | 3 | 0 µs, × 1.40 (1.20–1.45) |", "(plot.svg)"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "old") {
		t.Error("the old report is still there")
	}
	put("no marks")
	if err := Publish(path, Begin, End, func(*bytes.Buffer) {}); err == nil {
		t.Error("a document without marks was written to")
	}
}

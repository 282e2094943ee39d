package chaos

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lockstep-go/lockstep/integration/servers"
	"github.com/lockstep-go/lockstep/integration/servers/serverstest"
)

func TestMain(m *testing.M) {
	Worker()
	os.Exit(m.Run())
}

// Variables that change what the tests run.
const (
	durationVariable = "LOCKSTEP_CHAOS_DURATION"
	seedVariable     = "LOCKSTEP_CHAOS_SEED"
)

// seed is fixed, so that continuous integration runs the same units every time.
const seed = 20261122

func TestFaults(t *testing.T) { stageTest(t, StageFaults, 45*time.Second) }

func TestFailoverSynchronous(t *testing.T) { stageTest(t, StageFailoverSync, 10*time.Second) }

func TestFailoverAsynchronous(t *testing.T) { stageTest(t, StageFailoverAsync, 10*time.Second) }

func TestPgBouncerRestart(t *testing.T) { stageTest(t, StagePgBouncer, 10*time.Second) }

// TestMSSQLSimulator says nothing of SQL Server itself.
func TestMSSQLSimulator(t *testing.T) { stageTest(t, StageMSSQL, 10*time.Second) }

func TestSQLite(t *testing.T) { stageTest(t, StageSQLite, 10*time.Second) }

// sparse are the stages that load the machine by their servers alone.
func sparse(stage string) bool {
	return stage == StageFailoverSync || stage == StageFailoverAsync || stage == StagePgBouncer
}

// families are faults of which a run that is long enough meets one of each group,
// however slow the machine is.
func families(stage string, duration time.Duration) [][]string {
	processes := []string{faultKill, faultKillAtCommit, faultFreeze}
	wire := []string{
		faultCut, faultHalfCut, faultSilence, faultCommitUnsent, faultCommitLost, faultCommitSilent, faultLockLost, faultStall, faultRefuse,
	}
	sessions := []string{faultTerminate, faultInterrupt}
	switch {
	case stage == StageFailoverSync || stage == StageFailoverAsync:
		return [][]string{{faultFailover}}
	case stage == StagePgBouncer:
		return [][]string{{faultPooler}}
	case stage == StageSQLite && duration >= 4*time.Second:
		return [][]string{processes}
	case stage == StageSQLite || duration < 10*time.Second:
		return nil
	case duration < 30*time.Second:
		return [][]string{processes, slices.Concat(wire, sessions)}
	}
	return [][]string{processes, wire, sessions}
}

func TestIdle(t *testing.T) {
	for name, c := range map[string]Config{
		"no workers":        {Workers: 0, Duration: time.Second},
		"less than none":    {Workers: -1, Duration: time.Second},
		"no time":           {Workers: 1},
		"time running back": {Workers: 1, Duration: -time.Second},
	} {
		c.Stage, c.Out = StageSQLite, io.Discard
		if report, err := Run(t.Context(), c); err == nil || report != nil {
			t.Errorf("%s: report %v, error %v", name, report, err)
		}
	}
	turned := &stage{nemeses: hardProcessNemeses(), turn: restartPooler}
	one := func(kind string) map[string]int { return map[string]int{kind: 1} }
	for name, r := range map[string]*Report{
		"nothing committed":       {Units: 3, Faults: 1, Injected: one(faultKill), After: 1},
		"no fault":                {Committed: 1, After: 1},
		"none but the units' own": {Committed: 1, Faults: 1, Injected: one(faultCancelContext), After: 1},
		"nothing after the turn":  {Committed: 1, Faults: 1, Injected: one(faultKill)},
	} {
		if err := r.checkIdle(turned); !errors.Is(err, ErrIdle) {
			t.Errorf("%s: %v", name, err)
		}
	}
	full := &Report{Committed: 1, Faults: 1, Injected: one(faultKill), After: 1}
	if err := full.checkIdle(turned); err != nil {
		t.Error(err)
	}
	if err := (&Report{Committed: 1}).checkIdle(&stage{}); err != nil {
		t.Errorf("a calm run: %v", err)
	}
}

// stageTest makes a run and prints its tables. It is skipped where the servers'
// programs are missing.
func stageTest(t *testing.T, stage string, duration time.Duration) {
	before := goleak.IgnoreCurrent()
	c := Config{Stage: stage, Duration: duration, Seed: seed, Workers: DefaultWorkers, Sparse: sparse(stage)}
	if testing.Short() {
		c.Duration = min(duration, 10*time.Second)
		if stage == StageMSSQL || stage == StageSQLite {
			c.Duration = 4 * time.Second
		}
	}
	if text := os.Getenv(durationVariable); text != "" {
		var err error
		if c.Duration, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		if c.Seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	var printed bytes.Buffer
	c.Out = &printed
	report, err := Run(t.Context(), c)
	if servers.MaySkip(err, servers.RequirePostgres, servers.RequirePgBouncer) {
		t.Skip(servers.OneLine(err))
	}
	if err != nil {
		t.Fatal(err)
	}
	report.Print(&printed)
	t.Log(printed.String())
	if len(report.Breaches) > 0 {
		t.Errorf("%d promises were found broken", len(report.Breaches))
	}
	for _, family := range families(stage, c.Duration) {
		if !slices.ContainsFunc(family, func(kind string) bool { return report.Injected[kind] > 0 }) {
			t.Errorf("none of these faults was injected: %q", family)
		}
	}
	if err := serverstest.FindLeaks(before); err != nil {
		t.Error(err)
	}
}

package postgres

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-go/lockstep/dialect"
)

const (
	keyOfA  = "'-3848465438864589366'::bigint"
	pairOfA = "'-896040686'::int,'-904151606'::int"
)

func lockA(mode dialect.Mode, limit time.Duration) dialect.Lock {
	return dialect.Lock{Name: "a", Mode: mode, Limit: limit}
}

func TestCalls(t *testing.T) {
	t.Parallel()
	for mode, want := range map[dialect.Mode][]string{
		dialect.Shared:    {"pg_catalog.pg_advisory_xact_lock_shared(" + keyOfA + ")"},
		dialect.Update:    {"pg_catalog.pg_advisory_xact_lock(" + pairOfA + ")", "pg_catalog.pg_advisory_xact_lock_shared(" + keyOfA + ")"},
		dialect.Exclusive: {"pg_catalog.pg_advisory_xact_lock(" + keyOfA + ")"},
	} {
		if got := byTransaction.calls(lockA(mode, dialect.Forever)); !slices.Equal(got, want) {
			t.Errorf("%v: %q, want %q", mode, got, want)
		}
	}
	got := allCalls(sessionUnlock, []dialect.Lock{lockA(dialect.Update, 0), lockA(dialect.Exclusive, 0)})
	want := []string{
		"pg_catalog.pg_advisory_unlock(" + pairOfA + ")",
		"pg_catalog.pg_advisory_unlock_shared(" + keyOfA + ")",
		"pg_catalog.pg_advisory_unlock(" + keyOfA + ")",
	}
	if !slices.Equal(got, want) {
		t.Errorf("unlocks: %q, want %q", got, want)
	}
}

// shape names each statement of a script, and the lock that it takes.
func shape(s script) string {
	var b strings.Builder
	for i, statement := range s.statements {
		switch {
		case strings.Contains(statement, "'lock_timeout','0'"):
			b.WriteString("lift ")
		case strings.Contains(statement, "set_config('lock_timeout'"):
			b.WriteString("limit ")
		case s.locks[i] >= 0:
			b.WriteString("lock" + string(rune('0'+s.locks[i])) + " ")
		default:
			b.WriteString("other ")
		}
	}
	return strings.TrimSpace(b.String())
}

func TestTakeLimitsEachLock(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		limits []time.Duration
		modes  []dialect.Mode
		want   string
	}{
		{[]time.Duration{-1, -1}, []dialect.Mode{dialect.Exclusive, dialect.Update}, "lock0 lock1 lock1"},
		{[]time.Duration{time.Second}, []dialect.Mode{dialect.Exclusive}, "limit lock0"},
		{[]time.Duration{0}, []dialect.Mode{dialect.Shared}, "limit lock0"},
		{[]time.Duration{time.Second, -1, 0}, []dialect.Mode{dialect.Shared, dialect.Shared, dialect.Shared}, "limit lock0 lift lock1 limit lock2"},
		{[]time.Duration{time.Second, time.Second}, []dialect.Mode{dialect.Shared, dialect.Shared}, "limit lock0 limit lock1"},
		// Both keys of an Update share its one limit.
		{[]time.Duration{time.Second}, []dialect.Mode{dialect.Update}, "limit lock0 limit lock0"},
	} {
		var s script
		var locks []dialect.Lock
		for i := range c.limits {
			locks = append(locks, lockA(c.modes[i], c.limits[i]))
		}
		s.take(byTransaction, locks)
		if got := shape(s); got != c.want {
			t.Errorf("%v %v: %s, want %s", c.modes, c.limits, got, c.want)
		}
	}
}

func TestScriptBlamesTheLock(t *testing.T) {
	t.Parallel()
	var s script
	s.add("begin", "save")
	s.take(byTransaction, []dialect.Lock{lockA(dialect.Update, dialect.Forever), lockA(dialect.Shared, dialect.Forever)})
	s.add("restore")
	if got := s.first(); got != 2 {
		t.Errorf("first lock at %d, want 2", got)
	}
	failed := []int{-1, -1, 0, 0, 1, -1, -1}
	for completed := range failed {
		if got := s.failed(completed); got != failed[completed] {
			t.Errorf("after %d statements lock %d failed, want %d", completed, got, failed[completed])
		}
	}
}

func TestAttempt(t *testing.T) {
	t.Parallel()
	got := attempt([]dialect.Lock{lockA(dialect.Exclusive, 0), lockA(dialect.Update, 0)})
	want := "select case when not pg_catalog.pg_try_advisory_xact_lock(" + keyOfA + ") then 0" +
		" when not pg_catalog.pg_try_advisory_xact_lock(" + pairOfA + ") then 1" +
		" when not pg_catalog.pg_try_advisory_xact_lock_shared(" + keyOfA + ") then 1 else -1 end"
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestLimitMillis(t *testing.T) {
	t.Parallel()
	for limit, want := range map[time.Duration]int64{
		0: 1, 1: 1, time.Microsecond: 1, time.Millisecond: 1, time.Millisecond + 1: 2, time.Second: 1000,
		24 * time.Hour: 86_400_000, 25 * 24 * time.Hour: math.MaxInt32, math.MaxInt64 - time.Hour: math.MaxInt32,
		math.MaxInt64: math.MaxInt32,
	} {
		if got := limitMillis(limit); got != want {
			t.Errorf("limitMillis(%v) = %d, want %d", limit, got, want)
		}
	}
}

func TestImmediateAndLimited(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		limits             []time.Duration
		immediate, limited bool
	}{
		{[]time.Duration{0, 0}, true, true},
		{[]time.Duration{0, 1}, false, true},
		{[]time.Duration{0, dialect.Forever}, false, true},
		{[]time.Duration{dialect.Forever}, false, false},
	} {
		var locks []dialect.Lock
		for _, limit := range c.limits {
			locks = append(locks, lockA(dialect.Shared, limit))
		}
		if immediate(locks) != c.immediate || limited(locks) != c.limited {
			t.Errorf("%v: immediate %v, limited %v", c.limits, immediate(locks), limited(locks))
		}
	}
}

func TestLiteral(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"deploy 7": `E'deploy 7'`, `it's`: `E'it''s'`, `a\b`: `E'a\\b'`, `\'; drop table item; --`: `E'\\''; drop table item; --'`,
	} {
		if got := literal(text); got != want {
			t.Errorf("literal(%q) = %s, want %s", text, got, want)
		}
	}
}

func TestUnlockStatements(t *testing.T) {
	t.Parallel()
	got := unlockStatements([]dialect.Lock{lockA(dialect.Shared, 0)})
	want := []string{"rollback and chain", "select pg_catalog.pg_advisory_unlock_shared(" + keyOfA + ")", "rollback"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

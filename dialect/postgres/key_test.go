package postgres

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// TestKeyVectors holds the published test vectors: programs in other languages
// compute the same keys.
func TestKeyVectors(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int64{
		"a":                  -3848465438864589366,
		"tenant:42":          5430573854015355007,
		"tenant:42:upgrade":  3028329767655481054,
		"ä":                  3739913210162221132,
		"🔒":                  7701668758205862634,
		`back\slash 'quote'`: 2940954256212528018,
	} {
		if got := Key(name); got != want {
			t.Errorf("Key(%q) = %d, want %d", name, got, want)
		}
	}
}

func TestKeysDiffer(t *testing.T) {
	t.Parallel()
	seen := make(map[int64]string)
	add := func(name string) {
		if other, ok := seen[Key(name)]; ok && other != name {
			t.Errorf("%q and %q have one key", name, other)
		}
		seen[Key(name)] = name
	}
	for i := range 100_000 {
		add(fmt.Sprint("tenant:", i))
	}
	for _, name := range []string{"a", "A", "a ", " a", "a\n", "ä", "a\u0308", strings.Repeat("x", 300) + "1", strings.Repeat("x", 300) + "2"} {
		add(name)
	}
}

func TestKeyLiterals(t *testing.T) {
	t.Parallel()
	for key, want := range map[int64][2]string{
		0:                  {"'0'::bigint", "'0'::int,'0'::int"},
		-1:                 {"'-1'::bigint", "'-1'::int,'-1'::int"},
		1<<32 + 2:          {"'4294967298'::bigint", "'1'::int,'2'::int"},
		math.MaxInt64:      {"'9223372036854775807'::bigint", "'2147483647'::int,'-1'::int"},
		math.MinInt64:      {"'-9223372036854775808'::bigint", "'-2147483648'::int,'0'::int"},
		0x0000000180000000: {"'6442450944'::bigint", "'1'::int,'-2147483648'::int"},
	} {
		if got := [2]string{keyLiteral(key), pairLiteral(key)}; got != want {
			t.Errorf("literals of %d: %q, want %q", key, got, want)
		}
	}
}

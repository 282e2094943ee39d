package sqltext

import "testing"

func TestBlockComment(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"":                   0,
		"a /* b */":          0,
		"/**/":               4,
		"/* a */ b":          7,
		"/* a /* b */ c */d": 17,
		"/* a /* b */ c":     14,
		"/*/":                3,
	} {
		if got := BlockComment(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func TestThrough(t *testing.T) {
	t.Parallel()
	if got := Through("ab'cd", "'"); got != 3 {
		t.Errorf("%d", got)
	}
	if got := Through("ab", "'"); got != 2 {
		t.Errorf("%d", got)
	}
}

func TestWordSet(t *testing.T) {
	t.Parallel()
	set := WordSet(" a\n\tb a")
	if len(set) != 2 || !set["a"] || !set["b"] {
		t.Errorf("%v", set)
	}
}

package mssql

import (
	"strings"
	"testing"
	"unicode/utf16"
)

func TestResource(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 256)
	for name, want := range map[string]string{
		"tenant:42":                       "tenant:42",
		"trailing ":                       "trailing ",
		strings.Repeat("x", 255):          strings.Repeat("x", 255),
		strings.Repeat("\U0001F512", 127): strings.Repeat("\U0001F512", 127),
		long:                              "xxxxxxxxxxx~qxtcvtlvbrhlk233niownxffx6vml4dcmcfbvcjucdicrcjwycna",
	} {
		if got := Resource(name); got != want {
			t.Errorf("%.20q (%d): %q", name, len(name), got)
		}
	}
	seen := make(map[string]bool)
	for i := range 300 {
		for _, tail := range []string{"", "a", "b"} {
			name := strings.Repeat("\U0001F512", i) + tail
			r := Resource(name)
			if seen[r] || len(utf16.Encode([]rune(r))) > maxResource || strings.ContainsRune(r, '\uFFFD') {
				t.Errorf("%d characters and %q: %q", i, tail, r)
			}
			seen[r] = true
		}
	}
}

func TestLiteral(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"tenant:42":  "N'tenant:42'",
		"it's":       "CAST(0x6900740027007300 AS nvarchar(255))",
		"a\\\nb":     "CAST(0x61005c000a006200 AS nvarchar(255))",
		"\U0001F512": "CAST(0x3dd812dd AS nvarchar(255))",
	} {
		if got := literal(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestVisible(t *testing.T) {
	t.Parallel()
	if got := visible(strings.Repeat("ab", 40)); got != strings.Repeat("ab", 16) {
		t.Errorf("%q", got)
	}
	if got := visible("short"); got != "short" {
		t.Errorf("%q", got)
	}
}

func TestQuoteTable(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"outcome":         "[outcome]",
		"dbo.outcome":     "[dbo].[outcome]",
		"[dbo].[outcome]": "[dbo].[outcome]",
		"a.b.c":           "",
		"":                "",
		"dbo.":            "",
		"x];drop table y": "",
	} {
		got, err := quoteTable(name)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
}

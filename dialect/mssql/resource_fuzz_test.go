package mssql

import (
	"encoding/hex"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/internal/tdstest/engine/tsql"
)

func units(s string) int { return len(utf16.Encode([]rune(s))) }

// FuzzResource looks for two names with one resource, and for resources that
// the server would cut.
func FuzzResource(f *testing.F) {
	long := strings.Repeat("x", 300)
	f.Add("tenant:42", "tenant:42 ")
	f.Add(long, long+"y")
	f.Add(strings.Repeat("é", 255), strings.Repeat("é", 256))
	f.Add(strings.Repeat("x", 10)+strings.Repeat("🔒", 150), strings.Repeat("🔒", 127)+"x")
	f.Add(strings.Repeat("🔒", 128), "\ufffd")
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, name := range []string{a, b} {
			if !utf8.ValidString(name) {
				t.Skip("no name")
			}
			r := Resource(name)
			switch fits := units(name) <= 255; {
			case !utf8.ValidString(r) || units(r) > 255:
				t.Errorf("%q has the resource %q", name, r)
			case fits && r != name:
				t.Errorf("%q fits, and has the resource %q", name, r)
			case !fits && !strings.HasPrefix(name, r[:strings.LastIndexByte(r, '~')]):
				t.Errorf("%q does not begin as its resource %q", name, r)
			}
		}
		// A short name made of a long one's hash is the same lock: that makes them
		// wait for each other, and nothing else.
		made := units(a) > 255 && Resource(a) == b || units(b) > 255 && Resource(b) == a
		if a != b && Resource(a) == Resource(b) && !made {
			t.Errorf("%q and %q have one resource", a, b)
		}
	})
}

var (
	plainText = regexp.MustCompile(`^N'([ -&(-\[\]-~]*)'$`)
	asHex     = regexp.MustCompile(`^CAST\(0x((?:[0-9a-f]{4})*) AS nvarchar\(255\)\)$`)
)

// FuzzLiteral holds the writing of names in statements against a reader.
func FuzzLiteral(f *testing.F) {
	for _, text := range []string{"", "orders", "it's", "a\\\nb", "🔒", "\x00", "\x7f", "'); shutdown; --"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			t.Skip("no name")
		}
		written := literal(text)
		if m := plainText.FindStringSubmatch(written); m != nil {
			if m[1] != text {
				t.Errorf("%q is written %s", text, written)
			}
			return
		}
		m := asHex.FindStringSubmatch(written)
		if m == nil {
			t.Fatalf("%q is written %s", text, written)
		}
		bytes, err := hex.DecodeString(m[1])
		if err != nil {
			t.Fatal(err)
		}
		var read []uint16
		for i := 0; i < len(bytes); i += 2 {
			read = append(read, uint16(bytes[i])|uint16(bytes[i+1])<<8)
		}
		if string(utf16.Decode(read)) != text {
			t.Errorf("%q is written %s", text, written)
		}
	})
}

// FuzzLockBatch looks for a name or a label that changes what a lock batch does.
func FuzzLockBatch(f *testing.F) {
	f.Add("orders", "label", int64(time.Second))
	f.Add("'; DROP TABLE item; --", "'; COMMIT; --", int64(-1))
	f.Add("a\\\n'", "0x; SHUTDOWN", int64(0))
	f.Fuzz(func(t *testing.T, name, label string, limit int64) {
		if name == "" || label == "" || !utf8.ValidString(name) || strings.Contains(name, "\x00") {
			t.Skip("refused before")
		}
		want, got := shape(t, "x", "x", limit), shape(t, name, label, limit)
		if want != got {
			t.Errorf("name %q and label %q make %s\nand not %s", name, label, got, want)
		}
	})
}

// quotedOrHex are the literals of a batch.
var quotedOrHex = regexp.MustCompile(`CAST\(0x[0-9a-f]* AS nvarchar\(255\)\)|N'[^']*'|0x[0-9a-f]*`)

// shape returns a lock batch without its literals. It must parse.
func shape(t *testing.T, name, label string, limit int64) string {
	t.Helper()
	locks := []dialect.Lock{
		{Name: name, Mode: dialect.Shared, Limit: max(time.Duration(limit), dialect.Forever)},
		{Name: name + "2", Mode: dialect.Exclusive, Limit: max(time.Duration(limit), dialect.Forever)},
	}
	var b strings.Builder
	b.WriteString("DECLARE @r int=0,@i int=0,@s varchar(max)='',@t datetime2=SYSUTCDATETIME(),@l int;" + labelStatement(label))
	for i, l := range locks {
		writeLock(&b, i, l)
	}
	writeRelease(&b, locks)
	if _, err := tsql.Parse(b.String()); err != nil {
		t.Fatalf("%v:\n%s", err, b.String())
	}
	return quotedOrHex.ReplaceAllString(b.String(), "?")
}

var tableName = regexp.MustCompile(`^\[[^\[\]\x00]{1,128}\](\.\[[^\[\]\x00]{1,128}\])?$`)

// FuzzTableName looks for the name of an outcome table that is more than a name.
func FuzzTableName(f *testing.F) {
	for _, name := range []string{"", "outcomes", "dbo.outcomes", "[dbo].[a b]", "a.b.c", "x]; drop table y; --", "[]", "."} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		table, err := quoteTable(name)
		if err == nil && !tableName.MatchString(table) {
			t.Errorf("%q became %q", name, table)
		}
	})
}

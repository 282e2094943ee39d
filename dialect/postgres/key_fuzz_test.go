package postgres

import (
	"crypto/sha256"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-go/lockstep/dialect"
)

// keyByHand is the key of a name in other words: the first sixteen hexadecimal
// digits of its hash as a number of 64 bits and a sign.
func keyByHand(name string) string {
	digits := fmt.Sprintf("%x", sha256.Sum256([]byte(name)))[:16]
	n, _ := new(big.Int).SetString(digits, 16)
	if n.Bit(63) == 1 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), 64))
	}
	return n.String()
}

// FuzzKey holds keys, and how they are written in statements, against another
// way to work them out.
func FuzzKey(f *testing.F) {
	for _, name := range []string{"", "tenant:42", "\x00", "🔒", strings.Repeat("long", 100)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		want := keyByHand(name)
		if got := strconv.FormatInt(Key(name), 10); got != want {
			t.Errorf("key of %q is %s, want %s", name, got, want)
		}
		if got := keyLiteral(Key(name)); got != "'"+want+"'::bigint" {
			t.Errorf("key of %q is written %s", name, got)
		}
		var high, low int64
		if _, err := fmt.Sscanf(pairLiteral(Key(name)), "'%d'::int,'%d'::int", &high, &low); err != nil {
			t.Fatal(err)
		}
		if got := strconv.FormatInt(high<<32+int64(uint32(low)), 10); got != want || high != int64(int32(high)) || low != int64(int32(low)) {
			t.Errorf("halves of %q are %d and %d", name, high, low)
		}
	})
}

// FuzzLiteral holds the quoting of text against a reader of E'…'.
func FuzzLiteral(f *testing.F) {
	for _, text := range []string{"", "orders", `a'b`, `a\`, `\'`, `'||pg_sleep(9)||'`, "\n", "é"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		read, rest, ok := readLiteral(literal(text))
		if !ok || rest != "" || read != text {
			t.Errorf("%q is written %s, which reads %q and then %q", text, literal(text), read, rest)
		}
	})
}

// readLiteral reads a literal of the form E'…' as PostgreSQL does, save for the
// escapes that literal never writes. It returns what follows the literal.
func readLiteral(s string) (text, rest string, ok bool) {
	s, ok = strings.CutPrefix(s, "E'")
	var b strings.Builder
	for i := 0; ok && i < len(s); i++ {
		switch next := s[min(i+1, len(s)-1)]; {
		case s[i] == '\\' && next != '\\' && next != '\'':
			return "", "", false
		case s[i] == '\\', s[i] == '\'' && next == '\'' && i+1 < len(s):
			b.WriteByte(next)
			i++
		case s[i] == '\'':
			return b.String(), s[i+1:], true
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", false
}

// FuzzLockStatements looks for a name or a label that changes what the
// statements around it do: with any other, their text outside of literals must
// be the same.
func FuzzLockStatements(f *testing.F) {
	f.Add("orders", "stock", "label", int64(5))
	f.Add("'; drop table item; --", `\'; select 1; --`, "a'; commit; --", int64(-1))
	f.Add("$$", "/*", `E'\`, int64(0))
	f.Fuzz(func(t *testing.T, name, other, label string, limit int64) {
		if label == "" {
			label = "x"
		}
		if limit < 0 {
			limit = int64(dialect.Forever)
		}
		want := outsideLiterals(t, lockStatements("a", "b", "c", time.Duration(limit)))
		if got := outsideLiterals(t, lockStatements(name, other, label, time.Duration(limit))); got != want {
			t.Errorf("names %q and %q, label %q:\n%s\nwant\n%s", name, other, label, got, want)
		}
	})
}

func lockStatements(name, other, label string, limit time.Duration) string {
	locks := []dialect.Lock{
		{Name: name, Mode: dialect.Exclusive, Limit: limit},
		{Name: other, Mode: dialect.Update, Limit: limit},
	}
	var s script
	s.add((opening{label: label, idle: true}).settings()...)
	s.add(saveLimits, liftLimits)
	s.take(bySession, locks)
	s.add(attempt(locks), probe(locks[0]), holdersStatement(locks[1]))
	s.add(unlockStatements(locks)...)
	return strings.Join(s.statements, ";")
}

// outsideLiterals returns the text with each literal replaced by a question
// mark. It fails where one does not end.
func outsideLiterals(t *testing.T, text string) string {
	t.Helper()
	var b strings.Builder
	for {
		i := strings.IndexByte(text, '\'')
		if i < 0 {
			return b.String() + text
		}
		escaped := i > 0 && text[i-1] == 'E'
		b.WriteString(text[:i] + "?")
		if !escaped {
			_, after, ok := strings.Cut(text[i+1:], "'")
			if !ok {
				t.Fatalf("a literal does not end: %s", text[i:])
			}
			text = after
			continue
		}
		_, rest, ok := readLiteral(text[i-1:])
		if !ok {
			t.Fatalf("a literal does not end: %s", text[i:])
		}
		text = rest
	}
}

package postgres

import (
	"strings"
	"testing"
)

// pieces are parts of a statement, whose first one may end the transaction.
var pieces = []struct {
	text string
	ends bool
}{
	{"commit", true}, {"ROLLBACK to savepoint x", true}, {"End", true}, {"abort work", true}, {"prepare transaction 'x'", true},
	{"select 1", false}, {"update item set n=2", false}, {"'commit'", false}, {"$$;commit$$", false}, {`"commit"`, false},
	{"$a$';rollback;$a$", false}, {"savepoint x", false}, {"commits", false}, {"E'\\';commit;'", false}, {"(commit)", false},
	{"x.commit", false}, {"insert into t values (';')", false},
}

var spaces = []string{"", " ", "\n", "/*commit;*/", "--;rollback\n", "/*/*;*/commit;*/", "\t\v", ";", "; ;"}

// FuzzEndsTransaction puts statements together from known pieces: those that
// begin with one that ends the transaction, and no others, must be seen.
func FuzzEndsTransaction(f *testing.F) {
	f.Add([]byte{0, 0})
	f.Add([]byte{5, 7, 3, 0})
	f.Add([]byte{0, 13, 7, 8, 1, 1, 6, 3})
	f.Add([]byte{4, 9, 5, 10, 7, 4})
	f.Fuzz(func(t *testing.T, choices []byte) {
		var b strings.Builder
		first, ends := true, false
		for i, c := range choices {
			if i%2 == 0 {
				space := spaces[int(c)%len(spaces)]
				first = first || strings.HasPrefix(space, ";")
				if !first && space == "" {
					space = " "
				}
				b.WriteString(space)
				continue
			}
			piece := pieces[int(c)%len(pieces)]
			if first && (strings.ContainsAny(piece.text[:1], `'$"(`) || strings.HasPrefix(piece.text, "E'")) {
				b.WriteString("select ") // no statement begins with these
			}
			ends = ends || first && piece.ends
			b.WriteString(piece.text)
			first = false
		}
		if got := endsTransaction(b.String()); got != ends && !(got && strings.Contains(b.String(), `\`)) {
			t.Errorf("%q ends the transaction: %t, want %t", b.String(), got, ends)
		}
	})
}

// FuzzStatement looks for a text on which a reader of statements does not come
// to an end, or that hides what stands before it.
func FuzzStatement(f *testing.F) {
	for _, q := range []string{"", "select 1", "with x as (insert into t values (1)) select", "/*", "--", "'", "E'\\", "$a$", "\"", "copy t from stdin", "begin atomic"} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, query string) {
		_, _ = copiesFromClient(query), lifts(query)
		_ = endsTransaction(query)
		for _, before := range []string{"commit;", "/*x*/rollback to a;", "'a';end;", "select $$x$$;abort;"} {
			if !endsTransaction(before + query) {
				t.Errorf("%q is not seen to end the transaction", before+query)
			}
		}
		if effectOf("insert into t values (1);"+query) != writes {
			t.Errorf("an insert before %q is not seen to write", query)
		}
	})
}

package postgres

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/lockstep-go/lockstep/internal/sqltext"
)

// effect is what a statement's text says about writing.
type effect int

const (
	reads    effect = iota // it cannot write
	mayWrite               // it calls something that could
	writes                 // it is made to write
)

// Words that begin a statement that only reads, and words of SQL and harmless
// functions that stand before a parenthesis. A word that is missing here costs
// one question to the server, never the truth.
var (
	readingVerbs = sqltext.WordSet("select with values table show set reset savepoint release close lock")
	writingVerbs = sqltext.WordSet("insert update delete merge truncate copy call do create alter drop")
	// Inside a statement: WITH, SELECT INTO, and FOR UPDATE, which assigns an id too.
	writingWords = sqltext.WordSet("insert update delete merge into")
	harmless     = sqltext.WordSet(`select from where and or not in any all some exists values as on using join over filter within group by having
		case when then else limit offset union intersect except array row distinct is null between like ilike
		count sum avg min max coalesce nullif greatest least now lower upper length char_length trim substring position extract
		date_trunc to_char abs round ceil floor random array_agg string_agg json_agg jsonb_agg json_build_object jsonb_build_object
		unnest generate_series row_number rank dense_rank lag lead first_value last_value current_setting
		cast numeric varchar char decimal interval materialized lateral concat concat_ws md5 encode decode sha256
		pg_sleep pg_backend_pid txid_current_if_assigned pg_current_xact_id_if_assigned`)
)

// effectOf looks at the words of a statement outside its literals, quoted
// identifiers and comments.
func effectOf(query string) effect {
	first, result := true, reads
	if strings.Contains(query, `\`) {
		result = mayWrite // where a literal ends depends on settings
	}
	scanWords(query, func(word string, called bool) bool {
		switch {
		case first && writingVerbs[word], !first && writingWords[word]:
			result = writes
		case first && !readingVerbs[word]:
			result = max(result, mayWrite)
		case called && !harmless[word]:
			result = max(result, mayWrite)
		}
		first = false
		return result != writes
	})
	if first {
		return mayWrite // no text to judge by
	}
	return result
}

// controlVerbs begin statements that end the transaction they are sent in, or
// undo a part of it.
var controlVerbs = sqltext.WordSet("commit end abort rollback")

// endsTransaction reports whether one of the statements in query ends the
// transaction or rolls back to a savepoint. Where a literal with backslashes
// ends depends on settings: both readings are tried.
func endsTransaction(query string) bool {
	return findsControl(query, false) || strings.Contains(query, `\`) && findsControl(query, true)
}

func findsControl(query string, escapes bool) bool {
	single := !strings.Contains(query, ";")
	var verb, previous string
	first, found, done := true, false, false
	scanTokens(query, escapes, func(word string, _ bool) bool {
		switch {
		case word == ";":
			first = true
			return true
		case first:
			verb = word
			found = controlVerbs[word]
		case previous == "prepare" && verb == "prepare" && word == "transaction":
			found = true
		case verb == "create" && word == "atomic":
			done = true // the body of an SQL function has statements of its own
		}
		first, previous = false, word
		return !found && !done && (!single || word == "prepare")
	})
	return found
}

// lifts reports a statement that may let a read-only transaction write.
func lifts(query string) bool {
	text := strings.ToLower(query)
	if strings.Contains(text, "transaction_read_only") && (strings.Contains(text, "set_config") || strings.Contains(text, "set ")) {
		return true
	}
	verb, previous, found := "", "", false
	scanTokens(query, false, func(word string, _ bool) bool {
		switch {
		case word == ";":
			verb, previous = "", ""
			return true
		case verb == "":
			verb = word
		}
		found = verb == "set" && previous == "read" && word == "write"
		previous = word
		return !found
	})
	return found
}

// copiesFromClient reports a COPY that waits for data which no statement brings.
func copiesFromClient(query string) bool {
	if !strings.Contains(strings.ToLower(query), "stdin") {
		return false
	}
	first, copies, from, found := true, false, false, false
	scanTokens(query, false, func(word string, _ bool) bool {
		switch {
		case word == ";":
			first = true
			return true
		case first:
			copies = word == "copy"
		case copies && from && word == "stdin":
			found = true
		}
		first, from = false, word == "from"
		return !found
	})
	return found
}

// scanWords calls f with each word in lower case, and whether an opening
// parenthesis follows, until f returns false. Quoted and qualified names come
// with their quote or dot, so that they are no word known here.
func scanWords(query string, f func(word string, called bool) bool) {
	scanTokens(query, false, func(word string, called bool) bool {
		return word == ";" || f(word, called)
	})
}

// scanTokens is scanWords with semicolons as words, and with backslashes that
// escape in every literal if escapes is set.
func scanTokens(query string, escapes bool, f func(word string, called bool) bool) {
	for i := 0; i < len(query); {
		n := skipQuoted(query[i:], escapes || afterE(query[:i]))
		if n > 0 && query[i] != '"' {
			i += n
			continue
		}
		if n == 0 {
			n = wordLength(query[i:])
		}
		if n == 0 && query[i] == ';' {
			n = 1
		}
		if n == 0 {
			i++
			continue
		}
		word := strings.ToLower(query[i : i+n])
		if i > 0 && query[i-1] == '.' && !strings.HasSuffix(strings.ToLower(query[:i]), "pg_catalog.") {
			word = "." + word
		}
		i += n
		if !f(word, strings.HasPrefix(skipBlank(query[i:]), "(")) {
			return
		}
	}
}

// afterE reports whether a literal that follows s is of the form E'…'.
func afterE(s string) bool {
	before, isE := strings.CutSuffix(s, "E")
	if !isE {
		before, isE = strings.CutSuffix(s, "e")
	}
	last, _ := utf8.DecodeLastRuneInString(before)
	return isE && (before == "" || !inWord(last))
}

// skipBlank returns s without the white space and comments it begins with.
func skipBlank(s string) string {
	for {
		s = strings.TrimLeftFunc(s, unicode.IsSpace)
		n := skipComment(s)
		if n == 0 {
			return s
		}
		s = s[n:]
	}
}

func inWord(r rune) bool { return r == '_' || r == '$' || unicode.IsLetter(r) || unicode.IsDigit(r) }

func wordLength(s string) int {
	n := strings.IndexFunc(s, func(r rune) bool { return !inWord(r) })
	if n < 0 {
		return len(s)
	}
	return n
}

// dollarTag matches the opening of a dollar-quoted literal.
var dollarTag = regexp.MustCompile(`^\$([\pL_][\pL\pN_]*)?\$`)

// skipQuoted returns the length of the literal, quoted identifier or comment
// that s begins with. An unclosed one reaches to the end.
func skipQuoted(s string, escapes bool) int {
	switch s[0] {
	case '$':
		tag := dollarTag.FindString(s)
		if tag == "" {
			return 0
		}
		return len(tag) + sqltext.Through(s[len(tag):], tag)
	case '"':
		return 1 + sqltext.Through(s[1:], `"`)
	case '\'':
		return 1 + literalLength(s[1:], escapes)
	}
	return skipComment(s)
}

func literalLength(s string, escapes bool) int {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && escapes:
			i++
		case s[i] == '\'':
			return i + 1
		}
	}
	return len(s)
}

// skipComment returns the length of the comment that s begins with. Block
// comments nest.
func skipComment(s string) int {
	if strings.HasPrefix(s, "--") {
		if i := strings.IndexAny(s, "\r\n"); i >= 0 {
			return i
		}
		return len(s)
	}
	return sqltext.BlockComment(s)
}

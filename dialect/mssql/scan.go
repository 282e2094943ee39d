package mssql

import (
	"strings"
	"unicode"

	"github.com/lockstep-go/lockstep/internal/sqltext"
)

// kind is what a piece of a query's text is.
type kind int

const (
	word   kind = iota // a keyword or a plain name
	hidden             // a name that no keyword can be: quoted, or after a dot
	value              // a literal or a variable
	symbol             // any other character
)

// token is a piece of a query's text: a word in lower case, a symbol, or nothing
// but its kind.
type token struct {
	kind kind
	text string
}

// scanner splits a query into its tokens, without comments and white space.
type scanner struct {
	rest   string
	tokens []token
}

func scan(query string) []token {
	s := &scanner{rest: query}
	for s.rest != "" {
		if n := commentLength(s.rest); n > 0 {
			s.rest = s.rest[n:]
			continue
		}
		s.next()
	}
	return s.tokens
}

func (s *scanner) next() {
	if n := quotedLength(s.rest); n > 0 {
		kind := hidden
		if s.rest[0] == '\'' {
			kind = value
		}
		s.take(n, kind)
		return
	}
	n := wordLength(s.rest)
	switch first := s.rest[0]; {
	case n == 0 || first == '$':
		s.symbol()
	case first >= '0' && first <= '9':
		s.number(n)
	case first == '@' || first == '#':
		s.take(n, value)
	case s.afterDot():
		s.take(n, hidden)
	default:
		s.take(n, word)
	}
}

func (s *scanner) take(n int, kind kind) {
	text := ""
	if kind == word {
		// Upper case first: the server knows no letters that only look like others.
		text = strings.ToLower(strings.ToUpper(s.rest[:n]))
	}
	s.tokens = append(s.tokens, token{kind, text})
	s.rest = s.rest[n:]
}

// number takes a number of n characters and the words that need no space behind
// it: which letters are still the number's is not asked.
func (s *scanner) number(n int) {
	if strings.HasPrefix(s.rest[n:], ".") && !s.afterDot() {
		n++
		n += wordLength(s.rest[n:])
	}
	run := strings.ToLower(strings.ToUpper(s.rest[:n]))
	s.take(n, value)
	for _, set := range []map[string]bool{transactionWords, openingWords, writingWords} {
		for w := range set {
			if strings.HasSuffix(run, w) {
				s.tokens = append(s.tokens, token{word, w})
			}
		}
	}
}

func (s *scanner) symbol() {
	for i, r := range s.rest {
		if i > 0 {
			s.rest = s.rest[i:]
			return
		}
		if !unicode.IsSpace(r) {
			s.tokens = append(s.tokens, token{symbol, string(r)})
		}
	}
	s.rest = ""
}

// afterDot reports whether what follows is the next part of a name.
func (s *scanner) afterDot() bool {
	n := len(s.tokens)
	if n < 2 || s.tokens[n-1].text != "." {
		return false
	}
	before := s.tokens[n-2]
	return before.kind != symbol || before.text == "."
}

func wordLength(s string) int {
	n := strings.IndexFunc(s, func(r rune) bool {
		return r != '_' && r != '@' && r != '#' && r != '$' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
	if n < 0 {
		return len(s)
	}
	return n
}

// quotedLength returns the length of the literal or quoted name that s begins
// with. An unclosed one reaches to the end.
func quotedLength(s string) int {
	switch s[0] {
	case '\'':
		return 1 + sqltext.Through(s[1:], "'")
	case '"':
		return 1 + sqltext.Through(s[1:], `"`)
	case '[':
		n := 1 + sqltext.Through(s[1:], "]")
		for strings.HasPrefix(s[n:], "]") {
			n += 1 + sqltext.Through(s[n+1:], "]")
		}
		return n
	}
	return 0
}

func commentLength(s string) int {
	if strings.HasPrefix(s, "--") {
		return sqltext.Through(s, "\n")
	}
	return sqltext.BlockComment(s)
}

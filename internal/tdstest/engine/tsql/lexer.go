// Package tsql reads the part of Transact-SQL that the simulated server knows.
package tsql

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Error is a statement that could not be read. Line counts from 1.
type Error struct {
	Number int32
	Line   int
	Text   string
}

// Error returns the text.
func (e *Error) Error() string { return e.Text }

type tokenKind uint8

const (
	end tokenKind = iota
	word
	quoted // [x] or "x"
	variable
	text
	ntext
	integer
	decimal
	float
	binary
	symbol
)

type token struct {
	kind tokenKind
	text string // of words and symbols as written
	up   string // of words and symbols in upper case
	line int
	pos  int
}

type lexer struct {
	src  string
	pos  int
	line int
}

// scan splits src into tokens; the last is of kind end.
func scan(src string) ([]token, error) {
	l := &lexer{src: src, line: 1}
	var all []token
	for {
		if err := l.blank(); err != nil {
			return nil, err
		}
		t, err := l.next()
		if err != nil {
			return nil, err
		}
		all = append(all, t)
		if t.kind == end {
			return all, nil
		}
	}
}

func (l *lexer) peek(n int) byte {
	if l.pos+n < len(l.src) {
		return l.src[l.pos+n]
	}
	return 0
}

// blank skips white space and comments; those in /* */ nest.
func (l *lexer) blank() error {
	for l.pos < len(l.src) {
		r, size := utf8.DecodeRuneInString(l.src[l.pos:])
		switch {
		case r == '\n':
			l.line++
			l.pos++
		case unicode.IsSpace(r) || r == 0xFEFF:
			l.pos += size
		case r == '-' && l.peek(1) == '-':
			for l.pos < len(l.src) && l.src[l.pos] != '\n' {
				l.pos++
			}
		case r == '/' && l.peek(1) == '*':
			if err := l.comment(); err != nil {
				return err
			}
		default:
			return nil
		}
	}
	return nil
}

func (l *lexer) comment() error {
	start, depth := l.line, 0
	for l.pos < len(l.src) {
		switch {
		case strings.HasPrefix(l.src[l.pos:], "/*"):
			depth++
			l.pos += 2
		case strings.HasPrefix(l.src[l.pos:], "*/"):
			depth--
			l.pos += 2
			if depth == 0 {
				return nil
			}
		default:
			if l.src[l.pos] == '\n' {
				l.line++
			}
			l.pos++
		}
	}
	return &Error{113, start, "Missing end comment mark '*/'."}
}

func (l *lexer) next() (token, error) {
	t := token{line: l.line, pos: l.pos}
	if l.pos >= len(l.src) {
		return t, nil
	}
	c := l.src[l.pos]
	switch {
	case (c == 'N' || c == 'n') && l.peek(1) == '\'':
		l.pos++
		return l.delimited(t, ntext, '\'')
	case c == '\'':
		return l.delimited(t, text, '\'')
	case c == '"':
		return l.delimited(t, quoted, '"')
	case c == '[':
		return l.delimited(t, quoted, ']')
	case c == '@' || c == '#' || c == '_' || c >= utf8.RuneSelf || isLetter(c):
		return l.name(t), nil
	case c == '0' && (l.peek(1) == 'x' || l.peek(1) == 'X'):
		return l.hex(t), nil
	case isDigit(c) || c == '.' && isDigit(l.peek(1)):
		return l.number(t), nil
	}
	return l.symbol(t)
}

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// delimited reads up to the closing mark; a doubled one stands for itself.
func (l *lexer) delimited(t token, kind tokenKind, mark byte) (token, error) {
	l.pos++
	var b strings.Builder
	for l.pos < len(l.src) {
		c := l.src[l.pos]
		if c == '\n' {
			l.line++
		}
		l.pos++
		if c == mark {
			if l.peek(0) != mark {
				if kind == quoted && b.Len() == 0 {
					return t, &Error{1038, t.line, "An object or column name is missing or empty."}
				}
				t.kind, t.text = kind, b.String()
				return t, nil
			}
			l.pos++
		}
		b.WriteByte(c)
	}
	return t, &Error{105, t.line, fmt.Sprintf("Unclosed quotation mark after the character string '%s'.", b.String())}
}

func (l *lexer) name(t token) token {
	start := l.pos
	for l.pos < len(l.src) {
		r, size := utf8.DecodeRuneInString(l.src[l.pos:])
		if r != '_' && r != '@' && r != '#' && r != '$' && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			break
		}
		l.pos += size
	}
	if l.pos == start { // a character that can be in no name
		_, size := utf8.DecodeRuneInString(l.src[l.pos:])
		l.pos += size
		t.kind, t.text = symbol, l.src[start:l.pos]
		t.up = t.text
		return t
	}
	t.kind, t.text = word, l.src[start:l.pos]
	t.up = strings.ToUpper(t.text)
	if t.text[0] == '@' {
		t.kind = variable
	}
	return t
}

func (l *lexer) hex(t token) token {
	l.pos += 2
	start := l.pos
	for isDigit(l.peek(0)) || l.peek(0)|0x20 >= 'a' && l.peek(0)|0x20 <= 'f' {
		l.pos++
	}
	t.kind, t.text = binary, l.src[start:l.pos]
	return t
}

func (l *lexer) number(t token) token {
	start := l.pos
	t.kind = integer
	for isDigit(l.peek(0)) {
		l.pos++
	}
	if l.peek(0) == '.' {
		t.kind = decimal
		l.pos++
		for isDigit(l.peek(0)) {
			l.pos++
		}
	}
	if c := l.peek(0); c == 'e' || c == 'E' {
		n := 1
		if l.peek(1) == '+' || l.peek(1) == '-' {
			n = 2
		}
		t.kind = float
		l.pos += n
		for isDigit(l.peek(0)) {
			l.pos++
		}
	}
	t.text = l.src[start:l.pos]
	return t
}

var doubles = []string{"<>", "!=", "<=", ">=", "!<", "!>", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "::"}

func (l *lexer) symbol(t token) (token, error) {
	t.kind = symbol
	for _, d := range doubles {
		if strings.HasPrefix(l.src[l.pos:], d) {
			l.pos += 2
			t.text, t.up = d, d
			return t, nil
		}
	}
	c := l.src[l.pos]
	t.text, t.up = string(c), string(c)
	l.pos++
	if !strings.ContainsRune("()+-*/%,.;=<>&|^~:?", rune(c)) {
		return t, &Error{102, t.line, fmt.Sprintf("Incorrect syntax near '%c'.", c)}
	}
	return t, nil
}

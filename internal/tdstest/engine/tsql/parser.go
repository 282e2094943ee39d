package tsql

import (
	"fmt"
	"strconv"
	"strings"
)

// Parse reads a batch. The error is an *Error.
func Parse(src string) (batch []Node, err error) {
	p, err := newParser(src)
	if err != nil {
		return nil, err
	}
	defer p.recover(&err)
	batch = p.statements(func() bool { return p.at(end) })
	return batch, nil
}

// ParseParameters reads the declaration of parameters that sp_executesql takes.
func ParseParameters(src string) (params []Parameter, err error) {
	p, err := newParser(src)
	if err != nil {
		return nil, err
	}
	defer p.recover(&err)
	params = p.parameters()
	if !p.at(end) {
		p.unexpected()
	}
	return params, nil
}

// ParseType reads the name of a type.
func ParseType(src string) (t TypeName, err error) {
	p, err := newParser(src)
	if err != nil {
		return t, err
	}
	defer p.recover(&err)
	t = p.typeName()
	if !p.at(end) {
		p.unexpected()
	}
	return t, nil
}

// SplitName splits a name that is written as text, such as N'dbo.[a b]'.
func SplitName(src string) (n Name, err error) {
	p, err := newParser(src)
	if err != nil {
		return n, err
	}
	defer p.recover(&err)
	n = p.name()
	if !p.at(end) {
		p.unexpected()
	}
	return n, nil
}

type parser struct {
	src    string
	tokens []token
	i      int
	depth  int
}

func newParser(src string) (*parser, error) {
	tokens, err := scan(src)
	if err != nil {
		return nil, err
	}
	return &parser{src: src, tokens: tokens}, nil
}

// recover turns the panic of fail into an error.
func (p *parser) recover(err *error) {
	switch r := recover().(type) {
	case nil:
	case *Error:
		*err = r
	default:
		panic(r)
	}
}

func (p *parser) fail(number int32, format string, args ...any) {
	panic(&Error{number, p.peek().line, fmt.Sprintf(format, args...)})
}

// unexpected fails at the present token.
func (p *parser) unexpected() {
	t := p.peek()
	switch {
	case t.kind == end && p.i > 0:
		t = p.tokens[p.i-1]
		p.fail(102, "Incorrect syntax near '%s'.", t.text)
	case t.kind == word && reserved[t.up]:
		p.fail(156, "Incorrect syntax near the keyword '%s'.", t.text)
	}
	p.fail(102, "Incorrect syntax near '%s'.", t.text)
}

func (p *parser) peek() token { return p.tokens[p.i] }

func (p *parser) ahead(n int) token {
	if p.i+n < len(p.tokens) {
		return p.tokens[p.i+n]
	}
	return p.tokens[len(p.tokens)-1]
}

func (p *parser) at(k tokenKind) bool { return p.peek().kind == k }

func (p *parser) take() token {
	t := p.peek()
	if t.kind != end {
		p.i++
	}
	return t
}

// is reports whether the words come next.
func (p *parser) is(words ...string) bool {
	for i, w := range words {
		if t := p.ahead(i); t.kind != word || t.up != w {
			return false
		}
	}
	return true
}

// accept takes the words if they come next.
func (p *parser) accept(words ...string) bool {
	if !p.is(words...) {
		return false
	}
	p.i += len(words)
	return true
}

func (p *parser) expect(words ...string) {
	for _, w := range words {
		if !p.accept(w) {
			p.unexpected()
		}
	}
}

func (p *parser) isSymbol(s string) bool {
	t := p.peek()
	return t.kind == symbol && t.text == s
}

func (p *parser) acceptSymbol(s string) bool {
	if !p.isSymbol(s) {
		return false
	}
	p.i++
	return true
}

func (p *parser) expectSymbol(s string) {
	if !p.acceptSymbol(s) {
		p.unexpected()
	}
}

// isIdentifier reports whether a name comes next: delimited, or no keyword.
func (p *parser) isIdentifier() bool {
	t := p.peek()
	return t.kind == quoted || t.kind == word && !reserved[t.up]
}

func (p *parser) identifier() string {
	if !p.isIdentifier() {
		p.unexpected()
	}
	return p.take().text
}

// name reads a name of up to four parts; parts between dots may be empty.
func (p *parser) name() Name {
	n := Name{Line: p.peek().line, Parts: []string{p.identifier()}}
	for p.acceptSymbol(".") {
		if p.isSymbol(".") {
			n.Parts = append(n.Parts, "")
			continue
		}
		t := p.take()
		if t.kind != word && t.kind != quoted {
			p.i--
			p.unexpected()
		}
		n.Parts = append(n.Parts, t.text)
	}
	if len(n.Parts) > 4 {
		p.fail(117, "The object name contains more than the maximum number of prefixes. The maximum is 3.")
	}
	return n
}

// list reads items between commas.
func list[T any](p *parser, item func() T) []T {
	all := []T{item()}
	for p.acceptSymbol(",") {
		all = append(all, item())
	}
	return all
}

// names reads (a, b, c), each with an optional ASC or DESC.
func (p *parser) names() []string {
	p.expectSymbol("(")
	all := list(p, func() string {
		n := p.identifier()
		if !p.accept("ASC") {
			p.accept("DESC")
		}
		return n
	})
	p.expectSymbol(")")
	return all
}

func (p *parser) int() int {
	negative := p.acceptSymbol("-")
	if !p.at(integer) {
		p.unexpected()
	}
	n, err := strconv.Atoi(p.take().text)
	if err != nil {
		p.fail(102, "The number is too large.")
	}
	if negative {
		return -n
	}
	return n
}

// typeName reads a type such as nvarchar(max), with an optional sys. prefix.
func (p *parser) typeName() TypeName {
	n := p.name()
	t := TypeName{Name: strings.ToLower(n.Last())}
	if t.Name == "double" && p.accept("PRECISION") {
		t.Name = "float"
	}
	if t.Name == "char" && p.accept("VARYING") {
		t.Name = "varchar"
	}
	if p.acceptSymbol("(") {
		t.Args = list(p, func() int {
			if p.accept("MAX") {
				return -1
			}
			return p.int()
		})
		p.expectSymbol(")")
	}
	return t
}

func (p *parser) variable() string {
	if !p.at(variable) {
		p.unexpected()
	}
	return p.take().text
}

// parameters reads @a type [= default] [OUTPUT], ...
func (p *parser) parameters() []Parameter {
	if !p.at(variable) {
		return nil
	}
	return list(p, func() Parameter {
		d := Parameter{Name: p.variable()}
		p.accept("AS")
		d.Type = p.typeName()
		if p.acceptSymbol("=") {
			d.Default = p.expr()
		}
		d.Output = p.accept("OUTPUT") || p.accept("OUT")
		p.accept("READONLY")
		return d
	})
}

var reserved = keywords(`ADD ALL ALTER AND ANY AS ASC AUTHORIZATION BEGIN BETWEEN BREAK BY CASE CHECK
	CLUSTERED COALESCE COLLATE COLUMN COMMIT CONSTRAINT CONTINUE CONVERT CREATE CROSS CURRENT
	CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER CURSOR DATABASE DEALLOCATE DECLARE DEFAULT
	DELETE DENY DESC DISTINCT DOUBLE DROP ELSE END ERRLVL ESCAPE EXCEPT EXEC EXECUTE EXISTS EXIT EXTERNAL
	FETCH FOR FOREIGN FROM FULL FUNCTION GOTO GRANT GROUP HAVING HOLDLOCK IDENTITY IDENTITY_INSERT IF IN
	INDEX INNER INSERT INTERSECT INTO IS JOIN KEY KILL LEFT LIKE MERGE NATIONAL NOCHECK NONCLUSTERED NOT
	NULL NULLIF OF OFF ON OPEN OPTION OR ORDER OUTER OVER PERCENT PIVOT PLAN PRIMARY PRINT PROC PROCEDURE
	PUBLIC RAISERROR READ RECONFIGURE REFERENCES RETURN REVERT REVOKE RIGHT ROLLBACK ROWCOUNT RULE SAVE
	SCHEMA SELECT SESSION_USER SET SHUTDOWN SOME STATISTICS SYSTEM_USER TABLE THEN TO TOP TRAN TRANSACTION
	TRIGGER TRUNCATE TRY_CONVERT UNION UNIQUE UNPIVOT UPDATE USE USER VALUES VARYING VIEW WAITFOR WHEN
	WHERE WHILE WITH`)

func keywords(all string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(all) {
		m[w] = true
	}
	return m
}

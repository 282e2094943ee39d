package tsql

import "strings"

// limit of nested expressions and statements; beyond it the server refuses too.
const maxDepth = 1000

func (p *parser) expr() Expr {
	p.depth++
	if p.depth > maxDepth {
		p.fail(191, "Some part of your SQL statement is nested too deeply. Rewrite the query or break it up into smaller queries.")
	}
	defer func() { p.depth-- }()
	x := p.and()
	for p.accept("OR") {
		x = &Operation{"OR", x, p.and()}
	}
	return x
}

func (p *parser) and() Expr {
	x := p.not()
	for p.accept("AND") {
		x = &Operation{"AND", x, p.not()}
	}
	return x
}

func (p *parser) not() Expr {
	if p.accept("NOT") {
		return &Unary{"NOT", p.not()}
	}
	return p.comparison()
}

var comparisons = map[string]string{
	"=": "=", "<>": "<>", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">=", "!<": ">=", "!>": "<=",
}

func (p *parser) comparison() Expr {
	x := p.sum()
	for {
		if op, ok := comparisons[p.peek().text]; ok && p.at(symbol) {
			p.take()
			x = &Operation{op, x, p.sum()}
			continue
		}
		if p.is("NOT", "IN") || p.is("NOT", "LIKE") || p.is("NOT", "BETWEEN") {
			p.take()
			x = p.predicate(x, true)
			continue
		}
		if p.is("IN") || p.is("LIKE") || p.is("BETWEEN") || p.is("IS") {
			x = p.predicate(x, false)
			continue
		}
		return x
	}
}

func (p *parser) predicate(x Expr, not bool) Expr {
	switch p.take().up {
	case "IN":
		return p.in(x, not)
	case "LIKE":
		l := &Like{X: x, Pattern: p.sum(), Not: not}
		if p.accept("ESCAPE") {
			l.Escape = p.sum()
		}
		return l
	case "BETWEEN":
		b := &Between{X: x, Low: p.sum(), Not: not}
		p.expect("AND")
		b.High = p.sum()
		return b
	}
	n := &IsNull{X: x, Not: p.accept("NOT")}
	p.expect("NULL")
	return n
}

func (p *parser) in(x Expr, not bool) Expr {
	p.expectSymbol("(")
	n := &In{X: x, Not: not}
	if p.is("SELECT") {
		n.Query = p.query()
	} else {
		n.List = list(p, p.expr)
	}
	p.expectSymbol(")")
	return n
}

func (p *parser) sum() Expr {
	x := p.product()
	for p.at(symbol) && strings.Contains("+-&|^", p.peek().text) {
		op := p.take().text
		x = &Operation{op, x, p.product()}
	}
	return x
}

func (p *parser) product() Expr {
	x := p.unary()
	for p.at(symbol) && strings.Contains("*/%", p.peek().text) {
		op := p.take().text
		x = &Operation{op, x, p.unary()}
	}
	return x
}

func (p *parser) unary() Expr {
	for _, op := range []string{"-", "+", "~"} {
		if p.acceptSymbol(op) {
			return &Unary{op, p.unary()}
		}
	}
	x := p.primary()
	for p.accept("COLLATE") {
		x = &Collate{x, p.identifier()}
	}
	return x
}

func (p *parser) primary() Expr {
	t := p.peek()
	if kind, ok := literals[t.kind]; ok {
		p.take()
		return &Literal{kind, t.text}
	}
	switch {
	case t.kind == variable:
		p.take()
		return &Variable{t.text}
	case t.kind == symbol && t.text == "(":
		return p.parenthesis()
	case t.kind == symbol && t.text == "*":
		p.take()
		return &ColumnRef{Star: true}
	case t.kind == word:
		if x := p.keyword(t.up); x != nil {
			return x
		}
	}
	return p.reference()
}

var literals = map[tokenKind]LiteralKind{
	text: Text, ntext: NText, integer: Integer, decimal: Decimal, float: Float, binary: Binary,
}

func (p *parser) parenthesis() Expr {
	p.expectSymbol("(")
	var x Expr
	if p.is("SELECT") || p.is("WITH") {
		x = &Subquery{p.query()}
	} else {
		x = p.expr()
	}
	p.expectSymbol(")")
	return x
}

// keyword reads an expression that begins with a keyword, or returns nil.
func (p *parser) keyword(up string) Expr {
	line := p.peek().line
	switch up {
	case "NULL", "DEFAULT":
		p.take()
		if up == "NULL" {
			return &Literal{Kind: Null}
		}
		return &Literal{Kind: Default}
	case "CASE":
		return p.caseExpr()
	case "EXISTS":
		p.take()
		p.expectSymbol("(")
		q := p.query()
		p.expectSymbol(")")
		return &Exists{q}
	case "CAST", "TRY_CAST":
		if p.ahead(1).text == "(" {
			return p.cast(up)
		}
	case "CONVERT", "TRY_CONVERT":
		return p.convert(up)
	case "CURRENT_TIMESTAMP", "CURRENT_USER", "SESSION_USER", "SYSTEM_USER", "USER":
		p.take()
		return &Call{Name: up, Line: line}
	case "COALESCE", "NULLIF", "LEFT", "RIGHT":
		p.take()
		return p.call("", up, line)
	}
	return nil
}

func (p *parser) caseExpr() Expr {
	p.expect("CASE")
	c := &Case{}
	if !p.is("WHEN") {
		c.Operand = p.expr()
	}
	for p.accept("WHEN") {
		w := When{If: p.expr()}
		p.expect("THEN")
		w.Then = p.expr()
		c.Whens = append(c.Whens, w)
	}
	if len(c.Whens) == 0 {
		p.unexpected()
	}
	if p.accept("ELSE") {
		c.Else = p.expr()
	}
	p.expect("END")
	return c
}

func (p *parser) cast(up string) Expr {
	p.take()
	p.expectSymbol("(")
	c := &Cast{X: p.expr(), Try: up == "TRY_CAST"}
	p.expect("AS")
	c.Type = p.typeName()
	p.expectSymbol(")")
	return c
}

func (p *parser) convert(up string) Expr {
	p.take()
	p.expectSymbol("(")
	c := &Cast{Type: p.typeName(), Try: up == "TRY_CONVERT"}
	p.expectSymbol(",")
	c.X = p.expr()
	if p.acceptSymbol(",") {
		c.Style = p.expr()
	}
	p.expectSymbol(")")
	return c
}

// reference reads a column or a function's call.
func (p *parser) reference() Expr {
	line := p.peek().line
	if !p.isIdentifier() {
		p.unexpected()
	}
	n := Name{Line: line, Parts: []string{p.take().text}}
	for p.acceptSymbol(".") {
		if p.acceptSymbol("*") {
			return &ColumnRef{Name: n, Star: true}
		}
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
	if p.isSymbol("(") && len(n.Parts) <= 2 {
		schema := ""
		if len(n.Parts) == 2 {
			schema = n.Parts[0]
		}
		return p.call(schema, strings.ToUpper(n.Last()), line)
	}
	return &ColumnRef{Name: n}
}

// datePart functions take a bare word first.
var datePart = keywords("DATEADD DATEDIFF DATEDIFF_BIG DATEPART DATENAME")

func (p *parser) call(schema, name string, line int) *Call {
	c := &Call{Schema: schema, Name: name, Line: line}
	p.arguments(c)
	if p.is("OVER") {
		p.fail(102, "The simulator does not know window functions: OVER after %s.", name)
	}
	return c
}

func (p *parser) arguments(c *Call) {
	p.expectSymbol("(")
	if p.acceptSymbol(")") {
		return
	}
	if datePart[c.Name] {
		c.Args = append(c.Args, &Literal{Text, p.take().text})
		p.expectSymbol(",")
	}
	if p.isSymbol("*") && p.ahead(1).text == ")" {
		p.take()
		c.Star = true
	} else {
		c.Distinct = p.accept("DISTINCT")
		p.accept("ALL")
		c.Args = append(c.Args, list(p, p.expr)...)
	}
	p.expectSymbol(")")
}

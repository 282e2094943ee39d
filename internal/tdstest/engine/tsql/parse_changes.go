package tsql

import "strings"

func upper(s string) string { return strings.ToUpper(s) }

// target reads the table of an INSERT, UPDATE or DELETE with its hints.
func (p *parser) target() Table {
	var n Name
	if p.at(variable) {
		n = Name{Line: p.peek().line, Parts: []string{p.take().text}}
	} else {
		n = p.name()
	}
	return Table{Name: n, Hints: p.targetHints()}
}

// targetHints reads WITH (...) alone: a parenthesis may begin columns.
func (p *parser) targetHints() []string {
	if p.is("WITH") {
		return p.hints()
	}
	return nil
}

func (p *parser) output() *Output {
	if !p.accept("OUTPUT") {
		return nil
	}
	o := &Output{Items: list(p, p.item)}
	if p.accept("INTO") {
		var n Name
		if p.at(variable) {
			n = Name{Line: p.peek().line, Parts: []string{p.take().text}}
		} else {
			n = p.name()
		}
		o.Into = &n
	}
	return o
}

func (p *parser) insert() Statement {
	p.expect("INSERT")
	p.accept("INTO")
	s := &Insert{Target: p.target()}
	if p.isSymbol("(") && p.ahead(1).up != "SELECT" {
		s.Columns = p.names()
	}
	s.Output = p.output()
	switch {
	case p.accept("DEFAULT", "VALUES"):
		s.Default = true
	case p.accept("VALUES"):
		s.Rows = p.rows()
	case p.is("SELECT"), p.is("WITH"), p.isSymbol("("):
		s.Query = p.query()
	case p.is("EXEC"), p.is("EXECUTE"):
		p.fail(102, "The simulator does not know INSERT ... EXEC.")
	default:
		p.unexpected()
	}
	return s
}

func (p *parser) update() Statement {
	p.expect("UPDATE")
	s := &Update{Top: p.top(), Target: p.target()}
	p.expect("SET")
	s.Sets = list(p, p.assignment)
	s.Output = p.output()
	if p.accept("FROM") {
		s.From = p.from()
	}
	if p.accept("WHERE") {
		s.Where = p.expr()
	}
	if p.accept("OPTION") {
		p.skipParenthesis()
	}
	return s
}

// assignment reads col = x, @v = x or @v = col = x.
func (p *parser) assignment() Assignment {
	var a Assignment
	if p.at(variable) {
		a.Variable = p.take().text
		if p.isSymbol("=") && (p.ahead(1).kind == word || p.ahead(1).kind == quoted) && p.ahead(2).text == "=" {
			p.take()
			a.Column = p.name()
		}
	} else {
		a.Column = p.name()
	}
	op, ok := assignments[p.peek().text]
	if !ok || !p.at(symbol) {
		p.unexpected()
	}
	p.take()
	a.Op, a.X = op, p.expr()
	return a
}

func (p *parser) delete() Statement {
	p.expect("DELETE")
	s := &Delete{Top: p.top()}
	p.accept("FROM")
	s.Target = p.target()
	s.Output = p.output()
	if p.accept("FROM") {
		s.From = p.from()
	}
	if p.accept("WHERE") {
		s.Where = p.expr()
	}
	if p.accept("OPTION") {
		p.skipParenthesis()
	}
	return s
}

package tsql

// query reads a SELECT with all that may follow.
func (p *parser) query() *Query {
	p.depth++
	if p.depth > maxDepth {
		p.fail(191, "Some part of your SQL statement is nested too deeply.")
	}
	defer func() { p.depth-- }()
	q := &Query{With: p.with()}
	q.Selects = append(q.Selects, p.operand())
	for p.is("UNION") || p.is("EXCEPT") || p.is("INTERSECT") {
		op := p.take().up
		if op == "UNION" && p.accept("ALL") {
			op = "UNION ALL"
		}
		q.Operators = append(q.Operators, op)
		q.Selects = append(q.Selects, p.operand())
	}
	p.orderBy(q)
	if p.accept("OPTION") {
		p.skipParenthesis()
	}
	if p.is("FOR") {
		p.fail(102, "The simulator does not know FOR XML, FOR JSON or FOR BROWSE.")
	}
	return q
}

// operand reads one SELECT of a UNION, possibly in parentheses.
func (p *parser) operand() *Select {
	if p.acceptSymbol("(") {
		s := p.operand()
		p.expectSymbol(")")
		return s
	}
	return p.selectOne()
}

func (p *parser) with() []CTE {
	if !p.accept("WITH") {
		return nil
	}
	return list(p, func() CTE {
		c := CTE{Name: p.identifier()}
		if p.isSymbol("(") {
			c.Columns = p.names()
		}
		p.expect("AS")
		p.expectSymbol("(")
		c.Query = p.query()
		p.expectSymbol(")")
		return c
	})
}

func (p *parser) orderBy(q *Query) {
	if !p.accept("ORDER", "BY") {
		return
	}
	q.OrderBy = list(p, func() OrderItem {
		o := OrderItem{X: p.expr()}
		if p.accept("DESC") {
			o.Descending = true
		} else {
			p.accept("ASC")
		}
		return o
	})
	if p.accept("OFFSET") {
		q.Offset = p.expr()
		if !p.accept("ROWS") {
			p.expect("ROW")
		}
		if p.accept("FETCH") {
			p.take() // FIRST or NEXT
			q.Fetch = p.expr()
			if !p.accept("ROWS") {
				p.expect("ROW")
			}
			p.expect("ONLY")
		}
	}
}

func (p *parser) skipParenthesis() {
	p.expectSymbol("(")
	for depth := 1; depth > 0; {
		t := p.take()
		switch {
		case t.kind == end:
			p.unexpected()
		case t.kind == symbol && t.text == "(":
			depth++
		case t.kind == symbol && t.text == ")":
			depth--
		}
	}
}

func (p *parser) top() *Top {
	if !p.accept("TOP") {
		return nil
	}
	t := &Top{}
	if p.acceptSymbol("(") {
		t.N = p.expr()
		p.expectSymbol(")")
	} else {
		t.N = p.primary()
	}
	t.Percent = p.accept("PERCENT")
	if p.accept("WITH", "TIES") {
		p.fail(102, "The simulator does not know TOP ... WITH TIES.")
	}
	return t
}

func (p *parser) selectOne() *Select {
	p.expect("SELECT")
	s := &Select{Distinct: p.accept("DISTINCT")}
	p.accept("ALL")
	s.Top = p.top()
	s.Items = list(p, p.item)
	if p.accept("INTO") {
		n := p.name()
		s.Into = &n
	}
	if p.accept("FROM") {
		s.From = p.from()
	}
	if p.accept("WHERE") {
		s.Where = p.expr()
	}
	if p.accept("GROUP", "BY") {
		s.GroupBy = list(p, p.expr)
	}
	if p.accept("HAVING") {
		s.Having = p.expr()
	}
	return s
}

var assignments = map[string]string{
	"=": "=", "+=": "+", "-=": "-", "*=": "*", "/=": "/", "%=": "%", "&=": "&", "|=": "|", "^=": "^",
}

// item reads x [[AS] alias], alias = x or @v = x.
func (p *parser) item() SelectItem {
	next := p.ahead(1)
	if op, ok := assignments[next.text]; ok && next.kind == symbol {
		if p.at(variable) {
			name := p.take().text
			p.take()
			return SelectItem{Assign: name, Op: op, X: p.expr()}
		}
		if op == "=" && p.isIdentifier() {
			alias := p.take().text
			p.take()
			return SelectItem{Alias: alias, X: p.expr()}
		}
	}
	i := SelectItem{X: p.expr()}
	i.Alias = p.alias()
	return i
}

// alias reads [AS] name, which may be written as text.
func (p *parser) alias() string {
	if p.accept("AS") {
		if p.at(text) {
			return p.take().text
		}
		return p.identifier()
	}
	if p.at(text) || p.isIdentifier() && !p.endsSource() {
		return p.take().text
	}
	return ""
}

// endsSource tells words that are no keywords, but begin something here.
func (p *parser) endsSource() bool {
	return p.is("OUTPUT") || p.is("OFFSET") || p.is("THROW") || p.is("GO") || p.is("TABLESAMPLE") ||
		p.at(word) && p.ahead(1).text == ":"
}

func (p *parser) from() TableExpr {
	t := p.joins()
	for p.acceptSymbol(",") {
		t = &Join{Kind: "CROSS", L: t, R: p.joins()}
	}
	return t
}

func (p *parser) joins() TableExpr {
	t := p.source()
	for {
		kind := p.joinKind()
		if kind == "" {
			return t
		}
		j := &Join{Kind: kind, L: t, R: p.source()}
		if kind == "INNER" || kind == "LEFT" || kind == "RIGHT" || kind == "FULL" {
			p.expect("ON")
			j.On = p.expr()
		}
		t = j
	}
}

func (p *parser) joinKind() string {
	switch {
	case p.accept("JOIN"), p.accept("INNER", "JOIN"):
		return "INNER"
	case p.accept("CROSS", "JOIN"):
		return "CROSS"
	case p.accept("CROSS", "APPLY"):
		return "CROSS APPLY"
	case p.accept("OUTER", "APPLY"):
		return "OUTER APPLY"
	}
	for _, kind := range []string{"LEFT", "RIGHT", "FULL"} {
		if p.accept(kind, "JOIN") || p.accept(kind, "OUTER", "JOIN") {
			return kind
		}
	}
	return ""
}

func (p *parser) source() TableExpr {
	if p.at(variable) {
		n := Name{Line: p.peek().line, Parts: []string{p.take().text}}
		return &Table{Name: n, Alias: p.alias()}
	}
	if p.isSymbol("(") {
		return p.sourceInParentheses()
	}
	line := p.peek().line
	n := p.name()
	if p.isSymbol("(") && !p.hintsFollow() {
		schema := ""
		if len(n.Parts) > 1 {
			schema = n.Parts[len(n.Parts)-2]
		}
		return &Function{Call: p.call(schema, upper(n.Last()), line), Alias: p.alias()}
	}
	t := &Table{Name: n}
	if !p.is("WITH") && !p.isSymbol("(") {
		t.Alias = p.alias()
	}
	t.Hints = p.hints()
	if t.Alias == "" && len(t.Hints) > 0 {
		t.Alias = p.alias()
	}
	return t
}

func (p *parser) sourceInParentheses() TableExpr {
	p.expectSymbol("(")
	switch {
	case p.is("SELECT"):
		d := &Derived{Query: p.query()}
		p.expectSymbol(")")
		d.Alias, d.Columns = p.derivedAlias()
		return d
	case p.accept("VALUES"):
		v := &Values{Rows: p.rows()}
		p.expectSymbol(")")
		v.Alias, v.Columns = p.derivedAlias()
		return v
	}
	t := p.from()
	p.expectSymbol(")")
	return t
}

func (p *parser) derivedAlias() (string, []string) {
	alias := p.alias()
	if alias == "" {
		p.unexpected()
	}
	if p.isSymbol("(") {
		return alias, p.names()
	}
	return alias, nil
}

// rows reads (a, b), (c, d).
func (p *parser) rows() [][]Expr {
	return list(p, func() []Expr {
		p.expectSymbol("(")
		row := list(p, p.expr)
		p.expectSymbol(")")
		return row
	})
}

var tableHints = keywords(`UPDLOCK HOLDLOCK NOLOCK READPAST TABLOCK TABLOCKX XLOCK ROWLOCK PAGLOCK
	READUNCOMMITTED READCOMMITTED READCOMMITTEDLOCK REPEATABLEREAD SERIALIZABLE SNAPSHOT NOWAIT
	FORCESEEK FORCESCAN NOEXPAND KEEPIDENTITY KEEPDEFAULTS IGNORE_CONSTRAINTS`)

// hintsFollow tells the old form of hints, FROM t (NOLOCK), from a call.
func (p *parser) hintsFollow() bool {
	return tableHints[p.ahead(1).up]
}

func (p *parser) hints() []string {
	if p.is("WITH") && p.ahead(1).text == "(" {
		p.take()
	} else if !p.isSymbol("(") || !p.hintsFollow() {
		return nil
	}
	p.expectSymbol("(")
	var all []string
	for {
		t := p.take()
		switch {
		case t.up == "INDEX":
			if !p.acceptSymbol("=") {
				p.skipParenthesis()
			} else {
				p.take()
			}
		case !tableHints[t.up]:
			p.fail(321, "\"%s\" is not a recognized table hints option.", t.text)
		default:
			all = append(all, t.up)
		}
		if !p.acceptSymbol(",") && p.acceptSymbol(")") {
			return all
		}
	}
}

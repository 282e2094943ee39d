package tsql

func (p *parser) execute() Statement {
	p.take() // EXEC or EXECUTE
	if p.isSymbol("(") {
		p.expectSymbol("(")
		s := &Execute{Dynamic: p.expr()}
		p.expectSymbol(")")
		return s
	}
	result := ""
	if p.at(variable) && p.ahead(1).text == "=" && p.ahead(1).kind == symbol {
		result = p.take().text
		p.take()
	}
	return p.procedureCall(result)
}

func (p *parser) procedureCall(result string) Statement {
	s := &Execute{Result: result}
	if p.at(variable) {
		s.Variable = p.take().text
	} else {
		s.Procedure = p.name()
	}
	if p.endsCall() {
		return s
	}
	s.Args = list(p, p.argument)
	for _, a := range s.Args[1:] {
		if a.Name == "" && s.Args[0].Name != "" {
			p.fail(119, "Must pass parameter number %d and subsequent parameters as '@name = value'. "+
				"After the form '@name = value' has been used, all subsequent parameters must be passed in the form '@name = value'.", 2)
		}
	}
	return s
}

// endsCall reports whether no argument follows a procedure's name.
func (p *parser) endsCall() bool {
	t := p.peek()
	if t.kind == end || t.kind == symbol && t.text != "-" && t.text != "+" {
		return true
	}
	if t.kind == word && (reader(t.up) != nil || t.up == "ELSE" || t.up == "END" || t.up == "WITH") {
		return true
	}
	return t.kind == word && p.ahead(1).text == ":"
}

// argument reads [@name =] constant | @variable [OUTPUT] | DEFAULT | word. As
// on the server, an argument is no expression.
func (p *parser) argument() Argument {
	var a Argument
	if p.at(variable) && p.ahead(1).text == "=" && p.ahead(1).kind == symbol {
		a.Name = p.take().text
		p.take()
	}
	t := p.peek()
	switch {
	case t.kind == variable:
		p.take()
		a.X = &Variable{t.text}
		a.Output = p.accept("OUTPUT") || p.accept("OUT")
	case t.kind == symbol && (t.text == "-" || t.text == "+"):
		p.take()
		kind, ok := literals[p.peek().kind]
		if !ok {
			p.unexpected()
		}
		a.X = &Unary{t.text, &Literal{kind, p.take().text}}
	case p.accept("NULL"):
		a.X = &Literal{Kind: Null}
	case p.accept("DEFAULT"):
		a.X = &Literal{Kind: Default}
	default:
		kind, ok := literals[t.kind]
		switch {
		case ok:
			p.take()
			a.X = &Literal{kind, t.text}
		case p.isIdentifier(): // a bare word is a string
			a.X = &Literal{NText, p.take().text}
		default:
			p.unexpected()
		}
	}
	return a
}

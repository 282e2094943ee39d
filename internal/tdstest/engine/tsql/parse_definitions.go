package tsql

func (p *parser) create() Statement {
	start := p.peek().pos
	first := p.i == 0
	p.expect("CREATE")
	orCreate := p.accept("OR", "ALTER")
	if p.is("PROCEDURE") || p.is("PROC") || p.is("VIEW") {
		if !first {
			p.fail(111, "'CREATE %s' must be the first statement in a query batch.", p.peek().up)
		}
		m := p.module(start)
		m.OrCreate, m.Alter = orCreate, orCreate
		return m
	}
	switch {
	case p.accept("TABLE"):
		return p.tableBody(p.name())
	case p.accept("DATABASE"):
		d := &CreateDatabase{Name: p.identifier()}
		if p.accept("COLLATE") {
			d.Collation = p.identifier()
		}
		return d
	case p.accept("SCHEMA"):
		s := &CreateSchema{Name: p.identifier()}
		if p.accept("AUTHORIZATION") {
			p.identifier()
		}
		return s
	case p.accept("LOGIN"):
		return p.login()
	case p.accept("USER"):
		u := &CreateUser{Name: p.identifier()}
		u.Login = u.Name
		if p.accept("FOR", "LOGIN") || p.accept("FROM", "LOGIN") {
			u.Login = p.identifier()
		}
		return u
	}
	return p.index()
}

func (p *parser) login() Statement {
	l := &CreateLogin{Name: p.identifier()}
	p.expect("WITH", "PASSWORD")
	p.expectSymbol("=")
	if !p.at(text) && !p.at(ntext) {
		p.unexpected()
	}
	l.Password = p.take().text
	for p.acceptSymbol(",") { // CHECK_POLICY and the like
		p.take()
		p.expectSymbol("=")
		p.take()
	}
	return l
}

func (p *parser) index() Statement {
	x := &CreateIndex{Unique: p.accept("UNIQUE")}
	if !p.accept("CLUSTERED") {
		p.accept("NONCLUSTERED")
	}
	if !p.is("INDEX") {
		p.fail(102, "The simulator does not know CREATE %s.", p.peek().text)
	}
	p.expect("INDEX")
	x.Name = p.identifier()
	p.expect("ON")
	x.Table = p.name()
	x.Columns = p.names()
	if p.accept("INCLUDE") {
		p.names()
	}
	if p.accept("WHERE") {
		x.Where = p.expr()
	}
	p.indexOptions()
	return x
}

func (p *parser) indexOptions() {
	if p.is("WITH") && p.ahead(1).text == "(" {
		p.take()
		p.skipParenthesis()
	}
}

func (p *parser) module(start int) *CreateModule {
	m := &CreateModule{Kind: p.take().up}
	if m.Kind == "PROC" {
		m.Kind = "PROCEDURE"
	}
	m.Name = p.name()
	if m.Kind == "VIEW" {
		if p.isSymbol("(") {
			m.Columns = p.names()
		}
		p.expect("AS")
		m.Query = p.query()
	} else {
		if p.acceptSymbol("(") {
			m.Parameters = p.parameters()
			p.expectSymbol(")")
		} else {
			m.Parameters = p.parameters()
		}
		p.expect("AS")
		m.Body = p.statements(func() bool { return p.at(end) })
	}
	m.Source = p.src[start:]
	return m
}

func (p *parser) tableBody(n Name) *CreateTable {
	t := &CreateTable{Name: n}
	p.expectSymbol("(")
	for {
		if p.startsConstraint() {
			t.Constraints = append(t.Constraints, p.constraint(""))
		} else {
			c, own := p.column()
			t.Columns = append(t.Columns, c)
			t.Constraints = append(t.Constraints, own...)
		}
		if !p.acceptSymbol(",") || p.isSymbol(")") {
			break
		}
	}
	p.expectSymbol(")")
	p.indexOptions()
	return t
}

func (p *parser) startsConstraint() bool {
	return p.is("CONSTRAINT") || p.is("PRIMARY") || p.is("UNIQUE") || p.is("CHECK") || p.is("FOREIGN") ||
		p.is("INDEX")
}

// constraint reads a constraint of a table, or of the column.
func (p *parser) constraint(column string) Constraint {
	var c Constraint
	if p.accept("CONSTRAINT") {
		c.Name = p.identifier()
	}
	switch {
	case p.accept("PRIMARY", "KEY"):
		c.Kind = "PRIMARY KEY"
	case p.accept("UNIQUE"):
		c.Kind = "UNIQUE"
	case p.accept("INDEX"):
		c.Kind, c.Name = "INDEX", p.identifier()
	case p.accept("CHECK"):
		p.expectSymbol("(")
		c.Kind, c.Check = "CHECK", p.expr()
		p.expectSymbol(")")
		return c
	case p.accept("FOREIGN", "KEY"), column != "" && p.is("REFERENCES"):
		return p.foreignKey(c, column)
	default:
		p.unexpected()
	}
	if p.accept("CLUSTERED") {
		yes := true
		c.Clustered = &yes
	} else if p.accept("NONCLUSTERED") {
		no := false
		c.Clustered = &no
	}
	if column != "" {
		c.Columns = []string{column}
	} else {
		c.Columns = p.names()
	}
	p.indexOptions()
	return c
}

func (p *parser) foreignKey(c Constraint, column string) Constraint {
	c.Kind = "FOREIGN KEY"
	if column != "" {
		c.Columns = []string{column}
	} else {
		c.Columns = p.names()
	}
	p.expect("REFERENCES")
	n := p.name()
	c.References = &n
	if p.isSymbol("(") {
		c.Referenced = p.names()
	}
	if p.is("ON") {
		p.fail(102, "The simulator does not know actions of foreign keys.")
	}
	return c
}

func (p *parser) column() (ColumnDef, []Constraint) {
	c := ColumnDef{Name: p.identifier()}
	if p.is("AS") {
		p.fail(102, "The simulator does not know computed columns.")
	}
	c.Type = p.typeName()
	var own []Constraint
	for {
		switch {
		case p.accept("NULL"):
			yes := true
			c.Nullable = &yes
		case p.accept("NOT", "NULL"):
			no := false
			c.Nullable = &no
		case p.accept("DEFAULT"):
			c.Default = p.expr()
		case p.is("CONSTRAINT") && p.ahead(2).up == "DEFAULT":
			p.take()
			c.DefaultAs = p.identifier()
			p.take()
			c.Default = p.expr()
		case p.accept("COLLATE"):
			c.Collation = p.identifier()
		case p.accept("IDENTITY"):
			c.Identity = p.identity()
		case p.accept("ROWGUIDCOL"):
		case p.startsConstraint(), p.is("REFERENCES"):
			own = append(own, p.constraint(c.Name))
		default:
			return c, own
		}
	}
}

func (p *parser) identity() *Identity {
	i := &Identity{1, 1}
	if p.acceptSymbol("(") {
		i.Seed = int64(p.int())
		p.expectSymbol(",")
		i.Increment = int64(p.int())
		p.expectSymbol(")")
	}
	return i
}

func (p *parser) drop() Statement {
	p.expect("DROP")
	d := &Drop{Kind: p.take().up}
	switch d.Kind {
	case "PROC":
		d.Kind = "PROCEDURE"
	case "TABLE", "VIEW", "PROCEDURE", "INDEX", "DATABASE", "SCHEMA", "LOGIN", "USER":
	default:
		p.fail(102, "The simulator does not know DROP %s.", d.Kind)
	}
	d.IfExists = p.accept("IF", "EXISTS")
	d.Names = list(p, p.name)
	if d.Kind == "INDEX" && p.accept("ON") {
		d.On = p.name()
	}
	return d
}

func (p *parser) permission() Statement {
	s := &Permission{Verb: p.take().up}
	s.Permissions = list(p, func() string {
		name := ""
		for p.at(word) && !p.is("TO") && !p.is("FROM") && !p.is("ON") {
			if name != "" {
				name += " "
			}
			name += p.take().up
		}
		return name
	})
	if p.is("ON") {
		p.fail(102, "The simulator does not know permissions on objects.")
	}
	if !p.accept("TO") {
		p.expect("FROM")
	}
	if t := p.peek(); t.kind != word && t.kind != quoted {
		p.unexpected()
	}
	s.Principal = p.take().text
	return s
}

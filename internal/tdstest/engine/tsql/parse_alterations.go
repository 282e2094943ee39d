package tsql

func (p *parser) alter() Statement {
	start := p.peek().pos
	first := p.i == 0
	p.expect("ALTER")
	switch {
	case p.accept("DATABASE"):
		return p.alterDatabase()
	case p.accept("TABLE"):
		return p.alterTable()
	case p.is("PROCEDURE"), p.is("PROC"), p.is("VIEW"):
		if !first {
			p.fail(111, "'ALTER %s' must be the first statement in a query batch.", p.peek().up)
		}
		m := p.module(start)
		m.Alter = true
		return m
	}
	p.fail(102, "The simulator does not know ALTER %s.", p.peek().text)
	return nil
}

func (p *parser) alterDatabase() Statement {
	d := &AlterDatabase{}
	if !p.accept("CURRENT") {
		d.Name = p.identifier()
	}
	p.expect("SET")
	d.Options = list(p, func() DatabaseOption {
		o := DatabaseOption{Name: p.take().up}
		if p.acceptSymbol("=") || p.at(word) && !p.is("WITH") {
			o.Value = p.take().up
		}
		return o
	})
	if p.accept("WITH") {
		switch {
		case p.accept("ROLLBACK", "IMMEDIATE"):
			d.Immediate = true
		case p.accept("ROLLBACK", "AFTER"):
			p.int()
			p.accept("SECONDS")
			d.Immediate = true
		default:
			p.expect("NO_WAIT")
			d.NoWait = true
		}
	}
	return d
}

func (p *parser) alterTable() Statement {
	a := &AlterTable{Table: p.name()}
	switch {
	case p.accept("WITH", "CHECK", "ADD"), p.accept("WITH", "NOCHECK", "ADD"), p.accept("ADD"):
		p.additions(a)
	case p.accept("DROP", "CONSTRAINT"):
		p.accept("IF", "EXISTS")
		a.DropConstraint = list(p, p.identifier)
	case p.accept("DROP", "COLUMN"):
		p.accept("IF", "EXISTS")
		a.DropColumns = list(p, p.identifier)
	default:
		p.fail(102, "The simulator does not know this form of ALTER TABLE: '%s'.", p.peek().text)
	}
	return a
}

func (p *parser) additions(a *AlterTable) {
	for {
		if p.startsConstraint() {
			a.AddConstraints = append(a.AddConstraints, p.constraint(""))
		} else {
			c, own := p.column()
			a.AddColumns = append(a.AddColumns, c)
			a.AddConstraints = append(a.AddConstraints, own...)
		}
		if !p.acceptSymbol(",") {
			return
		}
	}
}

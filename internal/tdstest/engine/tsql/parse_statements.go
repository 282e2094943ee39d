package tsql

// statements reads until done says so.
func (p *parser) statements(done func() bool) []Node {
	var all []Node
	for {
		for p.acceptSymbol(";") {
			continue
		}
		if done() {
			return all
		}
		all = append(all, p.statement())
	}
}

func (p *parser) statement() Node {
	p.depth++
	if p.depth > maxDepth {
		p.fail(191, "Some part of your SQL statement is nested too deeply.")
	}
	defer func() { p.depth-- }()
	line := p.peek().line
	first := p.i == 0
	s := p.dispatch(first)
	return Node{s, line}
}

func (p *parser) dispatch(first bool) Statement {
	t := p.peek()
	if t.kind == symbol && t.text == "(" {
		return p.query()
	}
	if t.kind == word {
		if read := reader(t.up); read != nil {
			return read(p)
		}
		if p.ahead(1).text == ":" && p.ahead(1).kind == symbol {
			p.i += 2
			return &Label{t.text}
		}
	}
	if first && p.isIdentifier() { // a procedure needs no EXEC at the start of a batch
		return p.procedureCall("")
	}
	if t.kind == word && unknownStatements[t.up] {
		p.fail(102, "The simulator does not know %s.", t.up)
	}
	p.unexpected()
	return nil
}

// unknownStatements are those that the server knows and the simulator does not.
var unknownStatements = keywords(`MERGE OPEN FETCH CLOSE DEALLOCATE BACKUP RESTORE CHECKPOINT DBCC BULK REVERT
	RECONFIGURE SHUTDOWN READTEXT WRITETEXT UPDATETEXT`)

// reader returns what reads the statement that begins with a word, nil if none
// does.
func reader(word string) func(*parser) Statement {
	switch word {
	case "SELECT":
		return func(p *parser) Statement { return p.query() }
	case "WITH":
		return (*parser).withStatement
	case "INSERT":
		return (*parser).insert
	case "UPDATE":
		return (*parser).update
	case "DELETE":
		return (*parser).delete
	case "TRUNCATE":
		return (*parser).truncate
	case "USE":
		return func(p *parser) Statement { p.take(); return &Use{p.identifier()} }
	case "KILL":
		return func(p *parser) Statement { p.take(); return &Kill{p.expr()} }
	case "CREATE":
		return (*parser).create
	case "ALTER":
		return (*parser).alter
	case "DROP":
		return (*parser).drop
	case "GRANT", "DENY", "REVOKE":
		return (*parser).permission
	case "BEGIN":
		return (*parser).begin
	case "COMMIT":
		return (*parser).commit
	case "ROLLBACK":
		return (*parser).rollback
	case "SAVE":
		return (*parser).save
	}
	return flowReader(word)
}

func flowReader(word string) func(*parser) Statement {
	switch word {
	case "DECLARE":
		return (*parser).declare
	case "SET":
		return (*parser).set
	case "IF":
		return (*parser).ifStatement
	case "WHILE":
		return (*parser).while
	case "BREAK":
		return func(p *parser) Statement { p.take(); return &Break{} }
	case "CONTINUE":
		return func(p *parser) Statement { p.take(); return &Continue{} }
	case "RETURN":
		return (*parser).returnStatement
	case "GOTO":
		return (*parser).gotoStatement
	case "PRINT":
		return func(p *parser) Statement { p.take(); return &Print{p.expr()} }
	case "RAISERROR":
		return (*parser).raiseError
	case "THROW":
		return (*parser).throw
	case "WAITFOR":
		return (*parser).waitFor
	case "EXEC", "EXECUTE":
		return (*parser).execute
	}
	return nil
}

// withStatement reads WITH before a SELECT; before other statements it is not
// known.
func (p *parser) withStatement() Statement {
	at := p.i
	with := p.with()
	if !p.is("SELECT") && !p.isSymbol("(") {
		p.fail(102, "The simulator knows WITH before SELECT alone, not before '%s'.", p.peek().text)
	}
	p.i = at
	_ = with
	return p.query()
}

func (p *parser) truncate() Statement {
	p.expect("TRUNCATE", "TABLE")
	return &Truncate{p.name()}
}

func (p *parser) declare() Statement {
	p.expect("DECLARE")
	return &Variables{list(p, func() VariableItem {
		v := VariableItem{Name: p.variable()}
		p.accept("AS")
		if p.accept("TABLE") {
			v.Table = p.tableBody(Name{Parts: []string{v.Name}})
			return v
		}
		if p.is("CURSOR") {
			p.fail(102, "The simulator does not know cursors.")
		}
		v.Type = p.typeName()
		if p.acceptSymbol("=") {
			v.Value = p.expr()
		}
		return v
	})}
}

func (p *parser) set() Statement {
	p.expect("SET")
	if p.at(variable) {
		v := &SetVariable{Name: p.take().text}
		op, ok := assignments[p.peek().text]
		if !ok {
			p.unexpected()
		}
		p.take()
		v.Op, v.X = op, p.expr()
		return v
	}
	if p.accept("TRANSACTION") {
		return p.isolation()
	}
	if p.is("IDENTITY_INSERT") {
		p.fail(102, "The simulator does not know SET IDENTITY_INSERT.")
	}
	s := &SetOption{Names: list(p, func() string {
		t := p.take()
		if t.kind != word {
			p.i--
			p.unexpected()
		}
		if t.up == "STATISTICS" {
			return "STATISTICS " + p.take().up
		}
		return t.up
	})}
	switch {
	case p.accept("ON"):
		s.On = true
	case p.accept("OFF"):
	case p.at(word):
		s.Word = p.take().up
	default:
		s.Value = p.expr()
	}
	return s
}

func (p *parser) isolation() Statement {
	p.expect("ISOLATION", "LEVEL")
	for _, level := range [][]string{
		{"READ", "UNCOMMITTED"}, {"READ", "COMMITTED"}, {"REPEATABLE", "READ"}, {"SNAPSHOT"}, {"SERIALIZABLE"},
	} {
		if p.accept(level...) {
			name := level[0]
			if len(level) > 1 {
				name += " " + level[1]
			}
			return &SetIsolation{name}
		}
	}
	p.unexpected()
	return nil
}

func (p *parser) ifStatement() Statement {
	p.expect("IF")
	s := &If{Condition: p.expr()}
	then := p.body()
	s.Then = &then
	at := p.i
	for p.acceptSymbol(";") {
		continue
	}
	if p.accept("ELSE") {
		other := p.body()
		s.Else = &other
	} else {
		p.i = at
	}
	return s
}

func (p *parser) body() Node {
	if p.at(end) {
		p.unexpected()
	}
	return p.statement()
}

func (p *parser) while() Statement {
	p.expect("WHILE")
	s := &While{Condition: p.expr()}
	body := p.body()
	s.Body = &body
	return s
}

func (p *parser) until(words ...string) []Node {
	return p.statements(func() bool {
		if p.at(end) {
			p.unexpected()
		}
		return p.accept(words...)
	})
}

func (p *parser) begin() Statement {
	p.expect("BEGIN")
	switch {
	case p.accept("TRY"):
		t := &Try{Body: p.until("END", "TRY")}
		for p.acceptSymbol(";") {
			continue
		}
		p.expect("BEGIN", "CATCH")
		t.Catch = p.until("END", "CATCH")
		return t
	case p.accept("TRAN"), p.accept("TRANSACTION"):
		t := &Transaction{Kind: BeginTransaction, Name: p.transactionName()}
		if p.is("WITH", "MARK") {
			p.fail(102, "The simulator does not know BEGIN TRANSACTION ... WITH MARK.")
		}
		return t
	case p.is("DISTRIBUTED"):
		p.fail(102, "The simulator does not know distributed transactions.")
	}
	b := &Block{Body: p.until("END")}
	if len(b.Body) == 0 {
		p.i--
		p.unexpected()
	}
	return b
}

// transactionName reads the name, or the variable that holds it.
func (p *parser) transactionName() string {
	if p.at(variable) {
		return p.take().text
	}
	if p.isIdentifier() && !p.endsSource() && p.ahead(1).text != "(" {
		return p.take().text
	}
	return ""
}

func (p *parser) commit() Statement {
	p.expect("COMMIT")
	t := &Transaction{Kind: CommitTransaction}
	if p.accept("TRAN") || p.accept("TRANSACTION") {
		t.Name = p.transactionName()
		if p.is("WITH") {
			p.take()
			p.skipParenthesis()
		}
		return t
	}
	p.accept("WORK")
	return t
}

func (p *parser) rollback() Statement {
	p.expect("ROLLBACK")
	t := &Transaction{Kind: RollbackTransaction}
	if p.accept("TRAN") || p.accept("TRANSACTION") {
		t.Name = p.transactionName()
		return t
	}
	p.accept("WORK")
	return t
}

func (p *parser) save() Statement {
	p.expect("SAVE")
	if !p.accept("TRAN") {
		p.expect("TRANSACTION")
	}
	t := &Transaction{Kind: SaveTransaction, Name: p.transactionName()}
	if t.Name == "" {
		p.unexpected()
	}
	return t
}

func (p *parser) gotoStatement() Statement {
	p.expect("GOTO")
	return &Goto{p.identifier()}
}

// returnStatement reads RETURN and a value, if what follows can be one.
func (p *parser) returnStatement() Statement {
	p.expect("RETURN")
	t := p.peek()
	_, literal := literals[t.kind]
	starts := literal || t.kind == variable || t.kind == symbol && (t.text == "(" || t.text == "-" || t.text == "+") ||
		t.kind == quoted || t.up == "CASE" || t.up == "COALESCE" || t.kind == word && p.ahead(1).text == "(" && reader(t.up) == nil
	if !starts {
		return &Return{}
	}
	return &Return{p.expr()}
}

func (p *parser) raiseError() Statement {
	p.expect("RAISERROR")
	p.expectSymbol("(")
	all := list(p, p.expr)
	p.expectSymbol(")")
	if len(all) < 3 {
		p.unexpected()
	}
	s := &RaiseError{Message: all[0], Severity: all[1], State: all[2], Args: all[3:]}
	if p.is("WITH") && p.ahead(1).kind == word && p.ahead(1).text != "(" {
		p.take()
		s.Options = list(p, func() string { return p.take().up })
	}
	return s
}

func (p *parser) throw() Statement {
	p.expect("THROW")
	s := &Throw{}
	if _, literal := literals[p.peek().kind]; !literal && !p.at(variable) {
		return s
	}
	s.Number = p.expr()
	p.expectSymbol(",")
	s.Message = p.expr()
	p.expectSymbol(",")
	s.State = p.expr()
	return s
}

func (p *parser) waitFor() Statement {
	p.expect("WAITFOR")
	s := &WaitFor{}
	if p.accept("TIME") {
		s.Time = true
	} else {
		p.expect("DELAY")
	}
	s.X = p.expr()
	return s
}

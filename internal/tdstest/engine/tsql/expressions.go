package tsql

// Expr is an expression or a condition: one of the types below.
type Expr any

// LiteralKind is how a literal is written.
type LiteralKind uint8

// The kinds of literals.
const (
	Null LiteralKind = iota
	Integer
	Decimal
	Float
	Text
	NText
	Binary
	Default // the keyword, where a value may be given
)

// Literal is a constant. Text is without quotes or 0x.
type Literal struct {
	Kind LiteralKind
	Text string
}

// Name is a name of one or more parts: a column, or an object.
type Name struct {
	Parts []string
	Line  int
}

// Last returns the last part.
func (n Name) Last() string { return n.Parts[len(n.Parts)-1] }

// ColumnRef is a column; a Star is "*" or "t.*".
type ColumnRef struct {
	Name Name
	Star bool
}

// Variable is @name or @@name, with its @.
type Variable struct{ Name string }

// Unary is an operator before its operand: "-", "+", "~" or "NOT".
type Unary struct {
	Op string
	X  Expr
}

// Operation is an operator between its operands. Op is in upper case, "<>" for
// both ways of writing it.
type Operation struct {
	Op   string
	L, R Expr
}

// Call is a function's call. The Name is in upper case; Schema is as written.
type Call struct {
	Schema, Name string
	Args         []Expr
	Star         bool // COUNT(*)
	Distinct     bool
	Line         int
}

// When is one branch of a Case.
type When struct{ If, Then Expr }

// Case is CASE; Operand is nil in the searched form.
type Case struct {
	Operand Expr
	Whens   []When
	Else    Expr
}

// TypeName is a type as written: Args holds size, or precision and scale; -1
// is max.
type TypeName struct {
	Name string
	Args []int
}

// Cast is CAST or CONVERT; Try makes a failure NULL.
type Cast struct {
	X     Expr
	Type  TypeName
	Style Expr
	Try   bool
}

// In is X [NOT] IN (list or query).
type In struct {
	X     Expr
	List  []Expr
	Query *Query
	Not   bool
}

// Between is X [NOT] BETWEEN Low AND High.
type Between struct {
	X, Low, High Expr
	Not          bool
}

// Like is X [NOT] LIKE Pattern [ESCAPE Escape].
type Like struct {
	X, Pattern, Escape Expr
	Not                bool
}

// IsNull is X IS [NOT] NULL.
type IsNull struct {
	X   Expr
	Not bool
}

// Exists is EXISTS (query).
type Exists struct{ Query *Query }

// Subquery is a query in the place of a value.
type Subquery struct{ Query *Query }

// Collate is X COLLATE name.
type Collate struct {
	X    Expr
	Name string
}

package tsql

// Statement is one statement: one of the types below, in a Node.
type Statement any

// Node is a statement with its place in the batch.
type Node struct {
	Statement
	Line int
}

// OrderItem is one key of ORDER BY.
type OrderItem struct {
	X          Expr
	Descending bool
}

// CTE is one query of a WITH clause.
type CTE struct {
	Name    string
	Columns []string
	Query   *Query
}

// Query is a SELECT or several joined by UNION, EXCEPT or INTERSECT.
type Query struct {
	With          []CTE
	Selects       []*Select
	Operators     []string // between the Selects
	OrderBy       []OrderItem
	Offset, Fetch Expr
}

// SelectItem is an element of a select list. Assign is the variable it sets,
// with Op "=" or a compound operator.
type SelectItem struct {
	X      Expr
	Alias  string
	Assign string
	Op     string
}

// Select is one SELECT.
type Select struct {
	Distinct bool
	Top      *Top
	Items    []SelectItem
	Into     *Name
	From     TableExpr
	Where    Expr
	GroupBy  []Expr
	Having   Expr
}

// Top is TOP (n).
type Top struct {
	N       Expr
	Percent bool
}

// TableExpr is a source of rows: one of Table, Derived, Values, Function and
// Join.
type TableExpr any

// Table is a table or view by its name. Hints are in upper case.
type Table struct {
	Name  Name
	Alias string
	Hints []string
}

// Derived is a query in FROM.
type Derived struct {
	Query   *Query
	Alias   string
	Columns []string
}

// Values is (VALUES ...) in FROM.
type Values struct {
	Rows    [][]Expr
	Alias   string
	Columns []string
}

// Function is a table-valued function.
type Function struct {
	Call  *Call
	Alias string
}

// Join joins two sources. Kind is INNER, LEFT, RIGHT, FULL, CROSS, or CROSS
// APPLY or OUTER APPLY.
type Join struct {
	Kind string
	L, R TableExpr
	On   Expr
}

// Output is the OUTPUT clause. Its columns are of inserted and deleted.
type Output struct {
	Items []SelectItem
	Into  *Name
}

// Insert is INSERT.
type Insert struct {
	Target  Table
	Columns []string
	Output  *Output
	Rows    [][]Expr
	Query   *Query
	Default bool // DEFAULT VALUES
}

// Assignment is one col = x of an UPDATE; Op may be compound. Variable is set
// too when it is not empty.
type Assignment struct {
	Column   Name
	Variable string
	Op       string
	X        Expr
}

// Update is UPDATE.
type Update struct {
	Top    *Top
	Target Table
	Sets   []Assignment
	Output *Output
	From   TableExpr
	Where  Expr
}

// Delete is DELETE.
type Delete struct {
	Top    *Top
	Target Table
	Output *Output
	From   TableExpr
	Where  Expr
}

// Truncate is TRUNCATE TABLE.
type Truncate struct{ Table Name }

// Variables is DECLARE.
type Variables struct{ Items []VariableItem }

// VariableItem is one variable of a DECLARE. Table is not nil for a table
// variable.
type VariableItem struct {
	Name  string
	Type  TypeName
	Value Expr
	Table *CreateTable
}

// SetVariable is SET @v = x.
type SetVariable struct {
	Name, Op string
	X        Expr
}

// SetOption is SET option ON|OFF or SET option value. Name is in upper case;
// several options may be named at once.
type SetOption struct {
	Names []string
	On    bool
	Value Expr // of LOCK_TIMEOUT and the like; nil for ON and OFF
	Word  string
}

// SetIsolation is SET TRANSACTION ISOLATION LEVEL, in upper case.
type SetIsolation struct{ Level string }

// If is IF.
type If struct {
	Condition  Expr
	Then, Else *Node
}

// While is WHILE.
type While struct {
	Condition Expr
	Body      *Node
}

// Block is BEGIN ... END.
type Block struct{ Body []Node }

// Try is BEGIN TRY ... END TRY BEGIN CATCH ... END CATCH.
type Try struct{ Body, Catch []Node }

// Break is BREAK.
type Break struct{}

// Continue is CONTINUE.
type Continue struct{}

// Return is RETURN; X may be nil.
type Return struct{ X Expr }

// Goto is GOTO.
type Goto struct{ Label string }

// Label is the target of a Goto.
type Label struct{ Name string }

// Print is PRINT.
type Print struct{ X Expr }

// RaiseError is RAISERROR.
type RaiseError struct {
	Message, Severity, State Expr
	Args                     []Expr
	Options                  []string
}

// Throw is THROW; without arguments Number is nil.
type Throw struct{ Number, Message, State Expr }

// WaitFor is WAITFOR DELAY or, with Time, WAITFOR TIME.
type WaitFor struct {
	X    Expr
	Time bool
}

// Argument is one argument of a procedure's call.
type Argument struct {
	Name   string
	X      Expr
	Output bool
}

// Execute is EXEC of a procedure. Result is the variable for its status.
type Execute struct {
	Result    string
	Procedure Name
	Variable  string // the procedure's name is in a variable
	Args      []Argument
	Dynamic   Expr // EXEC ('...'); nil for a procedure
}

// Use is USE.
type Use struct{ Database string }

// Kill is KILL.
type Kill struct{ X Expr }

// TransactionKind tells the transaction statements apart.
type TransactionKind uint8

// The kinds of transaction statements.
const (
	BeginTransaction TransactionKind = iota
	CommitTransaction
	RollbackTransaction
	SaveTransaction
)

// Transaction is BEGIN, COMMIT, ROLLBACK or SAVE TRANSACTION. Name is a
// literal name, or a variable with its @, or empty. Work is set for the forms
// without TRAN, which take no name.
type Transaction struct {
	Kind TransactionKind
	Name string
}

// Package engine simulates SQL Server's behaviour without any wire: databases,
// tables, transactions, locks and T-SQL. It is a simulator: it follows what is
// documented and was captured of the server, and refuses what it does not know.
package engine

import (
	"errors"
	"fmt"
)

// ErrAttention is the cause of a request's context when the client sent an
// attention.
var ErrAttention = errors.New("engine: attention")

// ErrKilled is the cause of a request's context when another session killed it.
var ErrKilled = errors.New("engine: session killed")

// Login is what a client says of itself when it logs in, and the Address it
// comes from. An empty Database is master.
type Login struct {
	User, Password, Host, App, Library, Database string
	Address                                      string
	ReadOnlyIntent                               bool
}

// Param is one parameter of a call. Name holds its @, or is empty for one given
// by position. A Value is nil, int64, float64, bool, string, []byte, time.Time;
// that of a Decimal is a string. An int is taken for an int64.
type Param struct {
	Name   string
	Value  any
	Type   Type
	Output bool
}

// Kind is a data type without its size.
type Kind uint8

// The kinds. The zero Kind is unknown: as a parameter's it is inferred from
// the value.
const (
	Unknown Kind = iota
	Bit
	TinyInt
	SmallInt
	Int
	BigInt
	Float
	Real
	Decimal
	NVarChar
	VarChar
	NChar
	Char
	VarBinary
	Binary
	DateTime
	DateTime2
	DateTimeOffset
	Date
	Time
	UniqueIdentifier
)

// Type is a data type. Size is in characters for text and in bytes for binary
// data, -1 for max, and the precision of a Decimal; Scale is that of Decimal
// and of the date and time kinds. Values of Bit are bool, of integers int64,
// of Float and Real float64, of Decimal string in plain notation, of text
// string, of binary data and UniqueIdentifier []byte, of dates and times
// time.Time. Any may be nil.
type Type struct {
	Kind  Kind
	Size  int
	Scale int
}

// Column describes one column of a result.
type Column struct {
	Name     string
	Type     Type
	Nullable bool
}

// Message is an error, or an information when its Class is at most 10.
type Message struct {
	Number       int32
	State, Class uint8
	Text         string
	Procedure    string
	Line         int32
}

// Error returns the number and the text.
func (m *Message) Error() string { return fmt.Sprintf("mssql simulator: %d: %s", m.Number, m.Text) }

// DoneKind tells the three tokens that end a statement, a procedure and a
// statement within a procedure apart.
type DoneKind uint8

// The kinds of DONE, each with the value of its token.
const (
	Done       DoneKind = 0xFD
	DoneProc   DoneKind = 0xFE
	DoneInProc DoneKind = 0xFF
)

// The bits of a DONE token's status.
const (
	StatusMore     uint16 = 0x1
	StatusError    uint16 = 0x2
	StatusInXact   uint16 = 0x4
	StatusCount    uint16 = 0x10
	StatusAttn     uint16 = 0x20
	StatusSrvError uint16 = 0x100
)

// Change is what became of a session's transaction; it has the value of the
// ENVCHANGE that tells the client.
type Change uint8

// The changes. They are told only when @@TRANCOUNT leaves or reaches 0.
const (
	Began      Change = 8
	Committed  Change = 9
	RolledBack Change = 10
)

// Tokens receives the tokens of a reply in their order. A reply has ended when
// the Session's method returns; its last Done is without StatusMore. Tokens is
// called on the goroutine of the request alone and must not call the Session.
type Tokens interface {
	// Columns begins a result.
	Columns(cols []Column)
	// Row adds a row to the result that was begun last.
	Row(values []any)
	// Message is an ERROR, or an INFO when its class is at most 10.
	Message(m Message)
	// Done ends a statement, a procedure or a request.
	Done(kind DoneKind, status, command uint16, rows uint64)
	// ReturnStatus is what a procedure returned.
	ReturnStatus(status int32)
	// ReturnValue is an output parameter of a call.
	ReturnValue(name string, t Type, value any)
	// Transaction tells of a change; the descriptor is that of the transaction
	// which began or ended.
	Transaction(change Change, descriptor uint64)
	// Database is told after USE; an INFO 5701 follows.
	Database(name string)
}

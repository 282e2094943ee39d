package tdstest

import (
	"fmt"
	"strings"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine"
)

// Kind tells the requests of a client apart.
type Kind int

// The kinds of requests.
const (
	// KindBatch is a SQL batch.
	KindBatch Kind = iota + 1
	// KindRPC is a call of a procedure, which sp_executesql is too.
	KindRPC
	// KindTransaction is a transaction manager's request.
	KindTransaction
	// KindAttention is an attention, which asks that the request under way be
	// ended. It is no round trip of its own.
	KindAttention
)

// String returns a word for the kind.
func (k Kind) String() string {
	words := [...]string{KindBatch: "batch", KindRPC: "rpc", KindTransaction: "transaction", KindAttention: "attention"}
	if k < KindBatch || int(k) >= len(words) {
		return fmt.Sprintf("Kind(%d)", int(k))
	}
	return words[k]
}

// Operation is what a transaction manager's request asks for.
type Operation uint16

// The operations, each with its number in the protocol.
const (
	OperationBegin    Operation = 5
	OperationCommit   Operation = 7
	OperationRollback Operation = 8
	OperationSave     Operation = 9
)

// Request is one request of a client.
type Request struct {
	// Connection numbers the server's connections from 1, Session is @@SPID.
	Connection, Session int
	Kind                Kind
	// Text is the SQL of a batch, or the statement of sp_executesql.
	Text string
	// Procedure is the name that an RPC calls, sp_executesql included.
	Procedure string
	// Params are those of an RPC, for sp_executesql with the statement and the
	// declarations. They must not be changed.
	Params []engine.Param
	// Operation, Isolation (0 for no change, 1 to 5) and Name are those of a
	// transaction manager's request.
	Operation Operation
	Isolation uint8
	Name      string
	// Descriptor is the transaction that the client thinks is open, 0 for none.
	Descriptor uint64
	// Reset is whether the reset bit was set, KeepTransaction whether it was the
	// one that leaves the transaction open.
	Reset, KeepTransaction bool

	next *Request // the begin that a commit or rollback asks for in one go
}

// parseRequest reads a message that is neither an attention nor of a login.
func parseRequest(m message) (Request, error) {
	c := &cursor{rest: m.payload}
	r := Request{
		Reset:           m.status&(statusReset|statusResetKeepsTran) != 0,
		KeepTransaction: m.status&statusResetKeepsTran != 0,
	}
	r.Descriptor = c.allHeaders()
	switch m.kind {
	case packetBatch:
		r.Kind = KindBatch
		if len(c.rest)%2 != 0 {
			c.fail(malformed("batch of %d bytes", len(c.rest)))
		}
		r.Text = decodeUTF16(c.rest)
	case packetRPC:
		r.Kind = KindRPC
		c.call(&r)
	case packetTransaction:
		r.Kind = KindTransaction
		c.transaction(&r)
	default:
		c.fail(malformed("message of type %d after the login", m.kind))
	}
	return r, c.err
}

// allHeaders reads ALL_HEADERS and returns the transaction descriptor, which
// every request must have.
func (c *cursor) allHeaders() uint64 {
	const transactionHeader = 2
	headers := c.block()
	var descriptor uint64
	found := false
	for headers.more() {
		header := headers.block()
		if header.uint16() == transactionHeader {
			descriptor, found = header.uint64(), true
			header.uint32() // requests outstanding, always 1 without MARS
		}
		if header.err != nil {
			headers.fail(header.err)
		}
	}
	switch {
	case headers.err != nil:
		c.fail(headers.err)
	case !found:
		c.fail(malformed("request without transaction descriptor"))
	}
	return descriptor
}

// block reads a length that counts itself, and returns what it encloses.
func (c *cursor) block() *cursor {
	enclosed := c.take(int(c.uint32()) - 4)
	return &cursor{rest: enclosed, err: c.err}
}

// procedures are those that have a number.
var procedures = map[uint16]string{
	1: "sp_cursor", 2: "sp_cursoropen", 3: "sp_cursorprepare", 4: "sp_cursorexecute", 5: "sp_cursorprepexec",
	6: "sp_cursorunprepare", 7: "sp_cursorfetch", 8: "sp_cursoroption", 9: "sp_cursorclose", 10: "sp_executesql",
	11: "sp_prepare", 12: "sp_execute", 13: "sp_prepexec", 14: "sp_prepexecrpc", 15: "sp_unprepare",
}

func (c *cursor) call(r *Request) {
	const byNumber = 0xFFFF
	if n := c.uint16(); n == byNumber {
		number := c.uint16()
		name, ok := procedures[number]
		if !ok {
			c.fail(malformed("procedure number %d", number))
		}
		r.Procedure = name
	} else {
		r.Procedure = decodeUTF16(c.take(2 * int(n)))
	}
	c.uint16() // options: recompile and metadata
	for c.more() {
		r.Params = append(r.Params, c.param())
	}
	if strings.EqualFold(r.Procedure, "sp_executesql") && len(r.Params) > 0 {
		r.Text, _ = r.Params[0].Value.(string)
	}
}

func (c *cursor) param() engine.Param {
	const (
		nextCall       = 0x80 // stands in the place of a name's length
		flagOutput     = 0x01
		flagDefault    = 0x02
		flagEncrypted  = 0x08
		flagsSupported = flagOutput
	)
	if c.rest[0] >= nextCall {
		c.fail(&unsupportedError{what: "several calls in one request"})
		return engine.Param{}
	}
	p := engine.Param{Name: c.shortText()}
	flags := c.uint8()
	if flags&(flagDefault|flagEncrypted) != 0 {
		c.fail(&unsupportedError{what: fmt.Sprintf("a parameter with flags 0x%02X, only 0x%02X is known", flags, flagsSupported)})
		return p
	}
	t := c.typeInfo()
	p.Type, p.Output = t.Type, flags&flagOutput != 0
	p.Value = c.value(t)
	return p
}

func (c *cursor) transaction(r *Request) {
	const flagBegin = 0x01
	r.Operation = Operation(c.uint16())
	switch r.Operation {
	case OperationBegin:
		r.Isolation, r.Name = c.isolation(), c.shortText()
	case OperationSave:
		r.Name = c.shortText()
	case OperationCommit, OperationRollback:
		r.Name = c.shortText()
		if c.uint8()&flagBegin != 0 {
			r.next = &Request{Kind: KindTransaction, Operation: OperationBegin}
			r.next.Isolation, r.next.Name = c.isolation(), c.shortText()
		}
	default:
		if c.err == nil {
			c.fail(&unsupportedError{what: fmt.Sprintf("transaction manager request %d", r.Operation)})
		}
	}
}

func (c *cursor) isolation() uint8 {
	level := c.uint8()
	if level > 5 {
		c.fail(malformed("isolation level %d", level))
	}
	return level
}

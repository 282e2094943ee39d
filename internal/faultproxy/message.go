package faultproxy

import "strings"

// Message is what a rule is matched with: a message of a PostgreSQL or TDS
// client, or what was read at once from the client of an opaque connection.
type Message struct {
	// Type is the type byte of a PostgreSQL message, such as 'Q' for Query, or
	// the packet type of a TDS message, such as [TDSBatch]; zero for a
	// PostgreSQL start-up packet and on an opaque connection.
	Type byte
	// SQL is the text of a statement, and empty for every other message.
	// PostgreSQL has it in Query and Parse messages. In TDS it is the text of a
	// batch or of what sp_executesql is to execute, the name of another
	// procedure, or what a transaction-manager request is in Transact-SQL:
	// BEGIN, COMMIT, ROLLBACK or SAVE TRANSACTION, and the name if it has one.
	SQL string
	// Payload is all the bytes, with types, lengths and packet headers. A
	// matcher must neither change nor keep it.
	Payload []byte

	kind messageKind
}

// messageKind tells apart what a client's stream is made of.
type messageKind int

const (
	opaqueBytes messageKind = iota
	startupPacket
	encryptionPacket // PostgreSQL's SSLRequest or GSSENCRequest
	cancelPacket     // PostgreSQL's CancelRequest, which has its own connection
	attentionMessage // TDS's way to cancel, on the connection of the request
	statementMessage
	otherMessage
)

// Matcher reports whether a rule applies to a message. It is called once per
// message, by several connections at a time, and may call the proxy's methods
// other than Close.
type Matcher func(Message) bool

// Query matches a statement whose SQL text contains the substring, in any
// case; [Message] says what the text is. One message may carry several
// statements, and the substring may be in any of them. A PostgreSQL Parse
// message prepares a statement, which may be executed in a later round trip or
// any number of times without another Parse; to match its execution, use
// [MessageType] of 'E'.
func Query(substring string) Matcher {
	substring = strings.ToLower(substring)
	return func(m Message) bool {
		return m.kind == statementMessage && strings.Contains(strings.ToLower(m.SQL), substring)
	}
}

// MessageType matches a message by its type: in PostgreSQL such as 'E' for
// Execute, 'S' for Sync or 'X' for Terminate, in TDS such as [TDSAttention].
func MessageType(t byte) Matcher {
	return func(m Message) bool { return t != 0 && m.Type == t }
}

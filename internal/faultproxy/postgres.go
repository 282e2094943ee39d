package faultproxy

import (
	"bytes"
	"encoding/binary"
)

// Frontend message types and request codes, from the chapter "Message Formats"
// of PostgreSQL's documentation.
const (
	queryMessage        = 'Q'
	parseMessage        = 'P'
	syncMessage         = 'S'
	functionCallMessage = 'F'

	protocolMajor = 3
	cancelCode    = 80877102
	sslCode       = 80877103
	gssCode       = 80877104
	packetHeader  = 8       // length and code
	messageHeader = 5       // type and length
	packetLimit   = 10_000  // MAX_STARTUP_PACKET_LENGTH of the server
	messageLimit  = 1 << 30 // the server takes less than this
)

// packetStart begins every packet whose length is within packetLimit.
var packetStart = []byte{0, 0}

// postgresProtocol is PostgreSQL's, version 3, without encryption.
type postgresProtocol struct {
	state postgresState
}

type postgresState int

const (
	opening postgresState = iota // packets without a type byte
	established
	ended // nothing is meant to follow
)

func (*postgresProtocol) replies() replyStream { return &postgresReplies{} }

// paired is false: a client may send many messages before it reads an answer.
func (*postgresProtocol) paired() bool { return false }

func (p *postgresProtocol) first(b []byte) (Message, error) {
	switch p.state {
	case opening:
		return p.firstPacket(b)
	case established:
		return firstTyped(b)
	}
	return Message{}, errForeign
}

func (p *postgresProtocol) firstPacket(b []byte) (Message, error) {
	if !bytes.HasPrefix(packetStart, b[:min(len(packetStart), len(b))]) {
		return Message{}, errForeign
	}
	if len(b) < packetHeader {
		return Message{}, errIncomplete
	}
	length := binary.BigEndian.Uint32(b)
	kind := packetKind(binary.BigEndian.Uint32(b[4:]))
	if length < packetHeader || length > packetLimit || kind == opaqueBytes {
		return Message{}, errForeign
	}
	if len(b) < int(length) {
		return Message{}, errIncomplete
	}
	switch kind {
	case startupPacket:
		p.state = established
	case cancelPacket:
		p.state = ended
	}
	return Message{Payload: b[:length], kind: kind}, nil
}

func packetKind(code uint32) messageKind {
	switch {
	case code == cancelCode:
		return cancelPacket
	case code == sslCode, code == gssCode:
		return encryptionPacket
	case code>>16 == protocolMajor:
		return startupPacket
	}
	return opaqueBytes
}

func firstTyped(b []byte) (Message, error) {
	if len(b) < messageHeader {
		return Message{}, errIncomplete
	}
	length := binary.BigEndian.Uint32(b[1:])
	if length < 4 || length > messageLimit {
		return Message{}, errForeign
	}
	size := int(length) + 1 // the length does not include the type
	if len(b) < size {
		return Message{}, errIncomplete
	}
	m := Message{Type: b[0], Payload: b[:size], kind: otherMessage}
	if m.Type == queryMessage || m.Type == parseMessage {
		m.kind, m.SQL = statementMessage, statementText(m)
	}
	return m, nil
}

// statementText returns the SQL text of a Query or Parse message.
func statementText(m Message) string {
	text := m.Payload[messageHeader:]
	if m.Type == parseMessage { // the statement's name comes first
		_, text, _ = bytes.Cut(text, []byte{0})
	}
	text, _, _ = bytes.Cut(text, []byte{0})
	return string(text)
}

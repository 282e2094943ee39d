package faultproxy

import (
	"encoding/binary"
	"slices"
)

// Types of TDS messages, for [MessageType] and [Message].
const (
	TDSBatch       byte = 1  // text of statements
	TDSRPC         byte = 3  // call of a procedure, and statements with arguments
	TDSAttention   byte = 6  // cancels what is under way
	TDSTransaction byte = 14 // transaction-manager request: begin, commit and others
)

// Other packet types and what is needed of packets, from MS-TDS, section 2.2.3.1.
const (
	tdsReply    byte = 4
	tdsLogin    byte = 16
	tdsPrelogin byte = 18

	tdsHeader       = 8    // type, status, length, process, number, window
	tdsEndOfMessage = 0x01 // a bit of the status

	// tlsHandshake begins what PRELOGIN packets carry when encryption was
	// agreed on, and is no option that a PRELOGIN message could begin with.
	tlsHandshake = 0x16
)

// tdsClientTypes are all packet types of a client, with bulk load (7),
// federated authentication (8) and SSPI (17).
var tdsClientTypes = []byte{TDSBatch, TDSRPC, TDSAttention, 7, 8, TDSTransaction, tdsLogin, 17, tdsPrelogin}

// tdsProtocol is TDS 7.2 and later, without encryption.
type tdsProtocol struct{}

func (tdsProtocol) replies() replyStream { return &tdsReplies{} }

// paired is true: a client awaits the reply before its next message, but for
// an attention.
func (tdsProtocol) paired() bool { return true }

func (tdsProtocol) first(b []byte) (Message, error) {
	var body []byte
	for size := 0; ; {
		rest := b[size:]
		if len(rest) > 0 && (rest[0] != b[0] || !slices.Contains(tdsClientTypes, rest[0])) {
			return Message{}, errForeign
		}
		if len(rest) < tdsHeader {
			return Message{}, errIncomplete
		}
		length := int(binary.BigEndian.Uint16(rest[2:]))
		if length < tdsHeader {
			return Message{}, errForeign
		}
		if len(rest) < length {
			return Message{}, errIncomplete
		}
		body = append(body, rest[tdsHeader:length]...)
		size += length
		if rest[1]&tdsEndOfMessage != 0 {
			return tdsMessage(b[:size], body)
		}
	}
}

// tdsMessage is the message of these packets, whose contents are body.
func tdsMessage(packets, body []byte) (Message, error) {
	m := Message{Type: packets[0], Payload: packets, kind: otherMessage}
	switch m.Type {
	case tdsPrelogin:
		if len(body) > 0 && body[0] == tlsHandshake {
			return Message{}, errForeign
		}
		m.kind = startupPacket
	case tdsLogin:
		m.kind = startupPacket
	case TDSAttention:
		m.kind = attentionMessage
	case TDSBatch, TDSRPC, TDSTransaction:
		m.kind, m.SQL = statementMessage, tdsText(m.Type, body)
	}
	return m, nil
}

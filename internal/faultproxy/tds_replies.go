package faultproxy

import (
	"encoding/binary"
	"slices"
)

// From MS-TDS, section 2.2.7.6: every reply to a request ends with a token of
// the DONE family, of this size.
const (
	doneToken     = 0xFD
	doneSize      = 13
	doneAttention = 0x20 // a bit of its status
)

// tdsReplies follows a server's stream packet by packet without holding any
// byte back.
type tdsReplies struct {
	unframed bool
	// awaited are the client's messages without a complete reply, the oldest
	// first: whether each is an attention.
	awaited []bool
	header  []byte // of a packet whose header is incomplete
	body    int    // bytes of the packet still to come
	last    bool   // the packet is the message's last
	tail    []byte // the last bytes of the message, up to doneSize
}

// sent notes a client's message. Each has a reply, an attention too.
func (s *tdsReplies) sent(m Message) (asks bool) {
	if m.kind == opaqueBytes {
		s.unframed = true
		return false
	}
	s.awaited = append(s.awaited, m.kind == attentionMessage)
	return true
}

func (s *tdsReplies) exact() bool { return !s.unframed }

// next takes bytes up to and including the next end of a message.
func (s *tdsReplies) next(b []byte) (n, answers int) {
	for n < len(b) && !s.unframed {
		if s.body == 0 {
			s.takeHeader(b[n])
			n++
		} else {
			took := min(s.body, len(b)-n)
			s.keep(b[n : n+took])
			s.body -= took
			n += took
		}
		if s.last && s.body == 0 {
			return n, s.endMessage()
		}
	}
	return len(b), 0
}

func (s *tdsReplies) takeHeader(b byte) {
	s.header = append(s.header, b)
	if len(s.header) < tdsHeader {
		return
	}
	length := int(binary.BigEndian.Uint16(s.header[2:]))
	s.unframed = s.header[0] != tdsReply || length < tdsHeader
	s.last = s.header[1]&tdsEndOfMessage != 0
	s.body = length - tdsHeader
	s.header = s.header[:0]
}

// keep keeps the end of the message's bytes.
func (s *tdsReplies) keep(b []byte) {
	s.tail = append(s.tail, b[max(0, len(b)-doneSize):]...)
	s.tail = slices.Delete(s.tail, 0, max(0, len(s.tail)-doneSize))
}

// endMessage returns how many of the client's messages are answered by the one
// that has just ended. That is one, but a server may acknowledge an attention
// in the reply to the request that it cancels.
func (s *tdsReplies) endMessage() (answers int) {
	answers = min(1, len(s.awaited))
	if s.acknowledges() {
		answers = 1 + slices.Index(s.awaited, true)
	}
	s.awaited = slices.Delete(s.awaited, 0, answers)
	s.last, s.tail = false, s.tail[:0]
	return answers
}

// acknowledges reports whether the message acknowledges an attention.
func (s *tdsReplies) acknowledges() bool {
	return len(s.tail) == doneSize && s.tail[0] == doneToken && s.tail[1]&doneAttention != 0
}

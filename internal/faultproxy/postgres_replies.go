package faultproxy

import "encoding/binary"

// readyForQueryMessage is the backend message with which the server tells that
// it has answered all it was asked and awaits the next request.
const readyForQueryMessage = 'Z'

// postgresReplies follows a server's stream message by message without holding
// any byte back. The zero value takes the stream for opaque.
type postgresReplies struct {
	framed    bool
	oneByte   bool   // the next byte answers an encryption request, untyped
	header    []byte // of a message whose header is incomplete
	inMessage byte   // type of the message whose body is under way
	body      int    // bytes of it still to come
	greeted   bool   // a ReadyForQuery was seen
}

// sent notes a client's message. The server ends its answer to some of them
// with a ReadyForQuery. A Sync within COPY FROM STDIN of the extended protocol,
// which the server ignores, is not told apart.
func (s *postgresReplies) sent(m Message) (asks bool) {
	s.expect(m.kind)
	switch m.Type {
	case queryMessage, syncMessage, functionCallMessage:
		return true
	}
	return m.kind == startupPacket
}

// exact is false during connection set-up, whose answers end in many ways.
func (s *postgresReplies) exact() bool { return s.framed && s.greeted }

// expect prepares for the answer to a client's message.
func (s *postgresReplies) expect(kind messageKind) {
	switch kind {
	case startupPacket:
		s.framed = true
	case encryptionPacket:
		s.framed, s.oneByte = true, true
	case opaqueBytes, cancelPacket:
		s.framed = false
	}
}

// next takes bytes up to and including the next end of a ReadyForQuery
// message.
func (s *postgresReplies) next(b []byte) (n, answers int) {
	for n < len(b) && s.framed {
		switch {
		case s.oneByte:
			n += s.takeAnswer(b[n])
		case s.body > 0:
			took := min(s.body, len(b)-n)
			s.body -= took
			n += took
			if s.body == 0 && s.inMessage == readyForQueryMessage {
				s.greeted = true
				return n, 1
			}
		default:
			s.takeHeader(b[n])
			n++
		}
	}
	return len(b), 0
}

// takeAnswer takes the answer to an encryption request and returns how many
// bytes that was: 'N' declines, and an error message declines as well; anything
// else begins encryption.
func (s *postgresReplies) takeAnswer(answer byte) int {
	s.oneByte = false
	if answer == 'E' {
		return 0
	}
	s.framed = answer == 'N'
	return 1
}

func (s *postgresReplies) takeHeader(b byte) {
	s.header = append(s.header, b)
	if len(s.header) < messageHeader {
		return
	}
	length := binary.BigEndian.Uint32(s.header[1:])
	s.framed = length >= 4 && length <= messageLimit
	s.inMessage, s.body = s.header[0], int(length)-4
	s.header = s.header[:0]
}

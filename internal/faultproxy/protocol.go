package faultproxy

import "errors"

// A protocol knows how one connection's client and server speak. The proxy has
// one of it for each connection.
type protocol interface {
	// first returns the message that the client's bytes begin with; they are
	// not empty. The error is errIncomplete while more bytes must come first,
	// and errForeign if the bytes are not of the protocol, or encrypted.
	first(b []byte) (Message, error)
	// replies returns what follows the server's stream.
	replies() replyStream
	// paired says that each message has a reply of its own, so that round trips
	// are counted by messages and not by bursts of bytes.
	paired() bool
}

// A replyStream follows a server's stream without holding any byte back.
type replyStream interface {
	// sent notes a client's message before it is passed on, and reports whether
	// the server will end its answer to it in a way that next can see.
	sent(m Message) (asks bool)
	// next takes bytes up to and including the next end of an answer. It
	// returns how many it took, all if there is none, and how many answers end
	// there.
	next(b []byte) (n, answers int)
	// exact says that answers are told apart from now on. Where they are not,
	// any byte is an answer.
	exact() bool
}

var (
	errIncomplete = errors.New("incomplete message")
	errForeign    = errors.New("not of the protocol")
)

// sniff returns the protocol that may begin with the byte, or nil.
func sniff(first byte) protocol {
	switch first {
	case packetStart[0]:
		return &postgresProtocol{}
	case tdsPrelogin:
		return &tdsProtocol{}
	}
	return nil
}

// requests splits a client's stream into messages. A stream that turns out to
// be of no known protocol is opaque from there on. The zero value is at the
// beginning of a stream.
type requests struct {
	protocol protocol // nil before the first byte, and if none is known
	opaque   bool
	buffer   []byte // an incomplete message
}

// split takes the stream's next bytes and returns the messages that they
// complete.
func (r *requests) split(b []byte) []Message {
	r.buffer = append(r.buffer, b...)
	if r.protocol == nil && len(r.buffer) > 0 {
		r.protocol = sniff(r.buffer[0])
		r.opaque = r.protocol == nil
	}
	var messages []Message
	for len(r.buffer) > 0 {
		m, ok := r.take()
		if !ok {
			break
		}
		r.buffer = r.buffer[len(m.Payload):]
		messages = append(messages, m)
	}
	return messages
}

// take returns the first message of the buffer, or false if it is incomplete.
// When the stream becomes opaque, all that is in the buffer is a message.
func (r *requests) take() (Message, bool) {
	if !r.opaque {
		m, err := r.protocol.first(r.buffer)
		if !errors.Is(err, errForeign) {
			return m, err == nil
		}
		r.opaque = true
	}
	return Message{Payload: r.buffer}, true
}

// rest returns the bytes withheld as an incomplete message, for the end of the
// stream.
func (r *requests) rest() []byte { return r.buffer }

// paired reports whether round trips are counted by messages.
func (r *requests) paired() bool { return !r.opaque && r.protocol != nil && r.protocol.paired() }

package tdstest

import (
	"encoding/binary"
	"io"
)

// packetType is the first byte of every packet.
type packetType uint8

const (
	packetBatch       packetType = 1
	packetRPC         packetType = 3
	packetReply       packetType = 4
	packetAttention   packetType = 6
	packetTransaction packetType = 14
	packetLogin       packetType = 16
	packetPrelogin    packetType = 18
)

// The bits of a packet's status.
const (
	statusEndOfMessage   = 0x01
	statusIgnore         = 0x02
	statusReset          = 0x08
	statusResetKeepsTran = 0x10
)

const (
	packetHeaderSize  = 8
	defaultPacketSize = 4096
	minPacketSize     = 512
	maxPacketSize     = 32767

	// maxMessageSize bounds what a client can make the simulator keep.
	maxMessageSize = 64 << 20
)

// message is what a client sent in one or more packets.
type message struct {
	kind    packetType
	status  uint8 // of the first packet, which alone may carry the reset bits
	ignored bool  // taken back by the client in its last packet
	payload []byte
}

// messageReader puts packets together. It is used by one goroutine at a time.
type messageReader struct {
	source io.Reader
	limit  int // the largest packet accepted
}

// next returns the next message. An attention ends a message that is not
// complete, which is then lost.
func (r *messageReader) next() (message, error) {
	var m message
	for first := true; ; first = false {
		kind, status, body, err := r.packet()
		switch {
		case err != nil:
			return message{}, err
		case kind == packetAttention:
			return message{kind: packetAttention}, nil
		case first:
			m.kind, m.status = kind, status
		case kind != m.kind:
			return message{}, malformed("packet type %d within a message of type %d", kind, m.kind)
		}
		if len(m.payload)+len(body) > maxMessageSize {
			return message{}, malformed("message of more than %d bytes", maxMessageSize)
		}
		m.payload = append(m.payload, body...)
		if status&statusEndOfMessage != 0 {
			m.ignored = status&statusIgnore != 0
			return m, nil
		}
	}
}

func (r *messageReader) packet() (packetType, uint8, []byte, error) {
	var header [packetHeaderSize]byte
	if _, err := io.ReadFull(r.source, header[:]); err != nil {
		return 0, 0, nil, err
	}
	kind, size := packetType(header[0]), int(binary.BigEndian.Uint16(header[2:]))
	switch kind {
	case packetBatch, packetRPC, packetAttention, packetTransaction, packetLogin, packetPrelogin:
	default:
		return 0, 0, nil, malformed("packet type %d", kind)
	}
	if size < packetHeaderSize || size > r.limit {
		return 0, 0, nil, malformed("packet of %d bytes, limit %d", size, r.limit)
	}
	body := make([]byte, size-packetHeaderSize)
	if _, err := io.ReadFull(r.source, body); err != nil {
		return 0, 0, nil, err
	}
	return kind, header[1], body, nil
}

// replyWriter cuts one reply into packets and sends each when it is full and
// more follows, so that the last one is never empty.
type replyWriter struct {
	destination io.Writer
	size        int // of a packet
	spid        uint16
	packet      []byte
	sequence    uint8
	budget      int    // bytes that may still be sent, packet headers included; -1 for no limit
	before      func() // called once before anything is sent; may be nil
	err         error
}

func newReplyWriter(destination io.Writer, size, spid int) *replyWriter {
	return &replyWriter{destination: destination, size: size, spid: uint16(spid), budget: -1}
}

func (w *replyWriter) write(b []byte) {
	for len(b) > 0 && w.err == nil {
		if len(w.packet) == w.size {
			w.send(0)
		}
		if len(w.packet) == 0 {
			w.packet = append(w.packet, make([]byte, packetHeaderSize)...)
		}
		n := min(len(b), w.size-len(w.packet))
		w.packet = append(w.packet, b[:n]...)
		b = b[n:]
	}
}

// finish sends the last packet of the reply.
func (w *replyWriter) finish() error {
	if len(w.packet) > 0 {
		w.send(statusEndOfMessage)
	}
	w.sequence = 0
	return w.err
}

func (w *replyWriter) send(status uint8) {
	w.sequence++
	w.packet[0], w.packet[1] = byte(packetReply), status
	binary.BigEndian.PutUint16(w.packet[2:], uint16(len(w.packet)))
	binary.BigEndian.PutUint16(w.packet[4:], w.spid)
	w.packet[6] = w.sequence
	w.deliver(w.packet)
	w.packet = w.packet[:0]
}

// deliver writes b, or as much of it as the budget allows.
func (w *replyWriter) deliver(b []byte) {
	if w.err != nil {
		return
	}
	if w.before != nil {
		w.before()
		w.before = nil
	}
	short := w.budget >= 0 && len(b) >= w.budget
	if short {
		b = b[:w.budget]
	}
	if len(b) > 0 {
		_, w.err = w.destination.Write(b)
	}
	if w.budget >= 0 {
		w.budget -= len(b)
	}
	if short && w.err == nil {
		w.err = errCut
	}
}

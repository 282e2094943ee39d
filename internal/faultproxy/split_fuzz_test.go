package faultproxy

import (
	"bytes"
	"testing"
)

// chunks cuts a stream into pieces of the lengths that sizes tell, over and over.
func chunks(stream, sizes []byte) (all [][]byte) {
	if len(sizes) == 0 {
		sizes = []byte{255}
	}
	for i := 0; len(stream) > 0; i++ {
		n := min(1+int(sizes[i%len(sizes)]), len(stream))
		all = append(all, stream[:n])
		stream = stream[n:]
	}
	return all
}

// splitAll splits a client's stream that comes in chunks.
func splitAll(pieces [][]byte) (messages []Message, rest []byte) {
	var r requests
	for _, piece := range pieces {
		for _, m := range r.split(piece) {
			m.Payload = bytes.Clone(m.Payload)
			messages = append(messages, m)
		}
	}
	return messages, bytes.Clone(r.rest())
}

// FuzzSplit cuts a client's stream anywhere: no byte may be lost or changed, and
// as long as the protocol is known, the messages do not depend on the cuts.
func FuzzSplit(f *testing.F) {
	startup := []byte{0, 0, 0, 8, 0, 3, 0, 0}
	query := append([]byte{'Q', 0, 0, 0, 13}, "select 1\x00"...)
	f.Add(append(bytes.Clone(startup), query...), []byte{0})
	f.Add([]byte{0, 0, 0, 8, 4, 210, 22, 47, 0, 0, 0, 8, 0, 3, 0, 0, 'P', 0, 0, 0, 10, 's', 0, 'x', 0, 0, 0}, []byte{2, 5})
	hello := tdsPacket(18, 1, "\xff")
	f.Add([]byte(hello+tdsPacket(1, 0, "half")), []byte{7})
	f.Add([]byte(hello+tdsPacket(3, 0, "half")+tdsPacket(3, 1, "rest")), []byte{1, 9, 200})
	f.Add([]byte(hello+tdsPacket(14, 1, "\x16\x00\x00\x00\x12\x00\x00\x00\x02\x00xxxxxxxxxxxx\x07\x00")), []byte{30})
	f.Add([]byte("GET / HTTP/1.0\r\n"), []byte{3})
	f.Fuzz(func(t *testing.T, stream, sizes []byte) {
		whole, rest := splitAll(chunks(stream, nil))
		cut, cutRest := splitAll(chunks(stream, sizes))
		if got := joined(cut, cutRest); !bytes.Equal(got, stream) {
			t.Fatalf("% x became % x", stream, got)
		}
		if got := joined(whole, rest); !bytes.Equal(got, stream) {
			t.Fatalf("% x became % x", stream, got)
		}
		for i := range min(len(whole), len(cut)) {
			if whole[i].kind == opaqueBytes || cut[i].kind == opaqueBytes {
				return
			}
			if !bytes.Equal(whole[i].Payload, cut[i].Payload) || whole[i].SQL != cut[i].SQL || whole[i].kind != cut[i].kind {
				t.Fatalf("message %d is %+v, and %+v where the stream is cut", i, whole[i], cut[i])
			}
		}
	})
}

func joined(messages []Message, rest []byte) (all []byte) {
	for _, m := range messages {
		all = append(all, m.Payload...)
	}
	return append(all, rest...)
}

// FuzzReplies cuts a server's stream anywhere: how many answers it holds must not
// depend on the cuts, and every byte is passed on.
func FuzzReplies(f *testing.F) {
	ready := []byte{'Z', 0, 0, 0, 5, 'I'}
	done := string([]byte{0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	attention := string([]byte{0xFD, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add(false, bytes.Repeat(ready, 3), []byte{1}, []byte{0, 1})
	f.Add(false, append([]byte{'E', 0, 0, 0, 6, 'x', 0}, ready...), []byte{3}, []byte{2})
	f.Add(true, []byte(tdsPacket(4, 1, done)+tdsPacket(4, 1, attention)), []byte{4}, []byte{0, 3})
	f.Add(true, []byte(tdsPacket(4, 0, done[:5])+tdsPacket(4, 1, done[5:])), []byte{0, 20}, []byte{0})
	f.Fuzz(func(t *testing.T, tds bool, stream, sizes, asked []byte) {
		count := func(pieces [][]byte) (total int) {
			s := newReplies(tds, asked)
			for _, piece := range pieces {
				for len(piece) > 0 {
					n, answers := s.next(piece)
					if n < 1 || n > len(piece) || answers < 0 {
						t.Fatalf("took %d of %d bytes, %d answers", n, len(piece), answers)
					}
					piece = piece[n:]
					total += answers
				}
			}
			return total
		}
		if whole, cut := count(chunks(stream, nil)), count(chunks(stream, sizes)); whole != cut {
			t.Errorf("% x holds %d answers, and %d where it is cut", stream, whole, cut)
		}
	})
}

// newReplies follows the answers to a few messages.
func newReplies(tds bool, asked []byte) replyStream {
	var s replyStream = &postgresReplies{}
	if tds {
		s = &tdsReplies{}
	}
	for _, a := range asked[:min(len(asked), 20)] {
		kinds := []messageKind{statementMessage, otherMessage, startupPacket, attentionMessage}
		m := Message{kind: kinds[int(a)%len(kinds)], Type: []byte{'Q', 'S', 'P'}[int(a/4)%3]}
		if tds && m.kind == startupPacket || !tds && m.kind == attentionMessage {
			m.kind = otherMessage
		}
		s.sent(m)
	}
	return s
}

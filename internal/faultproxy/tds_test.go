package faultproxy

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

func TestTDSMessagesAreRoundTrips(t *testing.T) {
	t.Parallel()
	s := startTDSSession(t)
	if s.proxy.RoundTrips() != 2 {
		t.Errorf("set-up counted as %d round trips, want 2", s.proxy.RoundTrips())
	}
	s.proxy.Reset()
	for i, request := range []string{
		transaction("\x05\x00\x02\x00"), batch("select 1"), call(nvarchar("select @p1")), tdsCommit,
	} {
		write(t, s, request)
		expect(t, s, tdsDone)
		if s.proxy.RoundTrips() != i+1 {
			t.Errorf("counted %d round trips after %d", s.proxy.RoundTrips(), i+1)
		}
	}
	got := s.proxy.StatementLog()
	want := []Statement{
		{1, TDSTransaction, "BEGIN TRANSACTION"}, {1, TDSBatch, "select 1"},
		{1, TDSRPC, "select @p1"}, {1, TDSTransaction, "COMMIT TRANSACTION"},
	}
	if len(got) != len(want) {
		t.Fatalf("logged %+v, want %+v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("logged %+v, want %+v", got[i], want[i])
		}
	}
}

func TestTDSTexts(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("long ", 2000)
	size := func(text string) string {
		return string(binary.LittleEndian.AppendUint32(nil, uint32(2*len(text))))
	}
	const collation, total = "\x09\x04\xd0\x00\x34", "\xfe\xff\xff\xff\xff\xff\xff\xff"
	for want, message := range map[string]string{
		"select 'ü𝄞'": batch("select 'ü𝄞'"),
		"select @p1":  call(nvarchar("select @p1")),
		long + "end": call("\xe7\xff\xff" + collation + total +
			size(long) + utf16Bytes(long) + size("end") + utf16Bytes("end") + "\x00\x00\x00\x00"),
		"sp_executesql":             call("\x26\x04"),
		"sp_getapplock":             tdsWhole(TDSRPC, allHeaders+"\x0d\x00"+utf16Bytes("sp_getapplock")+"\x00\x00"),
		"sp_execute":                tdsWhole(TDSRPC, allHeaders+"\xff\xff\x0c\x00\x00\x00"),
		"BEGIN TRANSACTION":         transaction("\x05\x00\x02\x00"),
		"COMMIT TRANSACTION":        transaction("\x07\x00\x00\x00"),
		"ROLLBACK TRANSACTION":      transaction("\x08\x00\x00\x00"),
		"ROLLBACK TRANSACTION back": transaction("\x08\x00\x04" + utf16Bytes("back") + "\x00"),
		"SAVE TRANSACTION here":     transaction("\x09\x00\x04" + utf16Bytes("here")),
	} {
		m, err := tdsProtocol{}.first([]byte(message))
		if err != nil || m.SQL != want || m.kind != statementMessage {
			t.Errorf("text %.40q, error %v; want %.40q", m.SQL, err, want)
		}
	}
}

func TestTDSTextsThatAreCutShort(t *testing.T) {
	t.Parallel()
	for _, message := range []string{batch("select 1"), call(nvarchar("select @p1")), tdsCommit} {
		body := message[tdsHeader:]
		for n := range len(body) {
			tdsText(message[0], []byte(body[:n])) // must not panic
		}
	}
}

func TestTDSMessagesSplitAtEveryByte(t *testing.T) {
	t.Parallel()
	long := allHeaders + utf16Bytes(strings.Repeat("x", 100)+" commit")
	stream := prelogin + tdsStartup + tdsSplit(TDSBatch, long, 50) + tdsAttend + tdsCommit
	var requests requests
	var kinds []byte
	var passed bytes.Buffer
	for i := range len(stream) {
		for _, m := range requests.split([]byte{stream[i]}) {
			kinds = append(kinds, m.Type)
			passed.Write(m.Payload)
			if m.Type == TDSBatch && !Query("COMMIT")(m) {
				t.Errorf("text %q of several packets", m.SQL)
			}
		}
	}
	if string(kinds) != "\x12\x10\x01\x06\x0e" || passed.String() != stream || len(requests.rest()) != 0 {
		t.Errorf("split into %q, %d of %d bytes", kinds, passed.Len(), len(stream))
	}
}

func TestTDSRepliesSplitAtEveryByte(t *testing.T) {
	t.Parallel()
	row := "\xd1" + strings.Repeat("x", 100)
	stream := tdsSplit(tdsReply, row+done(0x10), 30) + tdsDone + tdsAttended
	ask := Message{kind: statementMessage}
	attend := Message{kind: attentionMessage}
	for _, size := range []int{1, 3, 64, len(stream)} {
		r := &tdsReplies{}
		for _, m := range []Message{ask, ask, attend} {
			if !r.sent(m) {
				t.Fatal("a message that asks for no reply")
			}
		}
		var ends []int
		for at := 0; at < len(stream); {
			piece := stream[at:min(at+size, len(stream))]
			n, answers := r.next([]byte(piece))
			at += n
			if answers > 0 {
				ends = append(ends, at)
			}
		}
		if len(ends) != 3 || ends[1] != len(stream)-len(tdsAttended) || ends[0] != ends[1]-len(tdsDone) || ends[2] != len(stream) {
			t.Errorf("in pieces of %d, answers end at %v", size, ends)
		}
	}
}

func TestAttentionAnsweredWithItsRequest(t *testing.T) {
	t.Parallel()
	r := &tdsReplies{}
	r.sent(Message{kind: statementMessage})
	r.sent(Message{kind: attentionMessage})
	if _, answers := r.next([]byte(tdsAttended)); answers != 2 {
		t.Errorf("one message for both counts as %d answers", answers)
	}
	if _, answers := r.next([]byte(tdsAttended)); answers != 0 {
		t.Errorf("a message that nobody asked for counts as %d answers", answers)
	}
}

func TestStreamsThatAreNotTDS(t *testing.T) {
	t.Parallel()
	wantOpaque(t, map[string]string{
		"length too low":       "\x12\x01\x00\x07\x00\x00\x01\x00",
		"reply from a client":  prelogin + tdsDone,
		"unknown type":         prelogin + "\x17\x03\x03\x00\x20",
		"broken message":       prelogin + tdsPacket(TDSBatch, 0, "x") + tdsCommit,
		"tls within prelogins": prelogin + tdsWhole(tdsPrelogin, "\x16\x03\x01\x02\x00"),
	})
}

func TestTDSEncryptionMakesTheStreamOpaque(t *testing.T) {
	t.Parallel()
	server := startTape(t)
	p := startProxy(t, server.addr)
	conn := dial(t, p)
	far := server.accepted(t)
	exchangeBetween(t, conn, far, prelogin)
	exchangeBetween(t, far, conn, tdsAnswers[tdsPrelogin])
	exchangeBetween(t, conn, far, tdsWhole(tdsPrelogin, "\x16\x03\x01client hello"))
	exchangeBetween(t, far, conn, tdsWhole(tdsPrelogin, "\x16\x03\x03server hello"))
	exchangeBetween(t, conn, far, "\x17\x03\x03\x00\x04data")
	exchangeBetween(t, far, conn, "\x17\x03\x03\x00\x05reply")
	if p.RoundTrips() != 3 {
		t.Errorf("counted %d round trips, want 3", p.RoundTrips())
	}
	rule := p.OnClientMessage(func(b []byte) bool { return bytes.Contains(b, []byte("last")) }, CutAfter)
	exchangeBetween(t, conn, far, "\x17\x03\x03\x00\x04last")
	write(t, far, "\x17\x03\x03\x00\x05reply")
	expectEnd(t, conn)
	awaitEvent(t, rule.Answered(), "answer")
}

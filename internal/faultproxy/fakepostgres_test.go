package faultproxy

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
)

// typed builds a message of either side.
func typed(kind byte, body string) string {
	header := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4))
	return string(header) + body
}

// packet builds a message without a type byte.
func packet(code uint32, body string) string {
	header := binary.BigEndian.AppendUint32(nil, uint32(len(body)+8))
	return string(binary.BigEndian.AppendUint32(header, code)) + body
}

func query(sql string) string { return typed('Q', sql+"\x00") }

func parse(name, sql string) string { return typed('P', name+"\x00"+sql+"\x00\x00\x00") }

const (
	protocol3 = 3 << 16
	bind      = "\x00\x00\x00\x00\x00\x00\x00\x00"
)

var (
	startup     = packet(protocol3, "user\x00tester\x00\x00")
	syncRequest = typed('S', "")
	ready       = typed('Z', "I")
	authOK      = typed('R', "\x00\x00\x00\x00")
	welcome     = authOK + typed('S', "server_version\x0015\x00") + ready
	doneReply   = typed('C', "DONE\x00") + ready
	parsed      = typed('1', "")
	terminate   = typed('X', "")
	sslRequest  = packet(sslCode, "")
)

// startPostgres starts a server that answers every Query and Sync, and tells
// what it got before it answers.
func startPostgres(t *testing.T) *fakeServer {
	t.Helper()
	return startFake(t, servePostgres)
}

func servePostgres(s *fakeServer, conn net.Conn) {
	if !greet(s, conn) {
		return
	}
	replies := ""
	for {
		header := make([]byte, 5)
		if _, err := io.ReadFull(conn, header); err != nil {
			s.got <- "end"
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(header[1:])-4)
		if _, err := io.ReadFull(conn, body); err != nil {
			s.got <- "end within a message"
			return
		}
		s.got <- string(header[:1]) + " " + strings.Trim(string(body), "\x00")
		reply, flush := answer(header[0])
		replies += reply
		if flush {
			_, _ = io.WriteString(conn, replies)
			replies = ""
		}
	}
}

func answer(kind byte) (reply string, flush bool) {
	switch kind {
	case 'P':
		return parsed, false
	case 'Q', 'S':
		return doneReply, true
	}
	return "", false
}

// greet answers packets without a type byte until the start-up packet. It
// returns false if there is nothing to follow.
func greet(s *fakeServer, conn net.Conn) bool {
	for {
		header := make([]byte, 8)
		if _, err := io.ReadFull(conn, header); err != nil {
			return false
		}
		body := make([]byte, binary.BigEndian.Uint32(header)-8)
		if _, err := io.ReadFull(conn, body); err != nil {
			return false
		}
		switch binary.BigEndian.Uint32(header[4:]) {
		case cancelCode:
			s.got <- "cancel " + string(body)
			return false
		case sslCode, gssCode:
			_, _ = conn.Write([]byte("N"))
		default:
			s.got <- "startup"
			_, _ = io.WriteString(conn, welcome)
			return true
		}
	}
}

func startSession(t *testing.T) *session {
	t.Helper()
	server := startPostgres(t)
	s := &session{proxy: startProxy(t, server.addr), server: server}
	s.Conn = s.connect(t)
	return s
}

func (s *session) connect(t *testing.T) net.Conn {
	t.Helper()
	conn := dial(t, s.proxy)
	write(t, conn, startup)
	expect(t, conn, welcome)
	s.server.expectGot(t, "startup")
	return conn
}

func TestPostgresSetUpCountsAsRoundTrips(t *testing.T) {
	t.Parallel()
	server := startPostgres(t)
	p := startProxy(t, server.addr)
	conn := dial(t, p)
	write(t, conn, sslRequest)
	expect(t, conn, "N")
	write(t, conn, packet(gssCode, ""))
	expect(t, conn, "N")
	write(t, conn, startup)
	expect(t, conn, welcome)
	if p.RoundTrips() != 3 {
		t.Errorf("counted %d round trips, want 3", p.RoundTrips())
	}
	// After the untyped answers, replies must still be told apart.
	rule := p.Rule(Query("commit"), CutAfter)
	write(t, conn, query("begin"))
	expect(t, conn, doneReply)
	write(t, conn, query("commit"))
	expectEnd(t, conn)
	awaitEvent(t, rule.Answered(), "answer")
}

func TestStatementsAreLogged(t *testing.T) {
	t.Parallel()
	s := startSession(t)
	write(t, s, query("begin; select 1"))
	expect(t, s, doneReply)
	write(t, s, parse("name", "select $1")+typed('B', bind)+syncRequest)
	expect(t, s, parsed+doneReply)
	got := s.proxy.StatementLog()
	want := []Statement{{1, 'Q', "begin; select 1"}, {1, 'P', "select $1"}}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("logged %+v, want %+v", got, want)
	}
	if s.proxy.RoundTrips() != 3 {
		t.Errorf("counted %d round trips, want 3", s.proxy.RoundTrips())
	}
	s.proxy.Reset()
	write(t, s, query("commit"))
	expect(t, s, doneReply)
	if texts := s.proxy.Statements(); len(texts) != 1 || texts[0] != "commit" {
		t.Errorf("after Reset: %q", texts)
	}
}

func TestMessagesSplitAtEveryByte(t *testing.T) {
	t.Parallel()
	stream := sslRequest + startup + query("begin") + parse("", "select 1") + syncRequest + terminate
	var requests requests
	var kinds []byte
	var passed bytes.Buffer
	for i := range len(stream) {
		for _, m := range requests.split([]byte{stream[i]}) {
			kinds = append(kinds, m.Type)
			passed.Write(m.Payload)
		}
	}
	if string(kinds) != "\x00\x00QPSX" || passed.String() != stream || len(requests.rest()) != 0 {
		t.Errorf("split into %q, %d of %d bytes", kinds, passed.Len(), len(stream))
	}
}

func TestRepliesSplitAtEveryByte(t *testing.T) {
	t.Parallel()
	stream := welcome + parsed + doneReply + doneReply
	var whole, pieces postgresReplies
	whole.expect(startupPacket)
	pieces.expect(startupPacket)
	var want, got []int
	for at := 0; at < len(stream); {
		n, answers := whole.next([]byte(stream[at:]))
		at += n
		if answers > 0 {
			want = append(want, at)
		}
	}
	for i := range len(stream) {
		if _, answers := pieces.next([]byte{stream[i]}); answers > 0 {
			got = append(got, i+1)
		}
	}
	if len(want) != 3 || len(got) != 3 || want[0] != len(welcome) || got[0] != want[0] ||
		got[1] != want[1] || want[2] != len(stream) || got[2] != want[2] {
		t.Errorf("ready at %v in one piece, at %v in bytes", want, got)
	}
}

func TestStreamsThatAreNotPostgres(t *testing.T) {
	t.Parallel()
	wantOpaque(t, map[string]string{
		"tls":             "\x16\x03\x01\x02\x00",
		"text":            "hello",
		"one zero":        "\x00x",
		"unknown code":    packet(42, ""),
		"length too low":  "\x00\x00\x00\x07\x00\x03\x00\x00",
		"length too high": "\x00\x00\xff\xff\x00\x03\x00\x00",
		"broken message":  startup + "Q\x00\x00\x00\x01",
		"tls after ssl":   sslRequest + "\x16\x03\x01\x02\x00",
	})
}

func TestEncryptionMakesTheStreamOpaque(t *testing.T) {
	t.Parallel()
	server := startTape(t)
	p := startProxy(t, server.addr)
	conn := dial(t, p)
	far := server.accepted(t)
	write(t, conn, sslRequest)
	expect(t, far, sslRequest)
	write(t, far, "S")
	expect(t, conn, "S")
	exchangeBetween(t, conn, far, "\x16\x03\x01\x02\x00client hello")
	exchangeBetween(t, far, conn, "\x16\x03\x03\x00\x00server hello")
}

func TestErrorInsteadOfEncryption(t *testing.T) {
	t.Parallel()
	var r postgresReplies
	r.expect(encryptionPacket)
	stream := []byte(typed('E', "no such thing") + ready)
	if n, answers := r.next(stream); n != len(stream) || answers != 1 {
		t.Errorf("took %d of %d bytes, %d answers", n, len(stream), answers)
	}
}

func TestIncompleteMessageIsPassedOnAtTheEnd(t *testing.T) {
	t.Parallel()
	s := startSession(t)
	write(t, s, query("select")[:8])
	s.Close()
	s.server.expectGot(t, "end within a message")
}

func TestCancelRequestIsLeftAlone(t *testing.T) {
	t.Parallel()
	s := startSession(t)
	s.proxy.Reset()
	rule := s.proxy.OnClientMessage(func([]byte) bool { return true }, CutBefore)
	cut := s.proxy.CutAfter(Up, 0, Abort)
	conn := dial(t, s.proxy)
	write(t, conn, packet(cancelCode, "key"))
	expectEnd(t, conn)
	s.server.expectGot(t, "cancel key")
	if s.proxy.Cancels() != 1 || s.proxy.Connections() != 1 || s.proxy.RoundTrips() != 0 || s.proxy.BytesUp() != 0 {
		t.Errorf("%d cancels, %d connections, %d round trips, %d bytes",
			s.proxy.Cancels(), s.proxy.Connections(), s.proxy.RoundTrips(), s.proxy.BytesUp())
	}
	if !rule.Remove() || !cut.Remove() {
		t.Error("a one-shot fault was used up")
	}
	if stats := s.proxy.ConnectionStats(); len(stats) != 2 || !stats[1].Cancel {
		t.Errorf("stats: %+v", stats)
	}
}

package faultproxy

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"unicode/utf16"
)

// tdsPacket builds one packet of either side.
func tdsPacket(kind, status byte, body string) string {
	header := binary.BigEndian.AppendUint16([]byte{kind, status}, uint16(tdsHeader+len(body)))
	return string(append(header, 0, 0, 1, 0)) + body
}

// tdsWhole builds a message of one packet.
func tdsWhole(kind byte, body string) string { return tdsPacket(kind, tdsEndOfMessage, body) }

// tdsSplit builds a message of packets with at most size bytes of the body.
func tdsSplit(kind byte, body string, size int) string {
	packets := ""
	for len(body) > size {
		packets += tdsPacket(kind, 0, body[:size])
		body = body[size:]
	}
	return packets + tdsWhole(kind, body)
}

func utf16Bytes(text string) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return string(b)
}

// allHeaders holds the header for transactions: a descriptor and a count.
const allHeaders = "\x16\x00\x00\x00\x12\x00\x00\x00\x02\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00" + "\x01\x00\x00\x00"

func batch(sql string) string { return tdsWhole(TDSBatch, allHeaders+utf16Bytes(sql)) }

// call builds a call of sp_executesql with the text as it was encoded.
func call(text string) string {
	return tdsWhole(TDSRPC, allHeaders+"\xff\xff\x0a\x00"+"\x00\x00"+"\x00\x00"+text)
}

// nvarchar encodes a text of up to 4,000 characters, with its type.
func nvarchar(text string) string {
	size := string(binary.LittleEndian.AppendUint16(nil, uint16(2*len(text))))
	return "\xe7" + size + "\x09\x04\xd0\x00\x34" + size + utf16Bytes(text)
}

func transaction(request string) string { return tdsWhole(TDSTransaction, allHeaders+request) }

// done builds the token that ends a reply.
func done(status byte) string { return "\xfd" + string(status) + strings.Repeat("\x00", 11) }

var (
	preloginOptions = "\x00\x00\x06\x00\x06\xff\x10\x00\x10\x00\x00\x00"
	prelogin        = tdsWhole(tdsPrelogin, preloginOptions)
	tdsStartup      = tdsWhole(tdsLogin, strings.Repeat("\x00", 94))
	tdsAttend       = tdsWhole(TDSAttention, "")
	tdsWelcome      = tdsWhole(tdsReply, "\xad...."+done(0))
	tdsDone         = tdsWhole(tdsReply, "\xd1row"+done(0x10))
	tdsFailed       = tdsWhole(tdsReply, done(0x02))
	tdsAttended     = tdsWhole(tdsReply, "\xfd\x20\x00\xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	tdsCommit       = transaction("\x07\x00\x00\x00")
)

// startTDS starts a server that answers every message but a batch that
// contains "wait", which an attention ends; and tells what it got before it
// answers.
func startTDS(t *testing.T) *fakeServer {
	t.Helper()
	return startFake(t, serveTDS)
}

func serveTDS(s *fakeServer, conn net.Conn) {
	waiting := false
	for {
		header := make([]byte, tdsHeader)
		if _, err := io.ReadFull(conn, header); err != nil {
			s.got <- "end"
			return
		}
		body := make([]byte, binary.BigEndian.Uint16(header[2:])-tdsHeader)
		if _, err := io.ReadFull(conn, body); err != nil {
			s.got <- "end within a packet"
			return
		}
		m, _ := tdsMessage(header, body)
		s.got <- strings.TrimSpace(fmt.Sprintf("%d %s", m.Type, m.SQL))
		switch {
		case header[0] == TDSAttention && waiting:
			waiting = false
			_, _ = io.WriteString(conn, tdsFailed+tdsAttended)
		case strings.Contains(m.SQL, "wait"):
			waiting = true
		case header[1]&tdsEndOfMessage != 0:
			_, _ = io.WriteString(conn, tdsAnswers[header[0]])
		}
	}
}

var tdsAnswers = map[byte]string{
	tdsPrelogin: tdsWhole(tdsReply, preloginOptions), tdsLogin: tdsWelcome, TDSAttention: tdsAttended,
	TDSBatch: tdsDone, TDSRPC: tdsDone, TDSTransaction: tdsDone,
}

// startTDSSession connects a client that has logged in.
func startTDSSession(t *testing.T) *session {
	t.Helper()
	server := startTDS(t)
	s := &session{proxy: startProxy(t, server.addr), server: server}
	s.Conn = s.connectTDS(t)
	return s
}

func (s *session) connectTDS(t *testing.T) net.Conn {
	t.Helper()
	conn := dial(t, s.proxy)
	write(t, conn, prelogin)
	expect(t, conn, tdsAnswers[tdsPrelogin])
	write(t, conn, tdsStartup)
	expect(t, conn, tdsWelcome)
	s.server.expectGot(t, "18", "16")
	return conn
}

package tdstest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// FuzzRequest looks for a request that the parser does not either take or
// refuse in one of its two ways.
func FuzzRequest(f *testing.F) {
	rpc := append(headers(0), 1, 0, 'p', 0, 0, 0)
	f.Add(byte(packetBatch), byte(statusEndOfMessage), batch(7, "select 1"))
	f.Add(byte(packetTransaction), byte(statusReset), beginMessage(0))
	f.Add(byte(packetTransaction), byte(0), append(headers(1), 7, 0, 0, 1, 3, 0))
	f.Add(byte(packetRPC), byte(0), append(rpc, 1, 'x', 0, 1, typeIntN, 8, 8, 1, 2, 3, 4, 5, 6, 7, 8))
	f.Add(byte(packetRPC), byte(0), append(rpc, 0, 0, typeNVarChar, 0xFF, 0xFF, 9, 4, 0, 0, 0, 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2, 0, 0, 0, 'x', 0, 0, 0, 0, 0))
	f.Add(byte(packetRPC), byte(0), append(rpc, 0, 0, typeDecimalN, 5, 9, 2, 3, 0, 1, 1))
	f.Add(byte(packetRPC), byte(0), append(rpc, 0, 0, typeDateTimeOffset, 7, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10))
	f.Add(byte(packetRPC), byte(0), append(rpc, 0, 0, typeMoneyN, 8, 8, 1, 2, 3, 4, 5, 6, 7, 8))
	f.Add(byte(packetRPC), byte(0), append(rpc, 0, 0, typeNull, 0, 0, typeGUID, 16, 0))
	f.Fuzz(func(t *testing.T, kind, status byte, payload []byte) {
		r, err := parseRequest(message{kind: packetType(kind), status: status, payload: payload})
		var malformed *protocolError
		var unsupported *unsupportedError
		if err != nil && !errors.As(err, &malformed) && !errors.As(err, &unsupported) {
			t.Errorf("%T: %v", err, err)
		}
		if err != nil {
			return
		}
		// What was read can be written.
		out := &reply{writer: newReplyWriter(io.Discard, minPacketSize, 1), database: new(string)}
		for _, p := range r.Params {
			out.ReturnValue(p.Name, p.Type, p.Value)
		}
		if out.finish() != nil || out.broken {
			t.Errorf("%+v cannot be written", r.Params)
		}
	})
}

// FuzzConnection looks for bytes on which a connection does not end.
func FuzzConnection(f *testing.F) {
	hello := append(packet(packetPrelogin, 1, []byte{preloginTerminator}), packet(packetLogin, 1, loginMessage("sa", "secret", "shop"))...)
	f.Add(false, hello)
	f.Add(true, packet(packetBatch, 1, batch(0, "wait")))
	f.Add(true, append(packet(packetTransaction, 1, beginMessage(0)), packet(packetAttention, 1, nil)...))
	f.Add(true, append(packet(packetBatch, 0, headers(0)), packet(packetBatch, 3, nil)...))
	f.Add(true, bytes.Repeat(packet(packetAttention, 1, nil), 40))
	f.Fuzz(func(t *testing.T, loggedIn bool, sent []byte) {
		if loggedIn {
			sent = append(bytes.Clone(hello), sent...)
		}
		b := newFakeBackend()
		b.waiting = make(chan struct{}, len(sent)) // more than the requests there can be
		s := &Server{backend: b}
		s.ctx, s.cancel = context.WithCancelCause(context.Background())
		defer s.cancel(nil)
		client, server := net.Pipe()
		_ = client.SetDeadline(time.Now().Add(10 * time.Second))
		s.serve(server)
		go func() { _, _ = io.Copy(io.Discard, client) }()
		_, _ = client.Write(sent)
		_ = client.Close()
		s.tasks.Wait()
		if b.open() != 0 {
			t.Error("a session is left")
		}
	})
}

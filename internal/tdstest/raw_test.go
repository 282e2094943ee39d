package tdstest

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// rawClient speaks the protocol byte by byte, and so can break its rules.
type rawClient struct {
	t      *testing.T
	socket net.Conn
}

func dialRaw(t *testing.T, s *Server) *rawClient {
	t.Helper()
	socket, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	_ = socket.SetDeadline(time.Now().Add(20 * time.Second))
	return &rawClient{t: t, socket: socket}
}

func packet(kind packetType, status uint8, payload []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{byte(kind), status}, uint16(packetHeaderSize+len(payload)))
	return append(append(b, 0, 0, 1, 0), payload...)
}

// send sends a message of one packet.
func (c *rawClient) send(kind packetType, status uint8, payload []byte) {
	c.t.Helper()
	c.write(packet(kind, status|statusEndOfMessage, payload))
}

func (c *rawClient) write(b []byte) {
	c.t.Helper()
	if _, err := c.socket.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// receive reads one message and returns its tokens.
func (c *rawClient) receive() []byte {
	c.t.Helper()
	var payload []byte
	for {
		header := make([]byte, packetHeaderSize)
		if _, err := io.ReadFull(c.socket, header); err != nil {
			c.t.Fatal(err)
		}
		if header[0] != byte(packetReply) {
			c.t.Fatalf("a reply of type %d", header[0])
		}
		body := make([]byte, int(binary.BigEndian.Uint16(header[2:]))-packetHeaderSize)
		if _, err := io.ReadFull(c.socket, body); err != nil {
			c.t.Fatal(err)
		}
		payload = append(payload, body...)
		if header[1] == statusEndOfMessage {
			return payload
		}
	}
}

// wantEnd checks that the server closes the connection.
func (c *rawClient) wantEnd() {
	c.t.Helper()
	n, err := c.socket.Read(make([]byte, 1))
	var timeout net.Error
	if n != 0 || err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Fatalf("got %d bytes and %v, want the end of the stream", n, err)
	}
}

func (c *rawClient) login() {
	c.t.Helper()
	c.loginTo("shop")
}

func (c *rawClient) loginTo(database string) {
	c.t.Helper()
	c.send(packetPrelogin, 0, []byte{preloginTerminator})
	c.receive()
	c.send(packetLogin, 0, loginMessage("sa", "secret", database))
	c.receive()
}

// loginMessage is a LOGIN7 with three texts.
func loginMessage(user, password, database string) []byte {
	b := make([]byte, loginHeaderSize)
	binary.LittleEndian.PutUint32(b[loginPacketSize:], 512)
	for position, s := range map[int]string{loginUser: user, loginPassword: password, loginDatabase: database} {
		text := appendUTF16(nil, s)
		binary.LittleEndian.PutUint16(b[position:], uint16(len(b)))
		binary.LittleEndian.PutUint16(b[position+2:], uint16(len(text)/2))
		if position == loginPassword {
			for i, plain := range text {
				text[i] = (plain<<4 | plain>>4) ^ 0xA5
			}
		}
		b = append(b, text...)
	}
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	return b
}

// headers is ALL_HEADERS with a transaction descriptor.
func headers(descriptor uint64) []byte {
	b := []byte{22, 0, 0, 0, 18, 0, 0, 0, 2, 0}
	b = binary.LittleEndian.AppendUint64(b, descriptor)
	return append(b, 1, 0, 0, 0)
}

func batch(descriptor uint64, sql string) []byte { return appendUTF16(headers(descriptor), sql) }

func beginMessage(descriptor uint64) []byte {
	return append(headers(descriptor), byte(OperationBegin), 0, 4, 0)
}

func commitMessage(descriptor uint64) []byte {
	return append(headers(descriptor), byte(OperationCommit), 0, 0, 0)
}

// begin begins a transaction and returns its descriptor.
func (c *rawClient) begin() uint64 {
	c.t.Helper()
	c.send(packetTransaction, 0, beginMessage(0))
	tokens := c.receive()
	if len(tokens) != 14+13 || !bytes.Equal(tokens[:5], []byte{tokenEnvChange, 11, 0, 8, 8}) {
		c.t.Fatalf("% x", tokens)
	}
	return binary.LittleEndian.Uint64(tokens[5:])
}

// errorNumbers returns those of the ERROR and INFO tokens that lead a reply.
func errorNumbers(tokens []byte) (numbers []int) {
	for len(tokens) > 3 && (tokens[0] == tokenError || tokens[0] == tokenInfo) {
		numbers = append(numbers, int(binary.LittleEndian.Uint32(tokens[3:])))
		tokens = tokens[3+int(binary.LittleEndian.Uint16(tokens[1:])):]
	}
	return numbers
}

func (c *rawClient) wantErrors(numbers ...int) {
	c.t.Helper()
	got := errorNumbers(c.receive())
	if len(got) != len(numbers) {
		c.t.Fatalf("got %v, want %v", got, numbers)
	}
	for i := range got {
		if got[i] != numbers[i] {
			c.t.Fatalf("got %v, want %v", got, numbers)
		}
	}
}

func TestCapturedBytes(t *testing.T) {
	t.Parallel()
	s, b := startFake(t)
	c := dialRaw(t, s)
	c.login()
	for _, e := range []struct {
		name   string
		kind   packetType
		status uint8
		sent   []byte
		want   string
	}{
		{"begin", packetTransaction, 0, beginMessage(0), "e30b0008080100000033000000" + "00" + "fd0400d4000000000000000000"},
		{"commit", packetTransaction, 0, commitMessage(51<<32 | 1), "e30b000900080100000033000000" + "fd0000d5000000000000000000"},
		{"reset", packetBatch, statusReset, batch(0, "go on"), "e30300120000" + "fd1000c1000100000000000000"},
		{"idle attention", packetAttention, 0, nil, "fd2000fd000000000000000000"},
	} {
		c.send(e.kind, e.status, e.sent)
		if got := hex.EncodeToString(c.receive()); got != e.want {
			t.Errorf("%s: got %s, want %s", e.name, got, e.want)
		}
	}
	c.send(packetBatch, 0, batch(0, "wait"))
	<-b.waiting
	c.send(packetAttention, 0, nil)
	for _, want := range []string{"fd0200fd000000000000000000", "fd2000fd000000000000000000"} {
		if got := hex.EncodeToString(c.receive()); got != want {
			t.Errorf("attention: got %s, want %s", got, want)
		}
	}
}

func TestAttentionUnderXactAbortInBytes(t *testing.T) {
	t.Parallel()
	s, b := startFake(t)
	c := dialRaw(t, s)
	c.login()
	descriptor := c.begin()
	c.send(packetBatch, 0, batch(descriptor, "abort on"))
	c.receive()
	c.send(packetBatch, 0, batch(descriptor, "wait"))
	<-b.waiting
	c.send(packetAttention, 0, nil)
	for _, want := range []string{"e30b000a00080100000033000000" + "fd0200fd000000000000000000", "fd2000fd000000000000000000"} {
		if got := hex.EncodeToString(c.receive()); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestLoginReplyBytes(t *testing.T) {
	t.Parallel()
	s, _ := startFake(t)
	c := dialRaw(t, s)
	c.send(packetPrelogin, 0, []byte{preloginTerminator})
	if got, want := hex.EncodeToString(c.receive()), "00000b000601001100"+"01ff"+"1000270f0000"+"02"; got != want {
		t.Errorf("PRELOGIN: got %s, want %s", got, want)
	}
	c.send(packetLogin, 0, loginMessage("sa", "secret", "shop"))
	got := hex.EncodeToString(c.receive())
	for _, want := range []string{
		"e3170001" + "04730068006f007000" + "066d0061007300740065007200", // database
		"ab", "451600000200", // 5701
		"e3080007" + "050904d00034" + "00",                               // collation
		"e3170002" + "0a750073005f0065006e0067006c00690073006800" + "00", // language
		"ab", "471600000100", // 5703
		"ad", "0174000004", // LOGINACK
		"e3110004" + "03350031003200" + "043400300039003600", // packet size
		"fd0000000000000000000000" + "00",
	} {
		at := strings.Index(got, want)
		if at < 0 {
			t.Fatalf("%s is missing or out of its order in %s", want, got)
		}
		got = got[at+len(want):]
	}
}

func TestDescriptorIsChecked(t *testing.T) {
	t.Parallel()
	s, _ := startFake(t)
	c := dialRaw(t, s)
	c.login()
	descriptor := c.begin()
	c.send(packetBatch, 0, batch(0, "go on"))
	c.wantErrors(3989)
	c.send(packetTransaction, 0, beginMessage(0))
	c.wantErrors(3989)
	c.send(packetBatch, 0, batch(descriptor+1, "go on"))
	c.wantErrors(3926, 3971)
	c.send(packetTransaction, 0, commitMessage(descriptor))
	c.receive()
	c.send(packetBatch, 0, batch(descriptor, "go on"))
	c.wantErrors(3926, 3971)
	c.send(packetTransaction, 0, commitMessage(descriptor))
	c.wantErrors(3926, 3971)
	c.send(packetTransaction, 0, commitMessage(0))
	c.wantErrors(3902)
}

func TestResetComesBeforeTheDescriptor(t *testing.T) {
	t.Parallel()
	s, _ := startFake(t)
	c := dialRaw(t, s)
	c.login()
	descriptor := c.begin()
	c.send(packetBatch, statusReset, batch(descriptor, "go on"))
	tokens := c.receive()
	if !bytes.HasPrefix(tokens, []byte{tokenEnvChange, 3, 0, envResetDone, 0, 0}) {
		t.Fatalf("% x", tokens)
	}
	if got := errorNumbers(tokens[6:]); len(got) != 2 || got[1] != 3971 {
		t.Error(got)
	}
	c.begin()
	c.send(packetBatch, statusReset, batch(0, "go on"))
	if got := errorNumbers(c.receive()[6:]); len(got) != 0 {
		t.Error(got)
	}
}

func TestResetThatKeepsTheTransaction(t *testing.T) {
	t.Parallel()
	s, _ := startFake(t)
	c := dialRaw(t, s)
	c.login()
	c.send(packetBatch, statusResetKeepsTran, batch(0, "go on"))
	if got := hex.EncodeToString(c.receive()[:6]); got != "e30300120000" {
		t.Error(got)
	}
	c.send(packetBatch, statusResetKeepsTran, batch(c.begin(), "go on"))
	c.wantErrors(50000)
}

func TestRequestTakenBack(t *testing.T) {
	t.Parallel()
	s, _ := startFake(t)
	c := dialRaw(t, s)
	c.login()
	whole := batch(0, "wait;"+strings.Repeat(" ", 400))
	c.write(packet(packetBatch, 0, whole[:400]))
	c.write(packet(packetBatch, statusEndOfMessage|statusIgnore, nil))
	if got := hex.EncodeToString(c.receive()); got != "fd0200fd000000000000000000" {
		t.Error(got)
	}
	if got := s.RoundTrips(); got != 0 {
		t.Errorf("%d round trips", got)
	}
}

func TestCommitThatBeginsAnew(t *testing.T) {
	t.Parallel()
	s, _ := startFake(t)
	c := dialRaw(t, s)
	c.login()
	message := append(headers(c.begin()), byte(OperationCommit), 0, 0, 1, 3, 0)
	c.send(packetTransaction, 0, message)
	want := "e30b000900080100000033000000" + "fd0100d5000000000000000000" + "e30b000808020000003300000000" + "fd0400d4000000000000000000"
	if got := hex.EncodeToString(c.receive()); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	c.send(packetTransaction, 0, append(headers(51<<32|2), byte(OperationSave), 0, 1, 's', 0))
	if got := hex.EncodeToString(c.receive()); got != "fd0400d3000000000000000000" {
		t.Error(got)
	}
}

func TestMalformedEndsTheConnection(t *testing.T) {
	t.Parallel()
	s, b := startFake(t)
	for name, sent := range malformedRequests() {
		t.Run(name, func(t *testing.T) {
			c := dialRaw(t, s)
			c.login()
			c.write(sent)
			c.wantEnd()
		})
	}
	for name, sent := range malformedLogins() {
		t.Run(name, func(t *testing.T) {
			c := dialRaw(t, s)
			c.write(sent)
			c.wantEnd()
		})
	}
	eventually(t, "every session ends", func() bool { return b.open() == 0 })
}

func malformedRequests() map[string][]byte {
	message := func(kind packetType, payload []byte) []byte { return packet(kind, statusEndOfMessage, payload) }
	rpc := func(more ...byte) []byte { return message(packetRPC, append(headers(0), more...)) }
	return map[string][]byte{
		"unknown packet type":       message(7, nil),
		"packet shorter than head":  {1, 1, 0, 7, 0, 0, 1, 0},
		"packet longer than agreed": message(packetBatch, make([]byte, 600)),
		"two types in one message":  append(packet(packetBatch, 0, headers(0)), message(packetRPC, nil)...),
		"no headers":                message(packetBatch, nil),
		"headers too long":          message(packetBatch, []byte{0xFF, 0xFF, 0xFF, 0xFF}),
		"headers too short":         message(packetBatch, []byte{1, 0, 0, 0}),
		"no descriptor":             message(packetBatch, []byte{4, 0, 0, 0}),
		"header too short":          message(packetBatch, []byte{8, 0, 0, 0, 3, 0, 0, 0}),
		"half a character":          message(packetBatch, append(headers(0), 'x')),
		"login after login":         message(packetLogin, loginMessage("sa", "secret", "")),
		"no operation":              message(packetTransaction, headers(0)),
		"unknown isolation":         message(packetTransaction, append(headers(0), 5, 0, 9, 0)),
		"unknown procedure":         rpc(0xFF, 0xFF, 99, 0, 0, 0),
		"procedure cut short":       rpc(9, 0),
		"integer of 3 bytes":        rpc(1, 0, 'p', 0, 0, 0, 0, 0, typeIntN, 3, 0),
		"integer without value":     rpc(1, 0, 'p', 0, 0, 0, 0, 0, typeIntN, 4, 4),
		"value of other length":     rpc(1, 0, 'p', 0, 0, 0, 0, 0, typeIntN, 4, 2, 1, 1),
		"time of a wrong scale":     rpc(1, 0, 'p', 0, 0, 0, 0, 0, typeTimeN, 8, 0),
		"time past midnight":        rpc(1, 0, 'p', 0, 0, 0, 0, 0, typeTimeN, 7, 5, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF),
		"decimal of 99 digits":      rpc(1, 0, 'p', 0, 0, 0, 0, 0, typeDecimalN, 17, 99, 0, 0),
		"text longer than its type": rpc(1, 0, 'p', 0, 0, 0, 0, 0, typeNVarChar, 2, 0, 9, 4, 0, 0, 0, 4, 0, 1, 0, 1, 0),
		"text of half a character":  rpc(1, 0, 'p', 0, 0, 0, 0, 0, typeNVarChar, 2, 0, 9, 4, 0, 0, 0, 1, 0, 1),
		"chunk that is not there":   rpc(1, 0, 'p', 0, 0, 0, 0, 0, typeVarBinary, 0xFF, 0xFF, 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F),
		"chunks of another total":   rpc(1, 0, 'p', 0, 0, 0, 0, 0, typeVarBinary, 0xFF, 0xFF, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 0),
	}
}

func malformedLogins() map[string][]byte {
	outside := loginMessage("sa", "secret", "shop")
	binary.LittleEndian.PutUint16(outside[loginDatabase:], 0xFFF0)
	longer := loginMessage("sa", "secret", "shop")
	binary.LittleEndian.PutUint32(longer, 9999)
	return map[string][]byte{
		"batch before login":          packet(packetBatch, statusEndOfMessage, batch(0, "x")),
		"prelogin without terminator": packet(packetPrelogin, statusEndOfMessage, nil),
		"prelogin cut short":          packet(packetPrelogin, statusEndOfMessage, []byte{0, 0}),
		"prelogin option outside":     packet(packetPrelogin, statusEndOfMessage, []byte{0, 0, 6, 0, 1, 0xFF}),
		"login cut short":             packet(packetLogin, statusEndOfMessage, make([]byte, 93)),
		"login longer than it is":     packet(packetLogin, statusEndOfMessage, longer),
		"login text outside":          packet(packetLogin, statusEndOfMessage, outside),
	}
}

func TestUnsupportedIsAnErrorAndNoEnd(t *testing.T) {
	t.Parallel()
	s, _ := startFake(t)
	c := dialRaw(t, s)
	c.login()
	parameter := []byte{1, 0, 'p', 0, 0, 0}
	for name, more := range map[string][]byte{
		"table":          append(parameter, 0, 0, 0xF3),
		"default":        append(parameter, 0, 2),
		"encrypted":      append(parameter, 0, 8),
		"several calls":  append(parameter, 0x80),
		"xml, no number": append(parameter, 0, 0, 0xF1),
	} {
		c.send(packetRPC, 0, append(headers(0), more...))
		if got := errorNumbers(c.receive()); len(got) != 1 || got[0] != 50000 {
			t.Errorf("%s: %v", name, got)
		}
	}
	c.send(packetTransaction, 0, append(headers(0), 6, 0))
	c.wantErrors(50000)
}

package tdstest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	mssql "github.com/microsoft/go-mssqldb"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine"
)

// FuzzLogin looks for a PRELOGIN or LOGIN7 message that is neither read nor
// refused, and for logins that are not read as they were written.
func FuzzLogin(f *testing.F) {
	f.Add(preloginReply(), "sa", "secret", "shop")
	f.Add(loginMessage("sa", "secret", "shop"), "", "", "")
	f.Add([]byte{preloginTerminator}, "ключ", "🔒", "a\x00b")
	f.Add(bytes.Repeat([]byte{0xFF, 0}, 60), "x", strings.Repeat("p", 200), "y")
	f.Fuzz(func(t *testing.T, payload []byte, user, password, database string) {
		var bad *protocolError
		if err := checkPrelogin(payload); err != nil && !errors.As(err, &bad) {
			t.Errorf("PRELOGIN: %T: %v", err, err)
		}
		r, err := parseLogin(payload)
		if err != nil && !errors.As(err, &bad) {
			t.Errorf("LOGIN7: %T: %v", err, err)
		}
		if err == nil && (r.packetSize < minPacketSize || r.packetSize > maxPacketSize) {
			t.Errorf("packets of %d bytes", r.packetSize)
		}
		whole := utf8.ValidString(user) && utf8.ValidString(password) && utf8.ValidString(database)
		if !whole || len(user)+len(password)+len(database) > 10_000 {
			return
		}
		r, err = parseLogin(loginMessage(user, password, database))
		want := engine.Login{User: user, Password: password, Database: database}
		if err != nil || r.Login != want {
			t.Errorf("%+v was read as %+v, %v", want, r.Login, err)
		}
	})
}

// FuzzMessages cuts a message into packets, and a stream into reads, at any
// places: what is read must be the same. Of other bytes no more may be kept than
// was sent.
func FuzzMessages(f *testing.F) {
	f.Add([]byte("payload"), uint16(3), uint8(1), []byte{})
	f.Add(bytes.Repeat([]byte{7}, 5000), uint16(1000), uint8(200), packet(packetAttention, 1, nil))
	f.Add([]byte{}, uint16(0), uint8(0), []byte{1, 1, 0xFF, 0xFF, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, payload []byte, size uint16, chunk uint8, tail []byte) {
		var stream []byte
		body := 1 + int(size)%(defaultPacketSize-packetHeaderSize)
		for rest := payload; ; rest = rest[body:] {
			if len(rest) <= body {
				stream = append(stream, packet(packetBatch, statusEndOfMessage, rest)...)
				break
			}
			stream = append(stream, packet(packetBatch, 0, rest[:body])...)
		}
		r := &messageReader{source: &shortReader{append(stream, tail...), 1 + int(chunk)}, limit: defaultPacketSize}
		m, err := r.next()
		if err != nil || m.kind != packetBatch || !bytes.Equal(m.payload, payload) {
			t.Errorf("message of %d bytes read as %d bytes, %v", len(payload), len(m.payload), err)
		}
		kept := 0
		for {
			m, err := r.next()
			if err != nil {
				var bad *protocolError
				if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.As(err, &bad) {
					t.Errorf("%T: %v", err, err)
				}
				break
			}
			kept += len(m.payload)
		}
		if kept > len(tail) {
			t.Errorf("%d bytes of %d", kept, len(tail))
		}
	})
}

// shortReader gives at most n bytes at once.
type shortReader struct {
	left []byte
	n    int
}

func (r *shortReader) Read(b []byte) (int, error) {
	if len(r.left) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), r.n)], r.left)
	r.left = r.left[n:]
	return n, nil
}

// FuzzMemory looks for a small request that takes much memory to read.
func FuzzMemory(f *testing.F) {
	long := append(headers(0), 1, 0, 'p', 0, 0, 0, 0, 0, typeNVarChar, 0xFF, 0xFF, 9, 4, 0, 0, 0)
	f.Add(byte(packetRPC), append(bytes.Clone(long), 0xFF, 0xFF, 0xFF, 0x7F, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0x7F))
	f.Add(byte(packetRPC), append(bytes.Clone(long), 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF))
	f.Add(byte(packetBatch), []byte{0xFF, 0xFF, 0xFF, 0x7F})
	f.Fuzz(func(t *testing.T, kind byte, payload []byte) {
		const most = 1 << 20
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = parseRequest(message{kind: packetType(kind), payload: payload})
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > most+64*uint64(len(payload)) {
			t.Errorf("%d bytes took %d", len(payload), took)
		}
	})
}

// FuzzValues sends values by the driver, which writes and reads them by code of
// its own, through a batch of the engine's and back.
func FuzzValues(f *testing.F) {
	s, err := Start()
	if err != nil {
		f.Fatal(err)
	}
	connector, err := mssql.NewConnector(s.URL("sa", "secret", "master"))
	if err != nil {
		f.Fatal(err)
	}
	connector.Dialer = s
	db := sql.OpenDB(connector)
	f.Cleanup(func() {
		_ = db.Close()
		_ = s.Close()
	})
	f.Add("", []byte{}, int64(0), 0.0, false, int64(0))
	f.Add("naïve 🔒", []byte{0, 1, 0xFF}, int64(math.MinInt64), math.MaxFloat64, true, int64(1<<40))
	f.Add(strings.Repeat("x", 4001), bytes.Repeat([]byte{9}, 8001), int64(-1), -0.1, true, int64(-1<<40))
	f.Fuzz(func(t *testing.T, text string, binary []byte, n int64, x float64, yes bool, micros int64) {
		if !utf8.ValidString(text) || math.IsNaN(x) || math.IsInf(x, 0) || len(utf16.Encode([]rune(text))) > 100_000 {
			t.Skip("no such value on the server")
		}
		when := time.Unix(0, 0).UTC().Add(time.Duration(micros%(1<<52)) * time.Microsecond)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var gotText string
		var gotBinary []byte
		var gotN int64
		var gotX float64
		var gotYes bool
		var gotWhen time.Time
		row := db.QueryRowContext(ctx, "select @p1, @p2, @p3, @p4, @p5, @p6", text, binary, n, x, yes, when)
		if err := row.Scan(&gotText, &gotBinary, &gotN, &gotX, &gotYes, &gotWhen); err != nil {
			t.Fatal(err)
		}
		if gotText != text || !bytes.Equal(gotBinary, binary) || gotN != n || gotX != x || gotYes != yes || !gotWhen.Equal(when) {
			t.Errorf("sent %q % x %d %v %v %v, got %q % x %d %v %v %v",
				text, binary, n, x, yes, when, gotText, gotBinary, gotN, gotX, gotYes, gotWhen)
		}
	})
}

package tdstest

import (
	"encoding/binary"
	"fmt"
	"unicode/utf16"
)

// protocolError is a request that breaks the protocol: a server closes the
// connection on it, without a reply.
type protocolError struct{ reason string }

func (e *protocolError) Error() string { return "tdstest: protocol error: " + e.reason }

func malformed(format string, args ...any) error {
	return &protocolError{reason: fmt.Sprintf(format, args...)}
}

// unsupportedError is a request that a server would accept and the simulator
// cannot read. It is answered with an error token.
type unsupportedError struct{ what string }

func (e *unsupportedError) Error() string { return "tdstest: not simulated: " + e.what }

// cursor reads the little-endian fields of one message. After the first
// failure every read returns a zero value, so that a parser may check once, but
// must do so before it loops on a count.
type cursor struct {
	rest []byte
	err  error
}

func (c *cursor) fail(err error) {
	if c.err == nil {
		c.err = err
	}
	c.rest = nil
}

// take returns the next n bytes, which the caller must not change.
func (c *cursor) take(n int) []byte {
	if c.err == nil && (n < 0 || n > len(c.rest)) {
		c.fail(malformed("%d bytes are needed and %d left", n, len(c.rest)))
	}
	if c.err != nil {
		return nil
	}
	taken := c.rest[:n:n]
	c.rest = c.rest[n:]
	return taken
}

func (c *cursor) more() bool { return c.err == nil && len(c.rest) > 0 }

func (c *cursor) uint8() uint8 {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) uint16() uint16 {
	if b := c.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) uint32() uint32 {
	if b := c.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) uint64() uint64 {
	if b := c.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// shortText is a B_VARCHAR.
func (c *cursor) shortText() string { return decodeUTF16(c.take(2 * int(c.uint8()))) }

// decodeUTF16 drops an odd last byte.
func decodeUTF16(b []byte) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(units))
}

func appendUTF16(b []byte, s string) []byte {
	for _, unit := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return b
}

// appendShortText writes a B_VARCHAR, cut to the 255 units it can hold.
func appendShortText(b []byte, s string) []byte {
	encoded := appendUTF16(nil, s)
	encoded = encoded[:min(len(encoded), 2*0xFF)]
	return append(append(b, byte(len(encoded)/2)), encoded...)
}

// appendText writes a US_VARCHAR, cut so that the token around it stays within
// its 16 bits of length.
func appendText(b []byte, s string) []byte {
	const most = 30_000
	encoded := appendUTF16(nil, s)
	encoded = encoded[:min(len(encoded), 2*most)]
	return append(binary.LittleEndian.AppendUint16(b, uint16(len(encoded)/2)), encoded...)
}

package tdstest

import (
	"encoding/binary"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine"
)

// The options of a PRELOGIN message that are of use here.
const (
	preloginVersion    = 0x00
	preloginEncryption = 0x01
	preloginTerminator = 0xFF

	encryptionNotSupported = 2
)

// serverVersion is engine.Version as PRELOGIN tells it; LOGINACK leaves out the
// last two bytes, the sub-build.
var serverVersion = []byte{16, 0, 9999 >> 8, 9999 & 0xFF, 0, 0}

// checkPrelogin accepts a list of options whose data lie within the message.
func checkPrelogin(payload []byte) error {
	for i := 0; ; i += 5 {
		if i >= len(payload) {
			return malformed("PRELOGIN without terminator")
		}
		if payload[i] == preloginTerminator {
			return nil
		}
		if i+5 > len(payload) {
			return malformed("PRELOGIN option is cut short")
		}
		offset, length := binary.BigEndian.Uint16(payload[i+1:]), binary.BigEndian.Uint16(payload[i+3:])
		if int(offset)+int(length) > len(payload) {
			return malformed("PRELOGIN option outside of the message")
		}
	}
}

func preloginReply() []byte {
	const head = 5 + 5 + 1
	b := []byte{preloginVersion, 0, head, 0, 6, preloginEncryption, 0, head + 6, 0, 1, preloginTerminator}
	return append(append(b, serverVersion...), encryptionNotSupported)
}

// The offsets of the LOGIN7 fields that are of use here.
const (
	loginHeaderSize = 94
	loginPacketSize = 8
	loginTypeFlags  = 26
	loginHost       = 36
	loginUser       = 40
	loginPassword   = 44
	loginApp        = 48
	loginLibrary    = 60
	loginDatabase   = 68

	typeFlagReadOnlyIntent = 0x20
)

// loginRequest is a LOGIN7 message.
type loginRequest struct {
	engine.Login
	packetSize int
}

func parseLogin(payload []byte) (loginRequest, error) {
	if len(payload) < loginHeaderSize {
		return loginRequest{}, malformed("LOGIN7 of %d bytes", len(payload))
	}
	if total := binary.LittleEndian.Uint32(payload); uint64(total) > uint64(len(payload)) {
		return loginRequest{}, malformed("LOGIN7 claims %d of %d bytes", total, len(payload))
	}
	fields := loginFields{payload: payload}
	r := loginRequest{
		Login: engine.Login{
			User:           decodeUTF16(fields.at(loginUser)),
			Password:       decodeUTF16(clearPassword(fields.at(loginPassword))),
			Host:           decodeUTF16(fields.at(loginHost)),
			App:            decodeUTF16(fields.at(loginApp)),
			Library:        decodeUTF16(fields.at(loginLibrary)),
			Database:       decodeUTF16(fields.at(loginDatabase)),
			ReadOnlyIntent: payload[loginTypeFlags]&typeFlagReadOnlyIntent != 0,
		},
		packetSize: negotiatePacketSize(binary.LittleEndian.Uint32(payload[loginPacketSize:])),
	}
	return r, fields.err
}

func negotiatePacketSize(asked uint32) int {
	if asked == 0 {
		return defaultPacketSize
	}
	return int(min(max(asked, minPacketSize), maxPacketSize))
}

type loginFields struct {
	payload []byte
	err     error
}

// at returns the text whose offset and length in characters stand at position.
func (f *loginFields) at(position int) []byte {
	offset := int(binary.LittleEndian.Uint16(f.payload[position:]))
	end := offset + 2*int(binary.LittleEndian.Uint16(f.payload[position+2:]))
	if end > len(f.payload) {
		f.err = malformed("LOGIN7 text outside of the message")
		return nil
	}
	return f.payload[offset:end]
}

// clearPassword undoes the obfuscation: swapped nibbles, then XOR A5.
func clearPassword(b []byte) []byte {
	plain := make([]byte, len(b))
	for i, c := range b {
		c ^= 0xA5
		plain[i] = c<<4 | c>>4
	}
	return plain
}

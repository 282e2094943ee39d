package tdstest

import (
	"encoding/binary"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine"
)

// The TYPE_INFO tokens.
const (
	typeNull           = 0x1F
	typeGUID           = 0x24
	typeIntN           = 0x26
	typeDateN          = 0x28
	typeTimeN          = 0x29
	typeDateTime2N     = 0x2A
	typeDateTimeOffset = 0x2B
	typeInt1           = 0x30
	typeBit            = 0x32
	typeInt2           = 0x34
	typeInt4           = 0x38
	typeDateTime4      = 0x3A
	typeFloat4         = 0x3B
	typeMoney          = 0x3C
	typeDateTime       = 0x3D
	typeFloat8         = 0x3E
	typeBitN           = 0x68
	typeDecimalN       = 0x6A
	typeNumericN       = 0x6C
	typeFloatN         = 0x6D
	typeMoneyN         = 0x6E
	typeDateTimeN      = 0x6F
	typeMoney4         = 0x7A
	typeInt8           = 0x7F
	typeVarBinary      = 0xA5
	typeVarChar        = 0xA7
	typeBinary         = 0xAD
	typeChar           = 0xAF
	typeNVarChar       = 0xE7
	typeNChar          = 0xEF
)

// shortMax as the size of a text or binary type means (max), and as the length
// of a value NULL.
const shortMax = 0xFFFF

const (
	plpNull    = 0xFFFFFFFFFFFFFFFF
	plpUnknown = 0xFFFFFFFFFFFFFFFE
)

// collation is SQL_Latin1_General_CP1_CI_AS, that of every text.
var collation = []byte{0x09, 0x04, 0xD0, 0x00, 0x34}

// layout is how the length of a value is told.
type layout uint8

const (
	layoutFixed layout = iota // not at all, and there is no NULL
	layoutByte                // one byte, 0 for NULL
	layoutShort               // two bytes, FFFF for NULL
	layoutLong                // PLP: a total and chunks
)

// wireType is an engine's type as it goes over the wire.
type wireType struct {
	engine.Type
	layout layout
	info   []byte // TYPE_INFO
}

// encodeType chooses the form that a server chooses: a fixed one for numbers
// that cannot be NULL.
func encodeType(t engine.Type, nullable bool) wireType {
	if nullable {
		return nullableType(t)
	}
	fixed := map[engine.Kind]byte{
		engine.Bit: typeBit, engine.TinyInt: typeInt1, engine.SmallInt: typeInt2, engine.Int: typeInt4,
		engine.BigInt: typeInt8, engine.Float: typeFloat8, engine.Real: typeFloat4, engine.DateTime: typeDateTime,
	}
	if id, ok := fixed[t.Kind]; ok {
		return wireType{Type: t, layout: layoutFixed, info: []byte{id}}
	}
	return nullableType(t)
}

func nullableType(t engine.Type) wireType {
	w := wireType{Type: t, layout: layoutByte}
	switch t.Kind {
	case engine.Bit:
		w.info = []byte{typeBitN, 1}
	case engine.TinyInt:
		w.info = []byte{typeIntN, 1}
	case engine.SmallInt:
		w.info = []byte{typeIntN, 2}
	case engine.Int:
		w.info = []byte{typeIntN, 4}
	case engine.BigInt:
		w.info = []byte{typeIntN, 8}
	case engine.Float:
		w.info = []byte{typeFloatN, 8}
	case engine.Real:
		w.info = []byte{typeFloatN, 4}
	case engine.Decimal:
		w.Size = clamp(t.Size, 1, 38, 18)
		w.info = []byte{typeDecimalN, byte(decimalSize(w.Size)), byte(w.Size), byte(t.Scale)}
	case engine.DateTime:
		w.info = []byte{typeDateTimeN, 8}
	case engine.Date:
		w.info = []byte{typeDateN}
	case engine.Time:
		w.info = []byte{typeTimeN, byte(t.Scale)}
	case engine.DateTime2:
		w.info = []byte{typeDateTime2N, byte(t.Scale)}
	case engine.DateTimeOffset:
		w.info = []byte{typeDateTimeOffset, byte(t.Scale)}
	case engine.UniqueIdentifier:
		w.info = []byte{typeGUID, 16}
	default:
		return sizedType(t)
	}
	return w
}

// sizedType is a text or binary type. The zero Kind is taken for text.
func sizedType(t engine.Type) wireType {
	id, unit, isText := byte(typeNVarChar), 2, true
	switch t.Kind {
	case engine.NChar:
		id = typeNChar
	case engine.VarChar:
		id, unit = typeVarChar, 1
	case engine.Char:
		id, unit = typeChar, 1
	case engine.VarBinary:
		id, unit, isText = typeVarBinary, 1, false
	case engine.Binary:
		id, unit, isText = typeBinary, 1, false
	}
	w := wireType{Type: t, layout: layoutShort}
	size := unit * t.Size
	if size <= 0 || size > 8000 {
		w.layout, w.Size, size = layoutLong, -1, shortMax
	}
	w.info = binary.LittleEndian.AppendUint16([]byte{id}, uint16(size))
	if isText {
		w.info = append(w.info, collation...)
	}
	return w
}

// clamp returns n, or other when it is out of bounds.
func clamp(n, least, most, other int) int {
	if n < least || n > most {
		return other
	}
	return n
}

// decimalSize is the length of a decimal value of that precision with its sign.
func decimalSize(precision int) int {
	switch {
	case precision <= 9:
		return 5
	case precision <= 19:
		return 9
	case precision <= 28:
		return 13
	}
	return 17
}

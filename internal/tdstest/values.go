package tdstest

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"strings"
	"time"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine"
)

// appendValue writes a value with its length. The error tells of a value that
// is not of its type, which is the engine's fault.
func (t wireType) appendValue(b []byte, value any) ([]byte, error) {
	if value == nil {
		return t.appendNull(b)
	}
	encoded, err := t.encode(value)
	if err != nil {
		return b, err
	}
	switch t.layout {
	case layoutByte:
		b = append(b, byte(len(encoded)))
	case layoutShort:
		if most := int(binary.LittleEndian.Uint16(t.info[1:])); len(encoded) > most {
			return b, fmt.Errorf("value of %d bytes in a column of %d", len(encoded), most)
		}
		b = binary.LittleEndian.AppendUint16(b, uint16(len(encoded)))
	case layoutLong:
		b = binary.LittleEndian.AppendUint64(b, uint64(len(encoded)))
		if len(encoded) > 0 {
			b = binary.LittleEndian.AppendUint32(b, uint32(len(encoded)))
			b = append(b, encoded...)
		}
		return binary.LittleEndian.AppendUint32(b, 0), nil
	}
	return append(b, encoded...), nil
}

func (t wireType) appendNull(b []byte) ([]byte, error) {
	switch t.layout {
	case layoutByte:
		return append(b, 0), nil
	case layoutShort:
		return binary.LittleEndian.AppendUint16(b, shortMax), nil
	case layoutLong:
		return binary.LittleEndian.AppendUint64(b, plpNull), nil
	}
	return b, fmt.Errorf("NULL in a column of type 0x%02X that has none", t.info[0])
}

func (t wireType) encode(value any) ([]byte, error) {
	switch v := value.(type) {
	case bool:
		if t.Kind == engine.Bit {
			return []byte{map[bool]byte{false: 0, true: 1}[v]}, nil
		}
	case int:
		return t.encode(int64(v))
	case int64:
		return t.encodeInteger(v)
	case float64:
		switch t.Kind {
		case engine.Float:
			return binary.LittleEndian.AppendUint64(nil, math.Float64bits(v)), nil
		case engine.Real:
			return binary.LittleEndian.AppendUint32(nil, math.Float32bits(float32(v))), nil
		}
	case string:
		return t.encodeText(v)
	case []byte:
		switch t.Kind {
		case engine.VarBinary, engine.Binary:
			return v, nil
		case engine.UniqueIdentifier:
			if len(v) == 16 {
				return v, nil
			}
		}
	case time.Time:
		return t.encodeTime(v)
	}
	return nil, t.mismatch(value)
}

func (t wireType) mismatch(value any) error {
	return fmt.Errorf("a %T in a column of kind %d", value, t.Kind)
}

func (t wireType) encodeInteger(v int64) ([]byte, error) {
	size := map[engine.Kind]int{engine.TinyInt: 1, engine.SmallInt: 2, engine.Int: 4, engine.BigInt: 8}[t.Kind]
	switch {
	case size == 0:
		return nil, t.mismatch(v)
	case size == 1 && v != int64(uint8(v)), size == 2 && v != int64(int16(v)), size == 4 && v != int64(int32(v)):
		return nil, fmt.Errorf("%d in an integer of %d bytes", v, size)
	}
	return binary.LittleEndian.AppendUint64(nil, uint64(v))[:size], nil
}

func (t wireType) encodeText(v string) ([]byte, error) {
	switch t.Kind {
	case engine.NVarChar, engine.NChar, engine.Unknown:
		return appendUTF16(nil, v), nil
	case engine.VarChar, engine.Char:
		return encodeLatin(v), nil
	case engine.Decimal:
		return t.encodeDecimal(v)
	}
	return nil, t.mismatch(v)
}

// encodeDecimal takes plain notation, such as -12.50.
func (t wireType) encodeDecimal(v string) ([]byte, error) {
	digits, negative := strings.CutPrefix(strings.TrimPrefix(v, "+"), "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	if len(fraction) > t.Scale {
		return nil, fmt.Errorf("decimal %s with more than %d digits after the point", v, t.Scale)
	}
	fraction += strings.Repeat("0", t.Scale-len(fraction))
	unscaled, ok := new(big.Int).SetString(whole+fraction, 10)
	size := decimalSize(t.Size) - 1
	if !ok || unscaled.Sign() < 0 || unscaled.BitLen() > 8*size {
		return nil, fmt.Errorf("decimal %q does not fit %d digits", v, t.Size)
	}
	encoded := append(unscaled.FillBytes(make([]byte, size)), 1)
	if negative {
		encoded[size] = 0
	}
	reverse(encoded) // the sign, then little-endian
	return encoded, nil
}

func reverse(b []byte) {
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
}

// latinSpecials are the characters 80 to 9F of code page 1252; zero is none.
var latinSpecials = [32]rune{
	'€', 0, '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', 0, 'Ž', 0,
	0, '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', 0, 'ž', 'Ÿ',
}

// encodeLatin writes code page 1252, with ? for what it lacks.
func encodeLatin(s string) []byte {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		b = append(b, latinByte(r))
	}
	return b
}

func latinByte(r rune) byte {
	if r < 0x80 || r >= 0xA0 && r <= 0xFF {
		return byte(r)
	}
	for i, special := range latinSpecials {
		if special == r {
			return byte(0x80 + i)
		}
	}
	return '?'
}

func decodeLatin(b []byte) string {
	runes := make([]rune, len(b))
	for i, c := range b {
		runes[i] = rune(c)
		if c >= 0x80 && c < 0xA0 && latinSpecials[c-0x80] != 0 {
			runes[i] = latinSpecials[c-0x80]
		}
	}
	return string(runes)
}

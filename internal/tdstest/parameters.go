package tdstest

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"strings"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine"
)

// parameterType is a TYPE_INFO that a client sent.
type parameterType struct {
	engine.Type
	id     byte
	layout layout
	size   int // in bytes; of the value for layoutFixed, else at most
}

// typeInfo reads a TYPE_INFO, without a value after it.
func (c *cursor) typeInfo() parameterType {
	t := parameterType{id: c.uint8()}
	if kind, size := fixedParameter(t.id); kind != engine.Unknown {
		t.Kind, t.size = kind, size
		if t.id == typeMoney || t.id == typeMoney4 {
			t.Size, t.Scale = 19, 4
		}
		return t
	}
	switch t.id {
	case typeNull:
		t.Type = engine.Type{Kind: engine.NVarChar, Size: 1}
	case typeDateN:
		t.Kind, t.layout, t.size = engine.Date, layoutByte, 3
	case typeTimeN, typeDateTime2N, typeDateTimeOffset:
		c.scaledType(&t)
	case typeIntN, typeBitN, typeFloatN, typeMoneyN, typeDateTimeN, typeGUID, typeDecimalN, typeNumericN:
		c.byteType(&t)
	case typeVarBinary, typeVarChar, typeBinary, typeChar, typeNVarChar, typeNChar:
		c.sizedType(&t)
	default:
		c.fail(&unsupportedError{what: fmt.Sprintf("a parameter of type 0x%02X", t.id)})
	}
	return t
}

func fixedParameter(id byte) (engine.Kind, int) {
	switch id {
	case typeInt1:
		return engine.TinyInt, 1
	case typeBit:
		return engine.Bit, 1
	case typeInt2:
		return engine.SmallInt, 2
	case typeInt4:
		return engine.Int, 4
	case typeInt8:
		return engine.BigInt, 8
	case typeFloat4:
		return engine.Real, 4
	case typeFloat8:
		return engine.Float, 8
	case typeMoney4:
		return engine.Decimal, 4
	case typeMoney:
		return engine.Decimal, 8
	case typeDateTime4:
		return engine.DateTime, 4
	case typeDateTime:
		return engine.DateTime, 8
	}
	return engine.Unknown, 0
}

func (c *cursor) scaledType(t *parameterType) {
	t.layout, t.Scale = layoutByte, int(c.uint8())
	if t.Scale > maxScale {
		c.fail(malformed("scale %d of a time", t.Scale))
		return
	}
	t.size = timeSize(t.Scale)
	switch t.id {
	case typeTimeN:
		t.Kind = engine.Time
	case typeDateTime2N:
		t.Kind, t.size = engine.DateTime2, t.size+3
	default:
		t.Kind, t.size = engine.DateTimeOffset, t.size+5
	}
}

func (c *cursor) byteType(t *parameterType) {
	t.layout, t.size = layoutByte, int(c.uint8())
	if t.id == typeDecimalN || t.id == typeNumericN {
		t.Type = engine.Type{Kind: engine.Decimal, Size: int(c.uint8()), Scale: int(c.uint8())}
		if t.Size < 1 || t.Size > 38 || t.Scale > t.Size || t.size > 17 {
			c.fail(malformed("decimal(%d, %d) of %d bytes", t.Size, t.Scale, t.size))
		}
		return
	}
	kinds := map[[2]int]engine.Kind{
		{typeIntN, 1}: engine.TinyInt, {typeIntN, 2}: engine.SmallInt, {typeIntN, 4}: engine.Int,
		{typeIntN, 8}: engine.BigInt, {typeBitN, 1}: engine.Bit, {typeFloatN, 4}: engine.Real,
		{typeFloatN, 8}: engine.Float, {typeMoneyN, 4}: engine.Decimal, {typeMoneyN, 8}: engine.Decimal,
		{typeDateTimeN, 4}: engine.DateTime, {typeDateTimeN, 8}: engine.DateTime,
		{typeGUID, 16}: engine.UniqueIdentifier, {typeGUID, 0}: engine.UniqueIdentifier,
	}
	kind, ok := kinds[[2]int{int(t.id), t.size}]
	if !ok && c.err == nil {
		c.fail(malformed("type 0x%02X of %d bytes", t.id, t.size))
	}
	t.Kind = kind
	if t.id == typeMoneyN {
		t.Size, t.Scale = 19, 4
	}
}

func (c *cursor) sizedType(t *parameterType) {
	t.size, t.layout = int(c.uint16()), layoutShort
	if t.size == shortMax {
		t.layout = layoutLong
	}
	kinds := map[byte]engine.Kind{
		typeVarBinary: engine.VarBinary, typeVarChar: engine.VarChar, typeBinary: engine.Binary,
		typeChar: engine.Char, typeNVarChar: engine.NVarChar, typeNChar: engine.NChar,
	}
	t.Kind, t.Size = kinds[t.id], t.size
	if t.id != typeVarBinary && t.id != typeBinary {
		c.take(len(collation))
	}
	if t.id == typeNVarChar || t.id == typeNChar {
		t.Size /= 2
	}
	if t.layout == layoutLong {
		t.Size = -1
	}
}

// value reads a value of type t.
func (c *cursor) value(t parameterType) any {
	b, isNull := c.valueBytes(t)
	if isNull || c.err != nil {
		return nil
	}
	v, err := t.decode(b)
	if err != nil {
		c.fail(err)
	}
	return v
}

func (c *cursor) valueBytes(t parameterType) (b []byte, isNull bool) {
	switch t.layout {
	case layoutFixed:
		return c.take(t.size), t.id == typeNull
	case layoutByte:
		n := int(c.uint8())
		if n == 0 {
			return nil, true
		}
		// Only a decimal may be shorter than its type.
		isDecimal := t.id == typeDecimalN || t.id == typeNumericN
		if n > t.size || n < t.size && !isDecimal {
			c.fail(malformed("value of %d bytes in type 0x%02X of %d", n, t.id, t.size))
		}
		return c.take(n), false
	case layoutShort:
		n := int(c.uint16())
		if n == shortMax {
			return nil, true
		}
		if n > t.size {
			c.fail(malformed("value of %d bytes in type 0x%02X of %d", n, t.id, t.size))
		}
		return c.take(n), false
	}
	return c.chunks()
}

// chunks reads a PLP value.
func (c *cursor) chunks() (b []byte, isNull bool) {
	total := c.uint64()
	if total == plpNull {
		return nil, true
	}
	b = []byte{}
	for c.err == nil {
		n := c.uint32()
		if n == 0 {
			break
		}
		b = append(b, c.take(int(n))...)
	}
	if total != plpUnknown && total != uint64(len(b)) {
		c.fail(malformed("value of %d bytes that claims %d", len(b), total))
	}
	return b, false
}

func (t parameterType) decode(b []byte) (any, error) {
	switch t.Kind {
	case engine.Bit:
		return b[0] != 0, nil
	case engine.TinyInt:
		return int64(b[0]), nil
	case engine.SmallInt:
		return int64(int16(binary.LittleEndian.Uint16(b))), nil
	case engine.Int:
		return int64(int32(binary.LittleEndian.Uint32(b))), nil
	case engine.BigInt:
		return int64(binary.LittleEndian.Uint64(b)), nil
	case engine.Real:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(b))), nil
	case engine.Float:
		return math.Float64frombits(binary.LittleEndian.Uint64(b)), nil
	case engine.Decimal:
		return t.decodeDecimal(b), nil
	case engine.Date:
		return decodeDate(b), nil
	case engine.DateTime:
		return decodeDateTime(b), nil
	case engine.Time, engine.DateTime2, engine.DateTimeOffset:
		return decodeMoment(t.id, b, t.Scale)
	case engine.VarChar, engine.Char:
		return decodeLatin(b), nil
	case engine.NVarChar, engine.NChar:
		if len(b)%2 != 0 {
			return nil, malformed("Unicode text of %d bytes", len(b))
		}
		return decodeUTF16(b), nil
	}
	return append([]byte{}, b...), nil
}

// decodeDecimal reads a decimal, which begins with its sign, or a money.
func (t parameterType) decodeDecimal(b []byte) string {
	switch {
	case t.id == typeDecimalN || t.id == typeNumericN:
		magnitude := append([]byte{}, b[1:]...)
		reverse(magnitude)
		return plainDecimal(new(big.Int).SetBytes(magnitude), b[0] == 0, t.Scale)
	case len(b) == 4:
		return plainDecimal(big.NewInt(int64(int32(binary.LittleEndian.Uint32(b)))), false, t.Scale)
	}
	// The more significant half comes first.
	high, low := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
	return plainDecimal(big.NewInt(int64(uint64(high)<<32|uint64(low))), false, t.Scale)
}

func plainDecimal(unscaled *big.Int, negative bool, scale int) string {
	if unscaled.Sign() < 0 {
		unscaled, negative = new(big.Int).Neg(unscaled), true
	}
	digits := unscaled.String()
	if missing := scale + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	if scale > 0 {
		digits = digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
	}
	if negative && unscaled.Sign() != 0 {
		return "-" + digits
	}
	return digits
}

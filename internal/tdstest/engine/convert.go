package engine

import (
	"encoding/hex"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// convert brings a value from one type to another, explicitly or implicitly.
// Text that is too long is cut, as CAST does; fit refuses it instead.
func convert(v any, from, to Type, style int64) (any, error) {
	if v == nil {
		return nil, nil
	}
	switch {
	case to.Kind == Unknown, to.Kind == condition:
		return v, nil
	case to.text():
		return toText(v, from, to, style)
	case to.bytes():
		return toBytes(v, from, to, style)
	case to.temporal():
		return toDate(v, from, to)
	case to.Kind == UniqueIdentifier:
		return toGUID(v, from, to)
	}
	return toNumber(v, from, to)
}

func disallowed(from, to Type) error {
	return fault(206, "Operand type clash: %s is incompatible with %s", from.family(), to.family())
}

func toText(v any, from, to Type, style int64) (any, error) {
	s := ""
	switch v := v.(type) {
	case string:
		s = v
	case []byte:
		s = bytesText(v, from, to, style)
	default:
		s = plainText(v, from, style)
		if to.Size >= 0 && units(s) > to.Size {
			if from.number() && from.Kind != Float && from.Kind != Real {
				return overflow(from, to)
			}
		}
	}
	if to.Size >= 0 {
		s = sliceUnits(s, 0, to.Size)
	}
	if to.in(Char, NChar) {
		s += strings.Repeat(" ", max(0, to.Size-units(s)))
	}
	return s, nil
}

func overflow(from, to Type) (any, error) {
	return nil, fault(8115, "Arithmetic overflow error converting %s to data type %s.", arithmeticName(from), arithmeticName(to))
}

// arithmeticName is how messages name a type: every integer literal is
// "expression" to the server.
func arithmeticName(t Type) string {
	if t.Kind == Decimal {
		return "numeric"
	}
	return t.family()
}

func bytesText(v []byte, from, to Type, style int64) string {
	switch {
	case from.Kind == UniqueIdentifier:
		return guidText(v)
	case style == 1:
		return "0x" + strings.ToUpper(hex.EncodeToString(v))
	case style == 2:
		return strings.ToUpper(hex.EncodeToString(v))
	case to.unicode():
		return fromUTF16(v)
	}
	r := make([]rune, len(v))
	for i, b := range v {
		r[i] = rune(b)
	}
	return string(r)
}

func plainText(v any, from Type, style int64) string {
	switch v := v.(type) {
	case bool:
		return strconv.FormatInt(btoi(v), 10)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		if a := math.Abs(v); a != 0 && (a < 1e-4 || a >= 1e6) {
			return strconv.FormatFloat(v, 'e', 5, 64)
		}
		return strconv.FormatFloat(v, 'g', 6, 64)
	case dec:
		return v.String()
	case time.Time:
		return dateText(v, from, style)
	}
	return ""
}

func toBytes(v any, from, to Type, style int64) (any, error) {
	var b []byte
	switch v := v.(type) {
	case []byte:
		b = v
	case string:
		var err error
		if b, err = textBytes(v, from, style); err != nil {
			return nil, err
		}
	case int64:
		b = intBytes(v, from, to)
	case bool:
		b = []byte{byte(btoi(v))}
	default:
		return nil, disallowed(from, to)
	}
	if to.Size >= 0 && len(b) > to.Size {
		b = b[:to.Size]
	}
	if to.Kind == Binary && len(b) < to.Size {
		b = append(append([]byte{}, b...), make([]byte, to.Size-len(b))...)
	}
	return b, nil
}

func textBytes(v string, from Type, style int64) ([]byte, error) {
	if style == 1 || style == 2 {
		b, err := hex.DecodeString(strings.TrimPrefix(strings.TrimPrefix(v, "0x"), "0X"))
		if err != nil {
			return nil, fault(8114, "Error converting data type %s to varbinary.", from.family())
		}
		return b, nil
	}
	if from.unicode() {
		return utf16Bytes(v), nil
	}
	return []byte(v), nil
}

// intBytes writes an integer big-endian in the size of its type, cut on the
// left to the target's.
func intBytes(v int64, from, to Type) []byte {
	size := map[Kind]int{TinyInt: 1, SmallInt: 2, BigInt: 8}[from.Kind]
	if size == 0 {
		size = 4
	}
	if to.Size > 0 && (size > to.Size || to.Kind == Binary) {
		size = to.Size
	}
	b := make([]byte, size)
	for i := range b {
		if shift := 8 * (size - 1 - i); shift < 64 {
			b[i] = byte(v >> shift)
		}
	}
	return b
}

func toDate(v any, from, to Type) (any, error) {
	switch v := v.(type) {
	case time.Time:
		return fitDate(v, to), nil
	case string:
		t, ok := parseDate(v)
		if !ok {
			return nil, fault(241, "Conversion failed when converting date and/or time from character string.")
		}
		return fitDate(t, to), nil
	case int64:
		if to.Kind == DateTime {
			return time.Date(1900, 1, 1+int(v), 0, 0, 0, 0, time.UTC), nil
		}
	}
	return nil, disallowed(from, to)
}

func toGUID(v any, from, to Type) (any, error) {
	switch v := v.(type) {
	case []byte:
		if len(v) >= 16 {
			return v[:16], nil
		}
	case string:
		if b, ok := parseGUID(v); ok {
			return b, nil
		}
		return nil, fault(8169, "Conversion failed when converting from a character string to uniqueidentifier.")
	}
	return nil, disallowed(from, to)
}

func toNumber(v any, from, to Type) (any, error) {
	switch v := v.(type) {
	case string:
		return textNumber(v, from, to)
	case []byte:
		if !to.integer() || from.Kind == UniqueIdentifier {
			return nil, disallowed(from, to)
		}
		return fitInteger(bytesInt(v, to), from, to)
	case bool:
		return toNumber(btoi(v), typeInt, to)
	case int64:
		switch {
		case to.integer():
			return fitInteger(v, from, to)
		case to.Kind == Decimal:
			return fitDec(decOf(v), from, to)
		}
		return float64(v), nil
	case float64:
		return floatNumber(v, from, to)
	case dec:
		switch {
		case to.integer():
			n, ok := v.whole()
			if !ok {
				return overflow(from, to)
			}
			return fitInteger(n, from, to)
		case to.Kind == Decimal:
			return fitDec(v, from, to)
		}
		return v.float(), nil
	}
	return nil, disallowed(from, to)
}

func bytesInt(v []byte, to Type) int64 {
	size := map[Kind]int{Bit: 1, TinyInt: 1, SmallInt: 2, Int: 4, BigInt: 8}[to.Kind]
	if len(v) > size {
		v = v[len(v)-size:]
	}
	var n uint64
	for _, b := range v {
		n = n<<8 | uint64(b)
	}
	switch {
	case to.Kind == Int && len(v) == 4:
		return int64(int32(n))
	case to.Kind == SmallInt && len(v) == 2:
		return int64(int16(n))
	}
	return int64(n)
}

func floatNumber(v float64, from, to Type) (any, error) {
	switch {
	case to.in(Float):
		return v, nil
	case to.in(Real):
		return float64(float32(v)), nil
	case to.Kind == Bit:
		return v != 0, nil
	case to.integer():
		if math.Abs(v) >= math.MaxInt64 {
			return overflow(from, to)
		}
		return fitInteger(int64(v), from, to)
	}
	r := new(big.Rat)
	if r.SetFloat64(v) == nil {
		return overflow(from, to)
	}
	d, _ := parseDec(r.FloatString(to.Scale))
	return fitDec(d, from, to)
}

var ranges = map[Kind][2]int64{
	TinyInt: {0, 255}, SmallInt: {math.MinInt16, math.MaxInt16}, Int: {math.MinInt32, math.MaxInt32},
	BigInt: {math.MinInt64, math.MaxInt64},
}

func fitInteger(n int64, from, to Type) (any, error) {
	if to.Kind == Bit {
		return n != 0, nil
	}
	if r := ranges[to.Kind]; n < r[0] || n > r[1] {
		if to.in(TinyInt, SmallInt) {
			return nil, fault(220, "Arithmetic overflow error for data type %s, value = %d.", to.family(), n)
		}
		return nil, fault(8115, "Arithmetic overflow error converting expression to data type %s.", to.family())
	}
	return n, nil
}

func fitDec(d dec, from, to Type) (any, error) {
	d = d.rescale(to.Scale)
	if d.digits() > to.Size-to.Scale {
		return overflow(from, to)
	}
	return d, nil
}

func textNumber(s string, from, to Type) (any, error) {
	trimmed := strings.TrimSpace(s)
	switch {
	case to.Kind == Bit && strings.EqualFold(trimmed, "true"):
		return true, nil
	case to.Kind == Bit && strings.EqualFold(trimmed, "false"):
		return false, nil
	case to.integer():
		if trimmed == "" {
			return fitInteger(0, from, to)
		}
		n, ok := new(big.Int).SetString(strings.TrimPrefix(trimmed, "+"), 10)
		switch {
		case !ok:
			return nil, fault(245, "Conversion failed when converting the %s value '%s' to data type %s.", from.family(), s, to.family())
		case !n.IsInt64() || n.Int64() < ranges[to.Kind][0] && to.Kind != Bit || n.Int64() > ranges[to.Kind][1] && to.Kind != Bit:
			return nil, fault(248, "The conversion of the %s value '%s' overflowed an %s column.", from.family(), s, to.family())
		}
		return fitInteger(n.Int64(), from, to)
	case to.Kind == Decimal:
		if d, ok := parseDec(trimmed); ok {
			return fitDec(d, from, to)
		}
	default:
		if f, err := strconv.ParseFloat(trimmed, 64); err == nil || trimmed == "" {
			return f, nil
		}
	}
	return nil, fault(8114, "Error converting data type %s to %s.", from.family(), arithmeticName(to))
}

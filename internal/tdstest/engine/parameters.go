package engine

import (
	"time"
	"unicode/utf16"
)

// internal brings a client's parameter into the form that the engine computes
// with.
func internal(p Param) value {
	v := value{p.Type, p.Value}
	switch n := p.Value.(type) {
	case int:
		v.v = int64(n)
	case int32:
		v.v = int64(n)
	case string:
		if p.Type.Kind == Decimal {
			if d, ok := parseDec(n); ok {
				v.v = d
			}
		}
	}
	if v.typ.Kind == Unknown {
		v.typ = inferred(v.v)
	}
	return v
}

// inferred is the type of a value that came without one.
func inferred(v any) Type {
	switch v := v.(type) {
	case int64:
		return typeBigInt
	case bool:
		return typeBit
	case float64:
		return typeFloat
	case []byte:
		return varbinary(sizeOrMax(len(v), 8000))
	case string:
		return nvarchar(sizeOrMax(len(utf16.Encode([]rune(v))), 4000))
	case time.Time:
		return Type{Kind: DateTimeOffset, Scale: 7}
	}
	return typeText
}

func sizeOrMax(n, limit int) int {
	if n > limit {
		return -1
	}
	return max(n, 1)
}

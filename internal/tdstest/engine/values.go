package engine

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode/utf16"
)

// compare orders two values of the same type, neither nil. Text compares as in
// the default collation, without regard to case and trailing spaces, unless
// exact is set.
func compare(a, b any, exact bool) int {
	switch a := a.(type) {
	case int64:
		return cmp.Compare(a, b.(int64))
	case bool:
		return cmp.Compare(btoi(a), btoi(b.(bool)))
	case float64:
		return cmp.Compare(a, b.(float64))
	case dec:
		return a.cmp(b.(dec))
	case string:
		return compareText(a, b.(string), exact)
	case []byte:
		return bytes.Compare(a, b.([]byte))
	case time.Time:
		return a.Compare(b.(time.Time))
	}
	panic(fmt.Sprintf("value of type %T", a))
}

func compareText(a, b string, exact bool) int {
	a, b = strings.TrimRight(a, " "), strings.TrimRight(b, " ")
	if exact {
		return cmp.Compare(a, b)
	}
	return cmp.Compare(strings.ToUpper(a), strings.ToUpper(b))
}

func btoi(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// keyOf encodes values so that equal ones, and only they, are equal.
func keyOf(values []any, exact []bool) string {
	var b strings.Builder
	for i, v := range values {
		switch v := v.(type) {
		case nil:
			b.WriteString("n")
		case string:
			v = strings.TrimRight(v, " ")
			if !exact[i] {
				v = strings.ToUpper(v)
			}
			fmt.Fprintf(&b, "s%d:%s", len(v), v)
		case []byte:
			fmt.Fprintf(&b, "b%d:%s", len(v), v)
		case time.Time:
			fmt.Fprintf(&b, "t%d", v.UTC().UnixNano())
		default:
			fmt.Fprintf(&b, "%T%v", v, v)
		}
		b.WriteByte(';')
	}
	return b.String()
}

// units counts UTF-16 units, as the server counts characters.
func units(s string) int {
	n := 0
	for _, r := range s {
		n += max(1, utf16.RuneLen(r))
	}
	return n
}

// sliceUnits cuts text by UTF-16 units; half of a pair at an edge is lost.
func sliceUnits(s string, from, to int) string {
	u := utf16.Encode([]rune(s))
	from, to = min(max(from, 0), len(u)), min(max(to, 0), len(u))
	if from >= to {
		return ""
	}
	return string(utf16.Decode(u[from:to]))
}

func utf16Bytes(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return b
}

func fromUTF16(b []byte) string {
	u := make([]uint16, 0, len(b)/2)
	for i := 0; i+1 < len(b); i += 2 {
		u = append(u, uint16(b[i])|uint16(b[i+1])<<8)
	}
	return string(utf16.Decode(u))
}

// guidText writes the 16 bytes of a uniqueidentifier, of which the first three
// groups are little-endian.
func guidText(b []byte) string {
	return strings.ToUpper(fmt.Sprintf("%x-%x-%x-%x-%x",
		[]byte{b[3], b[2], b[1], b[0]}, []byte{b[5], b[4]}, []byte{b[7], b[6]}, b[8:10], b[10:16]))
}

func parseGUID(s string) ([]byte, bool) {
	s = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(s), "{"), "}")
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(b) != 16 || len(s) != 36 {
		return nil, false
	}
	b[0], b[1], b[2], b[3] = b[3], b[2], b[1], b[0]
	b[4], b[5], b[6], b[7] = b[5], b[4], b[7], b[6]
	return b, true
}

// external turns a value into the form that Tokens documents.
func external(v any) any {
	if d, ok := v.(dec); ok {
		return d.String()
	}
	return v
}

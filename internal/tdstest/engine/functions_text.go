package engine

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"strings"
)

var wide = nvarchar(-1)

// plainArg leaves an argument as it is.
var plainArg = Type{}

var textFunctions = map[string]function{
	"LEN": {1, 1, lengthType, func(_ *env, a []any) (any, error) {
		if b, ok := a[0].([]byte); ok {
			return int64(len(b)), nil
		}
		return int64(units(strings.TrimRight(textOf(a[0]), " "))), nil
	}, false, nil},
	"UPPER":     textFunction(strings.ToUpper),
	"LOWER":     textFunction(strings.ToLower),
	"LTRIM":     textFunction(func(s string) string { return strings.TrimLeft(s, " ") }),
	"RTRIM":     textFunction(func(s string) string { return strings.TrimRight(s, " ") }),
	"TRIM":      textFunction(func(s string) string { return strings.Trim(s, " ") }),
	"REVERSE":   textFunction(reverse),
	"LEFT":      {2, 2, asFirst, leftText, false, []Type{wide, typeBigInt}},
	"RIGHT":     {2, 2, asFirst, rightText, false, []Type{wide, typeBigInt}},
	"SUBSTRING": {3, 3, asFirst, substring, false, []Type{plainArg, typeBigInt, typeBigInt}},
	"CHARINDEX": {2, 3, always(typeInt), charIndex, false, []Type{wide, wide, typeBigInt}},
	"REPLACE": {3, 3, always(nvarchar(4000)), func(_ *env, a []any) (any, error) {
		return replaceFold(a[0].(string), a[1].(string), a[2].(string)), nil
	}, false, []Type{wide, wide, wide}},
	"REPLICATE": {2, 2, asFirst, func(_ *env, a []any) (any, error) {
		if n := a[1].(int64); n >= 0 {
			return strings.Repeat(a[0].(string), int(min(n, 8000))), nil
		}
		return nil, nil
	}, false, []Type{wide, typeBigInt}},
	"SPACE": {1, 1, always(nvarchar(4000)), func(_ *env, a []any) (any, error) {
		return strings.Repeat(" ", int(min(max(a[0].(int64), 0), 8000))), nil
	}, false, []Type{typeBigInt}},
	"CONCAT": {2, 254, always(nvarchar(-1)), func(_ *env, a []any) (any, error) {
		var b strings.Builder
		for _, v := range a {
			b.WriteString(textOf(v))
		}
		return b.String(), nil
	}, true, nil},
	"CHAR":      {1, 1, always(Type{Kind: VarChar, Size: 1}), characterOf, false, []Type{typeBigInt}},
	"NCHAR":     {1, 1, always(nvarchar(2)), characterOf, false, []Type{typeBigInt}},
	"ASCII":     {1, 1, always(typeInt), codeOf, false, []Type{wide}},
	"UNICODE":   {1, 1, always(typeInt), codeOf, false, []Type{wide}},
	"QUOTENAME": {1, 2, always(nvarchar(258)), quoteName, false, []Type{wide, wide}},
	"HASHBYTES": {2, 2, always(varbinary(8000)), hashBytes, false, []Type{wide}},
	"STUFF": {4, 4, asFirst, func(_ *env, a []any) (any, error) {
		s, from, n := a[0].(string), int(a[1].(int64)), int(a[2].(int64))
		if from < 1 || from > units(s) || n < 0 {
			return nil, nil
		}
		return sliceUnits(s, 0, from-1) + a[3].(string) + sliceUnits(s, from-1+n, units(s)), nil
	}, false, []Type{wide, typeBigInt, typeBigInt, wide}},
}

func lengthType(args []bound) Type {
	if args[0].typ.Size == -1 {
		return typeBigInt
	}
	return typeInt
}

func textFunction(f func(string) string) function {
	return function{1, 1, asFirst, func(_ *env, a []any) (any, error) { return f(a[0].(string)), nil }, false, []Type{wide}}
}

// textOf is a value as CONCAT and LEN see it.
func textOf(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []byte:
		return fromUTF16(v)
	}
	return plainText(v, inferred(v), 121)
}

func reverse(s string) string {
	r := []rune(s)
	for i, j := 0, len(r)-1; i < j; i, j = i+1, j-1 {
		r[i], r[j] = r[j], r[i]
	}
	return string(r)
}

func negativeLength(name string) error {
	return fault(537, "Invalid length parameter passed to the %s function.", name)
}

func leftText(_ *env, a []any) (any, error) {
	n := a[1].(int64)
	if n < 0 {
		return nil, negativeLength("left")
	}
	return sliceUnits(a[0].(string), 0, int(n)), nil
}

func rightText(_ *env, a []any) (any, error) {
	s, n := a[0].(string), a[1].(int64)
	if n < 0 {
		return nil, negativeLength("right")
	}
	return sliceUnits(s, units(s)-int(min(n, int64(units(s)))), units(s)), nil
}

func substring(_ *env, a []any) (any, error) {
	from, n := a[1].(int64)-1, a[2].(int64)
	if n < 0 {
		return nil, negativeLength("substring")
	}
	to := from + n
	if b, ok := a[0].([]byte); ok {
		size := int64(len(b))
		low, high := min(max(from, 0), size), min(max(to, 0), size)
		return b[low:max(low, high)], nil
	}
	return sliceUnits(textOf(a[0]), int(max(from, 0)), int(min(max(to, 0), 1<<30))), nil
}

func charIndex(_ *env, a []any) (any, error) {
	find, in, from := strings.ToUpper(a[0].(string)), strings.ToUpper(a[1].(string)), 0
	if len(a) > 2 {
		from = int(max(a[2].(int64)-1, 0))
	}
	rest := sliceUnits(in, from, units(in))
	i := strings.Index(rest, find)
	if i < 0 || find == "" {
		return int64(0), nil
	}
	return int64(from + units(rest[:i]) + 1), nil
}

// replaceFold replaces without regard to case, as the default collation does.
func replaceFold(s, find, with string) string {
	if find == "" {
		return s
	}
	upper, up := strings.ToUpper(s), strings.ToUpper(find)
	if len(upper) != len(s) || len(up) != len(find) {
		return strings.ReplaceAll(s, find, with)
	}
	var b strings.Builder
	for {
		i := strings.Index(upper, up)
		if i < 0 {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i])
		b.WriteString(with)
		s, upper = s[i+len(find):], upper[i+len(find):]
	}
}

func characterOf(_ *env, a []any) (any, error) {
	n := a[0].(int64)
	if n < 0 || n > 0x10FFFF {
		return nil, nil
	}
	return string(rune(n)), nil
}

func codeOf(_ *env, a []any) (any, error) {
	for _, r := range a[0].(string) {
		return int64(r), nil
	}
	return nil, nil
}

func quoteName(_ *env, a []any) (any, error) {
	opening, closing := "[", "]"
	if len(a) > 1 && a[1] != "[" && a[1] != "]" {
		opening, closing = a[1].(string), a[1].(string)
	}
	return opening + strings.ReplaceAll(a[0].(string), closing, closing+closing) + closing, nil
}

func hashBytes(_ *env, a []any) (any, error) {
	data, ok := a[1].([]byte)
	if !ok {
		return nil, fault(8116, "Argument data type is invalid for argument 2 of hashbytes function.")
	}
	switch strings.ToUpper(a[0].(string)) {
	case "MD5":
		h := md5.Sum(data)
		return h[:], nil
	case "SHA", "SHA1":
		h := sha1.Sum(data)
		return h[:], nil
	case "SHA2_256":
		h := sha256.Sum256(data)
		return h[:], nil
	case "SHA2_512":
		h := sha512.Sum512(data)
		return h[:], nil
	}
	return nil, nil
}

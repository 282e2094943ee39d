package engine

import (
	"crypto/rand"
	"math"
	"strings"
	"time"
)

func numberType(args []bound) Type {
	if !args[0].typ.number() {
		return typeFloat
	}
	return args[0].typ
}

var numberFunctions = map[string]function{
	"ABS": {1, 1, numberType, func(_ *env, a []any) (any, error) {
		switch v := a[0].(type) {
		case int64:
			return max(v, -v), nil
		case float64:
			return math.Abs(v), nil
		case dec:
			if v.units.Sign() < 0 {
				return decOf(0).arithmetic("-", v, v.scale), nil
			}
		}
		return a[0], nil
	}, false, nil},
	"SIGN": {1, 1, numberType, func(_ *env, a []any) (any, error) {
		if v, ok := a[0].(int64); ok {
			return int64(compare(v, int64(0), true)), nil
		}
		return a[0], nil
	}, false, nil},
	"FLOOR":   {1, 1, always(typeFloat), floatFunction(math.Floor), false, []Type{typeFloat}},
	"CEILING": {1, 1, always(typeFloat), floatFunction(math.Ceil), false, []Type{typeFloat}},
	"SQRT":    {1, 1, always(typeFloat), floatFunction(math.Sqrt), false, []Type{typeFloat}},
	"ROUND": {2, 2, always(typeFloat), func(_ *env, a []any) (any, error) {
		p := math.Pow(10, float64(a[1].(int64)))
		return math.Round(a[0].(float64)*p) / p, nil
	}, false, []Type{typeFloat, typeBigInt}},
	"POWER": {2, 2, always(typeFloat), func(_ *env, a []any) (any, error) {
		return math.Pow(a[0].(float64), a[1].(float64)), nil
	}, false, []Type{typeFloat, typeFloat}},
	"NEWID": {0, 0, always(Type{Kind: UniqueIdentifier}), func(*env, []any) (any, error) {
		b := make([]byte, 16)
		_, _ = rand.Read(b) // never fails
		b[7], b[8] = b[7]&0x0F|0x40, b[8]&0x3F|0x80
		return b, nil
	}, false, nil},
	"RAND": {0, 1, always(typeFloat), func(*env, []any) (any, error) {
		b := make([]byte, 7)
		_, _ = rand.Read(b)
		n := 0.0
		for _, x := range b[:6] {
			n = n*256 + float64(x)
		}
		return n / (1 << 48), nil
	}, false, nil},
	"CHECKSUM": {1, 254, always(typeInt), func(_ *env, a []any) (any, error) {
		exact := make([]bool, len(a))
		return int64(int32(hash32(keyOf(a, exact)))), nil
	}, true, nil},
}

func floatFunction(f func(float64) float64) func(*env, []any) (any, error) {
	return func(_ *env, a []any) (any, error) { return f(a[0].(float64)), nil }
}

func now(scale int) func(*env, []any) (any, error) {
	return func(e *env, _ []any) (any, error) {
		t := typeDateTime2
		if scale == 3 {
			t = typeDateTime
		}
		return fitDate(e.x.server.now().UTC(), t), nil
	}
}

var dateFunctions = map[string]function{
	"GETDATE":           {0, 0, always(typeDateTime), now(3), false, nil},
	"CURRENT_TIMESTAMP": {0, 0, always(typeDateTime), now(3), false, nil},
	"GETUTCDATE":        {0, 0, always(typeDateTime), now(3), false, nil},
	"SYSDATETIME":       {0, 0, always(typeDateTime2), now(7), false, nil},
	"SYSUTCDATETIME":    {0, 0, always(typeDateTime2), now(7), false, nil},
	"SYSDATETIMEOFFSET": {0, 0, always(Type{Kind: DateTimeOffset, Scale: 7}), now(7), false, nil},
	"DATEADD":           {3, 3, dateAddType, dateAdd, false, []Type{wide, typeBigInt}},
	"DATEDIFF":          {3, 3, always(typeInt), dateDiff, false, []Type{wide, plainArg, plainArg}},
	"DATEDIFF_BIG":      {3, 3, always(typeBigInt), dateDiff, false, []Type{wide, plainArg, plainArg}},
	"DATEPART": {2, 2, always(typeInt), func(_ *env, a []any) (any, error) {
		at, err := dateOf(a[1])
		if err != nil {
			return nil, err
		}
		n, ok := datePart(strings.ToLower(a[0].(string)), at)
		if !ok {
			return nil, badPart("datepart", a[0])
		}
		return n, nil
	}, false, nil},
	"YEAR":  partFunction("year"),
	"MONTH": partFunction("month"),
	"DAY":   partFunction("day"),
}

func partFunction(part string) function {
	return function{1, 1, always(typeInt), func(_ *env, a []any) (any, error) {
		at, err := dateOf(a[0])
		if err != nil {
			return nil, err
		}
		n, _ := datePart(part, at)
		return n, nil
	}, false, nil}
}

func badPart(function string, part any) error {
	return fault(155, "'%v' is not a recognized %s option.", part, function)
}

func dateOf(v any) (time.Time, error) {
	switch v := v.(type) {
	case time.Time:
		return v, nil
	case string:
		if t, ok := parseDate(v); ok {
			return t, nil
		}
		return time.Time{}, fault(241, "Conversion failed when converting date and/or time from character string.")
	}
	return time.Time{}, fault(206, "Operand type clash: the argument is no date.")
}

func dateAddType(args []bound) Type {
	if args[2].typ.temporal() {
		return args[2].typ
	}
	return typeDateTime
}

func dateAdd(_ *env, a []any) (any, error) {
	at, err := dateOf(a[2])
	if err != nil {
		return nil, err
	}
	t, ok := addDate(strings.ToLower(a[0].(string)), a[1].(int64), at)
	if !ok {
		return nil, badPart("dateadd", a[0])
	}
	return t, nil
}

func dateDiff(_ *env, a []any) (any, error) {
	from, err := dateOf(a[1])
	if err != nil {
		return nil, err
	}
	to, err := dateOf(a[2])
	if err != nil {
		return nil, err
	}
	n, ok := dateDifference(strings.ToLower(a[0].(string)), from, to)
	if !ok {
		return nil, badPart("datediff", a[0])
	}
	return n, nil
}

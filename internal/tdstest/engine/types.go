package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/tsql"
)

// Types of common use.
var (
	typeBit       = Type{Kind: Bit}
	typeInt       = Type{Kind: Int}
	typeBigInt    = Type{Kind: BigInt}
	typeSmallInt  = Type{Kind: SmallInt}
	typeFloat     = Type{Kind: Float}
	typeDateTime  = Type{Kind: DateTime, Scale: 3}
	typeDateTime2 = Type{Kind: DateTime2, Scale: 7}
	typeSysName   = Type{Kind: NVarChar, Size: 128}
	typeText      = Type{Kind: NVarChar, Size: 4000}
	typeVariant   = Type{Kind: NVarChar, Size: 4000}
)

func nvarchar(n int) Type { return Type{Kind: NVarChar, Size: n} }

func varbinary(n int) Type { return Type{Kind: VarBinary, Size: n} }

// condition is the type of a condition, which is no value in T-SQL.
const condition Kind = 0xFF

var kindNames = map[Kind]string{
	Bit: "bit", TinyInt: "tinyint", SmallInt: "smallint", Int: "int", BigInt: "bigint", Float: "float", Real: "real",
	Decimal: "decimal", NVarChar: "nvarchar", VarChar: "varchar", NChar: "nchar", Char: "char", VarBinary: "varbinary",
	Binary: "binary", DateTime: "datetime", DateTime2: "datetime2", DateTimeOffset: "datetimeoffset", Date: "date",
	Time: "time", UniqueIdentifier: "uniqueidentifier",
}

var typeNames = map[string]Type{
	"bit": typeBit, "tinyint": {Kind: TinyInt}, "smallint": typeSmallInt, "int": typeInt, "integer": typeInt,
	"bigint": typeBigInt, "float": typeFloat, "real": {Kind: Real}, "decimal": {Kind: Decimal, Size: 18},
	"numeric": {Kind: Decimal, Size: 18}, "dec": {Kind: Decimal, Size: 18}, "money": {Kind: Decimal, Size: 19, Scale: 4},
	"nvarchar": nvarchar(1), "varchar": {Kind: VarChar, Size: 1}, "nchar": {Kind: NChar, Size: 1},
	"char": {Kind: Char, Size: 1}, "varbinary": varbinary(1), "binary": {Kind: Binary, Size: 1},
	"rowversion": {Kind: Binary, Size: 8}, "timestamp": {Kind: Binary, Size: 8},
	"text": {Kind: VarChar, Size: -1}, "ntext": nvarchar(-1), "image": varbinary(-1), "sysname": typeSysName,
	"datetime": typeDateTime, "smalldatetime": {Kind: DateTime}, "datetime2": typeDateTime2,
	"datetimeoffset": {Kind: DateTimeOffset, Scale: 7}, "date": {Kind: Date}, "time": {Kind: Time, Scale: 7},
	"uniqueidentifier": {Kind: UniqueIdentifier},
}

// String returns the type as T-SQL writes it.
func (t Type) String() string {
	name := kindNames[t.Kind]
	switch {
	case t.sized() && t.Size == -1:
		return name + "(max)"
	case t.sized():
		return fmt.Sprintf("%s(%d)", name, t.Size)
	case t.Kind == Decimal:
		return fmt.Sprintf("%s(%d,%d)", name, t.Size, t.Scale)
	case t.Kind == DateTime2, t.Kind == DateTimeOffset, t.Kind == Time:
		return fmt.Sprintf("%s(%d)", name, t.Scale)
	}
	return name
}

// resolveType turns a written type into a Type. inCast is set in CAST and
// CONVERT, where text without a size has 30 characters rather than 1.
func resolveType(n tsql.TypeName, inCast bool) (Type, error) {
	t, ok := typeNames[n.Name]
	if !ok {
		return t, fault(243, "Type %s is not a defined system type.", n.Name)
	}
	switch {
	case n.Name == "sysname":
	case t.sized() && inCast && len(n.Args) == 0 && t.Size == 1:
		t.Size = 30
	case t.sized() && len(n.Args) > 0:
		t.Size = n.Args[0]
	case t.Kind == Decimal && len(n.Args) > 0:
		t.Size, t.Scale = n.Args[0], 0
		if len(n.Args) > 1 {
			t.Scale = n.Args[1]
		}
	case (t.Kind == DateTime2 || t.Kind == DateTimeOffset || t.Kind == Time) && len(n.Args) > 0:
		t.Scale = n.Args[0]
	}
	if err := t.check(); err != nil {
		return t, err
	}
	return t, nil
}

func (t Type) check() error {
	limit := 8000
	if t.Kind == NVarChar || t.Kind == NChar {
		limit = 4000
	}
	switch {
	case t.sized() && (t.Size == 0 || t.Size < -1):
		return fault(1001, "Line 1: Length or precision specification %d is invalid.", t.Size)
	case t.sized() && t.Size > limit:
		return fault(131, "The size (%d) given to the type '%s' exceeds the maximum allowed (%d).", t.Size, kindNames[t.Kind], limit)
	case t.Kind == Decimal && (t.Size < 1 || t.Size > 38 || t.Scale < 0 || t.Scale > t.Size):
		return fault(1001, "Line 1: Length or precision specification %d is invalid.", t.Size)
	}
	return nil
}

func (t Type) in(kinds ...Kind) bool { return slices.Contains(kinds, t.Kind) }

func (t Type) text() bool    { return t.in(NVarChar, VarChar, NChar, Char) }
func (t Type) unicode() bool { return t.in(NVarChar, NChar) }
func (t Type) bytes() bool   { return t.in(VarBinary, Binary) }
func (t Type) sized() bool   { return t.text() || t.bytes() }
func (t Type) integer() bool { return t.in(Bit, TinyInt, SmallInt, Int, BigInt) }
func (t Type) number() bool  { return t.integer() || t.in(Float, Real, Decimal) }
func (t Type) temporal() bool {
	return t.in(DateTime, DateTime2, DateTimeOffset, Date, Time)
}

// precedence orders kinds as the server does when two meet: the higher wins.
var precedence = []Kind{
	Unknown, Binary, VarBinary, Char, VarChar, NChar, NVarChar, UniqueIdentifier, Bit, TinyInt, SmallInt, Int, BigInt,
	Decimal, Real, Float, Time, Date, DateTime, DateTime2, DateTimeOffset,
}

// common is the type that values of both types are converted to.
func common(a, b Type) Type {
	if slices.Index(precedence, a.Kind) < slices.Index(precedence, b.Kind) {
		a, b = b, a
	}
	switch {
	case b.Kind == Unknown:
	case a.sized() && b.sized():
		if a.Size == -1 || b.Size == -1 {
			a.Size = -1
		} else {
			a.Size = max(a.Size, b.Size)
		}
	case a.Kind == Decimal:
		b = asDecimal(b)
		scale := max(a.Scale, b.Scale)
		a.Size, a.Scale = min(38, max(a.Size-a.Scale, b.Size-b.Scale)+scale), scale
	case a.Kind == b.Kind:
		a.Scale = max(a.Scale, b.Scale)
	}
	return a
}

// asDecimal is the decimal type that holds every value of an integer type.
func asDecimal(t Type) Type {
	digits := map[Kind]int{Bit: 1, TinyInt: 3, SmallInt: 5, Int: 10, BigInt: 19}
	if n, ok := digits[t.Kind]; ok {
		return Type{Kind: Decimal, Size: n}
	}
	if t.Kind != Decimal {
		return Type{Kind: Decimal, Size: 18}
	}
	return t
}

// family names a type for messages about operators.
func (t Type) family() string { return strings.ToLower(kindNames[t.Kind]) }

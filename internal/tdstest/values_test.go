package tdstest

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine"
)

// TestParameterBytes holds the types that the driver does not send.
func TestParameterBytes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, bytes string
		kind        engine.Kind
		want        any
	}{
		{"tinyint", "30ff", engine.TinyInt, int64(255)},
		{"bit", "3201", engine.Bit, true},
		{"smallint", "34feff", engine.SmallInt, int64(-2)},
		{"int", "38feffffff", engine.Int, int64(-2)},
		{"bigint", "7ffeffffffffffffff", engine.BigInt, int64(-2)},
		{"real", "3b0000003f", engine.Real, 0.5},
		{"float", "3e000000000000e03f", engine.Float, 0.5},
		{"smallmoney", "7af0d8ffff", engine.Decimal, "-1.0000"},
		{"money", "3c01000000" + "00000000", engine.Decimal, "429496.7296"},
		{"money, nullable", "6e0808" + "ffffffff" + "ffffffff", engine.Decimal, "-0.0001"},
		{"smalldatetime", "3a01000100", engine.DateTime, time.Date(1900, 1, 2, 0, 1, 0, 0, time.UTC)},
		{"datetime", "3dffffffff02000000", engine.DateTime, time.Date(1899, 12, 31, 0, 0, 0, 7_000_000, time.UTC)},
		{"decimal", "6a050902" + "05" + "01" + "07000000", engine.Decimal, "0.07"},
		{"negative decimal", "6a050902" + "05" + "00" + "d2040000", engine.Decimal, "-12.34"},
		{"whole decimal", "6c110a00" + "05" + "01" + "0a000000", engine.Decimal, "10"},
		{"null decimal", "6a050902" + "00", engine.Decimal, nil},
		{"varchar", "a70300" + "0904d00034" + "0200" + "80e9", engine.VarChar, "€é"},
		{"null varchar", "a70300" + "0904d00034" + "ffff", engine.VarChar, nil},
		{"binary", "ad0200" + "0200" + "0102", engine.Binary, []byte{1, 2}},
		{"varbinary(max) of a known length", "a5ffff" + "0300000000000000" + "02000000" + "0102" + "01000000" + "03" + "00000000", engine.VarBinary, []byte{1, 2, 3}},
		{"null", "1f", engine.NVarChar, nil},
	} {
		b, err := hex.DecodeString(c.bytes)
		if err != nil {
			t.Fatal(err)
		}
		in := &cursor{rest: b}
		kind := in.typeInfo()
		got := in.value(kind)
		if in.err != nil || in.more() || kind.Kind != c.kind || !same(got, c.want) {
			t.Errorf("%s: got %v of kind %d, %v, %d bytes left", c.name, got, kind.Kind, in.err, len(in.rest))
		}
	}
}

func TestEngineMistakes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind     engine.Type
		nullable bool
		value    any
	}{
		"null where there is none": {engine.Type{Kind: engine.Int}, false, nil},
		"text in a number":         {engine.Type{Kind: engine.Int}, true, "1"},
		"number in a text":         {engine.Type{Kind: engine.NVarChar, Size: 5}, true, int64(1)},
		"bool in a number":         {engine.Type{Kind: engine.Int}, true, true},
		"float in a number":        {engine.Type{Kind: engine.Int}, true, 0.5},
		"bytes in a number":        {engine.Type{Kind: engine.Int}, true, []byte{1}},
		"moment in a number":       {engine.Type{Kind: engine.Int}, true, moment},
		"unknown Go type":          {engine.Type{Kind: engine.Int}, true, struct{}{}},
		"tinyint too great":        {engine.Type{Kind: engine.TinyInt}, true, int64(256)},
		"smallint too great":       {engine.Type{Kind: engine.SmallInt}, true, int64(32768)},
		"int too great":            {engine.Type{Kind: engine.Int}, true, int64(1 << 31)},
		"short guid":               {engine.Type{Kind: engine.UniqueIdentifier}, true, []byte{1}},
		"decimal with more digits": {engine.Type{Kind: engine.Decimal, Size: 5, Scale: 1}, true, "1.25"},
		"decimal too great":        {engine.Type{Kind: engine.Decimal, Size: 9}, true, "99999999999"},
		"decimal of words":         {engine.Type{Kind: engine.Decimal, Size: 9}, true, "ten"},
		"text too long":            {engine.Type{Kind: engine.NVarChar, Size: 1}, true, "ab"},
	} {
		if b, err := encodeType(c.kind, c.nullable).appendValue(nil, c.value); err == nil {
			t.Errorf("%s: % x", name, b)
		}
	}
	out := &reply{writer: newReplyWriter(new(strings.Builder), minPacketSize, 1), database: new(string)}
	out.Columns([]engine.Column{{Name: "a", Type: engine.Type{Kind: engine.Int}}})
	out.Row(nil)
	if !out.broken {
		t.Error("a row without values was taken")
	}
	out.broken = false
	out.ReturnValue("@a", engine.Type{Kind: engine.Int}, "text")
	if !out.broken {
		t.Error("a mistaken output parameter was taken")
	}
}

func TestLatin(t *testing.T) {
	t.Parallel()
	if got := decodeLatin(encodeLatin("aé€žж")); got != "aé€ž?" {
		t.Error(got)
	}
	if got := decodeLatin([]byte{0x81}); got != "\u0081" {
		t.Errorf("%q", got)
	}
}

func TestPacketSize(t *testing.T) {
	t.Parallel()
	for asked, want := range map[uint32]int{0: 4096, 1: 512, 8000: 8000, 1 << 31: 32767} {
		if got := negotiatePacketSize(asked); got != want {
			t.Errorf("%d: %d", asked, got)
		}
	}
}

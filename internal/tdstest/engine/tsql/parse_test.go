package tsql_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/tsql"
)

func TestErrors(t *testing.T) {
	for sql, want := range map[string]struct {
		number int32
		line   int
		text   string
	}{
		"select 'a":             {105, 1, "after the character string 'a'"},
		"select 1\nselect from": {156, 2, "near the keyword 'from'"},
		"/* /* */":              {113, 1, "Missing end comment"},
		"select ?":              {102, 1, "near '?'"},
		"begin end":             {156, 1, "'end'"},
		"select 1; create view v as select 1 as a": {111, 1, "first statement"},
		"if 1 = 1":                            {102, 1, "near '1'"},
		"merge t using s on 1 = 1":            {102, 1, "simulator does not know MERGE"},
		"exec p @a = 1, 2":                    {119, 1, "@name = value"},
		"exec p 1 + 1":                        {102, 1, "near '+'"},
		"select * from a.b.c.d.e":             {117, 1, "prefixes"},
		"select " + strings.Repeat("(", 5000): {191, 1, "nested too deeply"},
	} {
		_, err := tsql.Parse(sql)
		e := (*tsql.Error)(nil)
		if !errors.As(err, &e) || e.Number != want.number || e.Line != want.line || !strings.Contains(e.Text, want.text) {
			t.Errorf("%.40s: %+v, want %+v", sql, e, want)
		}
	}
}

func TestNames(t *testing.T) {
	n, err := tsql.SplitName("d..[a]]b]")
	if err != nil || strings.Join(n.Parts, "|") != "d||a]b" {
		t.Errorf("%q, %v", n.Parts, err)
	}
	if _, err := tsql.SplitName("a b"); err == nil {
		t.Error("two names passed for one")
	}
	p, err := tsql.ParseParameters("@a int, @b AS nvarchar(max) = N'x' OUTPUT")
	if err != nil || len(p) != 2 || p[1].Type.Args[0] != -1 || !p[1].Output {
		t.Errorf("%+v, %v", p, err)
	}
}

// FuzzParse looks for texts that the parser neither reads nor refuses.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"select a, b as c from t as x with (nolock) where a in (1, 2) order by 1", "begin try select 1 end try begin catch throw end catch",
		"exec @r = p @a = N'x', @b = @c output", "create table t (a int primary key, check (a > 0))", "if 1 = 1 select 1 else select 2",
		"update t set a += 1 output inserted.* from t join s on t.a = s.a", "select case when 1 = 1 then 2 end", "/*", "N'", "0x", "[", "\"", "@", "..",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		if _, err := tsql.Parse(sql); err != nil && !errors.As(err, new(*tsql.Error)) {
			t.Errorf("%v is no *Error", err)
		}
	})
}

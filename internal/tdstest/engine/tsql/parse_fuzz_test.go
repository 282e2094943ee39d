package tsql

import (
	"errors"
	"strings"
	"testing"
)

// FuzzParser looks for a text that the parser neither takes nor refuses, or of
// which it makes something else when blanks and comments stand around it.
func FuzzParser(f *testing.F) {
	for _, sql := range []string{
		"", "select 1", "begin tran; commit", "exec sp_getapplock @Resource=N'a', @LockMode='Exclusive', @LockTimeout=-1",
		"DECLARE @r int=0;IF @r>=0 BEGIN SET @r=1;END;", "insert into t (a, b) output inserted.a values (1, 'x'), (0x, null)",
		"create table t (a int identity(1,1) primary key, b varchar(max) default 'x', index i (a, b desc))",
		"select case when a between 1 and 2 then 'x' else -a end from t left join u on t.a = u.a where a in (select 1) order by 1 offset 2 rows",
		"with c as (select 1 as n union all select n + 1 from c) select * from c", "select [a]]b], \"c\"\"d\" from [x].[y]", "/*/**/*/ -- x",
		strings.Repeat("(", 5000), strings.Repeat("begin ", 5000), strings.Repeat("select (", 3000), "select " + strings.Repeat("-", 9999),
		strings.Repeat("not ", 5000), "select '", "[", "0x0g", "1e", "@", "#",
	} {
		f.Add(sql)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		batch, err := Parse(sql)
		var refused *Error
		if err != nil && !errors.As(err, &refused) {
			t.Errorf("%T: %v", err, err)
		}
		if err == nil {
			for _, around := range []string{" \r\n" + sql, "/* ; */" + sql + "\n", "--'\n" + sql + "\n--'"} {
				if again, err := Parse(around); err != nil || len(again) != len(batch) {
					t.Errorf("%q has %d statements, with blanks around it %d (%v)", sql, len(batch), len(again), err)
				}
			}
		}
		_, err1 := ParseParameters(sql)
		_, err2 := ParseType(sql)
		_, err3 := SplitName(sql)
		for _, err := range []error{err1, err2, err3} {
			if err != nil && !errors.As(err, &refused) {
				t.Errorf("%T: %v", err, err)
			}
		}
	})
}

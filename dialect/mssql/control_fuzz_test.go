package mssql

import "testing"

// FuzzStatement looks for a text on which a reader of statements does not come
// to an end, or that hides what stands before it.
func FuzzStatement(f *testing.F) {
	for _, q := range []string{"", "select 1", "/*", "--", "'", "[", "\"", "exec p", "[a]]b].[c]", "begin try exec p end try begin catch end catch", "\r", "create procedure p as commit"} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, query string) {
		_, _, _ = mayHide(query), takesPrefix(query), effectOf(query)
		for _, before := range []string{"select 1;commit;", "select '''' rollback ", "select 1 /*/**/*/ save tran x;", "select 1;begin transaction ", "select [a]]b] from t; commit\n"} {
			if effectOf(before+query) != ends {
				t.Errorf("%q is not seen to end the transaction", before+query)
			}
		}
		if effectOf("select 1;insert into t values (1);"+query) == reads {
			t.Errorf("an insert before %q is not seen to write", query)
		}
	})
}

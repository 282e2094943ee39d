package engine_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine"
)

// FuzzBatch looks for batches that the engine does not survive, or whose reply
// does not end as a reply must.
func FuzzBatch(f *testing.F) {
	for _, s := range []string{
		"select * from item i join item j on i.id = j.id where i.n > 5 order by j.n", "begin tran; update item set n = n / (id - 1); commit",
		"begin try select cast('x' as int) end try begin catch select error_message(); throw end catch", "exec sp_getapplock 'r', 'Shared', 'Session', 0",
		"exec sp_executesql N'select @a', N'@a int', 1", "create table t (a int primary key, b varchar(3) default 'x'); insert t values (1, default)",
		"select substring('abc', -1, 9), left('abc', 1), dateadd(day, 1, '2024-01-01'), convert(varbinary(3), 1), sum(n) over () from item",
		"declare @a decimal(5, 2) = 1.5; select @a * 2, @a / 3, @a % 1; while 1 = 1 break", "select top (1) * from sys.dm_tran_locks",
		"set lock_timeout 0; delete top (1) from item output deleted.id where id in (select 1)", "select '😀' like '%[a-z]%', 0x, N''",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		if l := strings.ToLower(sql); strings.Contains(l, "replicate") || strings.Contains(l, "database") {
			t.Skip("may take long, or wait")
		}
		_, c := one(t)
		ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, engine.ErrAttention)
		defer cancel()
		r := &recorder{}
		c.Batch(ctx, sql, r)
		last := r.lines[len(r.lines)-1]
		if !strings.HasPrefix(last, "done(") && !strings.HasPrefix(last, "proc(") || r.more(last) {
			t.Errorf("the reply ends with %s", last)
		}
		for _, l := range r.lines[:len(r.lines)-1] {
			if r.isDone(l) && !r.more(l) {
				t.Errorf("%s does not say that more follows: %v", l, r.lines)
			}
		}
	})
}

func (r *recorder) isDone(line string) bool {
	return strings.HasPrefix(line, "done(") || strings.HasPrefix(line, "proc(") || strings.HasPrefix(line, "inproc(")
}

// more reports whether a DONE's status is odd, which is StatusMore.
func (r *recorder) more(line string) bool {
	_, rest, _ := strings.Cut(line, "(")
	status, _, _ := strings.Cut(rest, ",")
	return strings.ContainsAny(status[len(status)-1:], "13579")
}

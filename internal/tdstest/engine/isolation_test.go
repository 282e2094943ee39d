package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// TestReaders says which readers wait for an uncommitted change, and what
// those that do not wait read.
func TestReaders(t *testing.T) {
	for _, c := range []struct{ name, sql, want string }{
		{"read committed", "select n from item where id = 1", "waits 10"},
		{"all rows", "select sum(n) from item", "waits 30"},
		{"another row", "select n from item where id = 2", "20"},
		{"a row that is being added", "select n from item where id = 3", "waits "},
		{"a range without the change", "select n from item where id between 2 and 2", "20"},
		{"read uncommitted", "set transaction isolation level read uncommitted; select n from item where id in (1, 3)", "11 30"},
		{"nolock", "select n from item with (nolock) where id = 1", "11"},
		{"readpast", "select n from item with (readpast)", "20"},
		{"readpast, repeatable read", "set transaction isolation level repeatable read; select n from item with (readpast)", "20"},
		{"readpast, read uncommitted", "set transaction isolation level read uncommitted; select n from item with (readpast)", "error 650"},
		{"readpast, snapshot", "set transaction isolation level snapshot; select n from item with (readpast)", "error 650"},
		{"readpast, serializable", "set transaction isolation level serializable; delete item with (readpast) where n = 0", "error 650"},
		{"nowait", "select n from item with (nowait)", "error 1222"},
		{"snapshot", "set transaction isolation level snapshot; select sum(n) from item", "30"},
		{"lock timeout", "set lock_timeout 5; select sum(n) from item; select @@error", "waits error 1222 1222"},
		{"lock timeout 0", "set lock_timeout 0; select sum(n) from item", "error 1222"},
		{"duplicate key", "insert item values (3, 0); select n from item where id = 3", "waits 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, a := one(t)
				b := login(t, s, "d")
				a.ok("begin tran; update item set n = 11 where id = 1; insert item values (3, 30)")
				reply := b.begins(c.sql)
				synctest.Wait()
				got := ""
				select {
				case r := <-reply:
					got = values(r)
				default:
					got = "waits "
					if strings.Contains(c.sql, "timeout") {
						got += values(<-reply)
						break
					}
					a.ok("rollback")
					got += values(<-reply)
				}
				if got != c.want {
					t.Errorf("got %s, want %s", got, c.want)
				}
			})
		})
	}
}

func values(r *recorder) string {
	return strings.TrimSpace(strings.ReplaceAll(r.only("row", "error"), "row ", ""))
}

func TestReadCommittedSnapshot(t *testing.T) {
	s, a := one(t)
	a.ok("alter database current set read_committed_snapshot on")
	b := login(t, s, "d")
	a.ok("begin tran; update item set n = 11 where id = 1")
	b.ok("begin tran")
	b.rows("select n from item where id = 1", "10")
	a.ok("commit")
	b.rows("select n from item where id = 1", "11")
}

// TestWriters says which changes wait for a transaction that has read.
func TestWriters(t *testing.T) {
	const change, add = "update item set n = 0 where id = 1", "insert item values (3, 30)"
	for _, c := range []struct {
		name, level, read, write string
		waits                    bool
	}{
		{"read committed", "read committed", "select * from item", change, false},
		{"repeatable read", "repeatable read", "select * from item", change, true},
		{"repeatable read lets rows in", "repeatable read", "select * from item", add, false},
		{"serializable keeps rows out", "serializable", "select * from item", add, true},
		{"serializable, one key", "serializable", "select * from item where id = 2", change, false},
		{"serializable, a missing key", "serializable", "select * from item where id = 3", add, true},
		{"serializable, another missing key", "serializable", "select * from item where id = 4", add, false},
		{"holdlock", "read committed", "select * from item with (holdlock)", add, true},
		{"updlock", "read committed", "select * from item with (updlock) where id = 1", change, true},
		{"updlock and another row", "read committed", "select * from item with (updlock) where id = 2", change, false},
		{"tablockx", "read committed", "select * from item with (tablockx) where id = 2", change, true},
		{"snapshot", "snapshot", "select * from item", change, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, a := one(t)
				b := login(t, s, "d")
				a.ok("set transaction isolation level " + c.level + "; begin tran; " + c.read)
				reply := b.begins(c.write)
				synctest.Wait()
				waited := len(reply) == 0
				a.ok("commit")
				if <-reply; waited != c.waits {
					t.Errorf("waited: %v", waited)
				}
			})
		})
	}
}

func TestSnapshot(t *testing.T) {
	s, a := one(t)
	b := login(t, s, "d")
	a.ok("set transaction isolation level snapshot; begin tran")
	b.ok("update item set n = 11 where id = 1") // before the first read
	a.rows("select n from item where id = 1", "11")
	b.ok("update item set n = 12 where id = 1; delete item where id = 2; insert item values (3, 30)")
	a.rows("select id, n from item", "1|11 2|20")
	a.ok("update item set n = 21 where id = 99")
	a.told("update item set n = 0 where id = 1; select 'never'", "error 3960 rolled back")
	a.rows("select id, n from item", "1|12 3|30")
	a.told("begin tran; update item set n = n + 1; select n from item; commit", "began row 13 row 31 committed")
	m := login(t, s, "master")
	m.ok("create database [off]")
	off := login(t, s, "off")
	off.ok("create table t (a int)")
	off.told("set transaction isolation level snapshot; select * from t", "error 3952")
	off.told("set transaction isolation level read committed; begin tran; set transaction isolation level snapshot", "began error 3951 rolled back")
}

func TestLockTimeoutKeepsTheTransaction(t *testing.T) {
	s, a := one(t)
	b := login(t, s, "d")
	a.ok("begin tran; update item set n = 0 where id = 1")
	b.told("set lock_timeout 0; begin tran; update item set n = 1 where id = 1; select @@trancount, xact_state()", "began error 1222 info 3621 row 1|1")
	b.told("rollback; set xact_abort on; begin tran; update item set n = 1 where id = 1", "rolled back began error 1222 rolled back")
	b.told("set xact_abort off; begin try update item set n = 1 where id = 1 end try begin catch select error_number() end catch", "row 1222")
}

func TestDeadlockVictim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := one(t)
		b := login(t, s, "d")
		a.ok("begin tran; update item set n = 0 where id = 1")
		b.ok("set deadlock_priority low; begin tran; update item set n = 0 where id = 2")
		victim := b.begins("begin try update item set n = 0 where id = 1 end try begin catch select error_number(), xact_state(), @@trancount; rollback end catch")
		synctest.Wait()
		a.told("update item set n = 5 where id = 2; commit", "committed")
		if got := (<-victim).told(); got != "row 1205|-1|1 rolled back" {
			t.Errorf("the victim: %s", got)
		}
	})
}

func TestDefinitionsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := one(t)
		b := login(t, s, "d")
		a.ok("begin tran; create table t (a int); insert t values (1)")
		reader := b.begins("select * from t")
		synctest.Wait()
		a.ok("commit")
		if got := values(<-reader); got != "1" {
			t.Errorf("read %s", got)
		}
	})
}

// TestConcurrent moves amounts between rows from many sessions at once. What
// fails fails as a whole, so that the sum stays.
func TestConcurrent(t *testing.T) {
	s, a := one(t)
	for i := 3; i <= 6; i++ {
		a.ok(fmt.Sprintf("insert item values (%d, 0)", i))
	}
	levels := []string{"read committed", "repeatable read", "serializable", "snapshot"}
	var group sync.WaitGroup
	for n := range 8 {
		c := login(t, s, "d")
		group.Go(func() {
			r := rand.New(rand.NewPCG(2, uint64(n)))
			for range 40 {
				c.run(fmt.Sprintf(`set transaction isolation level %s; set xact_abort on; begin tran;
					select sum(n) from item;
					update item set n = n - 1 where id = %d; update item set n = n + 1 where id = %d; commit`,
					levels[r.IntN(len(levels))], 1+r.IntN(6), 1+r.IntN(6)))
			}
		})
	}
	group.Wait()
	a.rows("select sum(n), (select count(*) from sys.dm_tran_locks where resource_type in ('KEY', 'OBJECT', 'METADATA') and request_session_id <> @@spid) from item", "30|0")
}

// TestSnapshotSeesOneState reads sums that are always the same.
func TestSnapshotSeesOneState(t *testing.T) {
	s, a := one(t)
	b := login(t, s, "d")
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() {
		for ctx.Err() == nil {
			b.run("begin tran; update item set n = n - 1 where id = 1; update item set n = n + 1 where id = 2; commit")
		}
	})
	for range 200 {
		a.rows("set transaction isolation level snapshot; select sum(n) from item", "30")
	}
	cancel()
	group.Wait()
}

package engine_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine"
)

// TestReplies runs batches on table item (1,10), (2,20), each on a server of
// its own, and compares what is told.
func TestReplies(t *testing.T) {
	const state = "; select @@trancount, xact_state()"
	for name, c := range map[string]struct{ sql, want string }{
		"counts":                           {"begin tran; begin tran" + state + "; commit" + state + "; commit" + state, "began row 2|1 row 1|1 committed row 0|0"},
		"full rollback":                    {"begin tran; begin tran; rollback" + state, "began rolled back row 0|0"},
		"commit of none":                   {"commit", "error 3902"},
		"rollback of none":                 {"rollback", "error 3903"},
		"save without":                     {"save tran s", "error 628"},
		"unknown savepoint":                {"begin tran; rollback tran s" + state, "began error 6401 row 1|1"},
		"consumed savepoint":               {"begin tran; save tran a; save tran b; rollback tran a; rollback tran b; rollback tran a", "began error 6401 error 6401"},
		"latest of a name":                 {"begin tran; save tran a; delete item where id = 1; save tran a; delete item; rollback tran a; select count(*) from item; rollback tran a; select count(*) from item", "began row 1 row 2"},
		"savepoint from a variable":        {"declare @s varchar(9) = 's'; begin tran; save tran @s; delete item; rollback tran @s; select count(*) from item", "began row 2"},
		"name too long":                    {"begin tran; save tran a23456789012345678901234567890123", "began error 103"},
		"name of the transaction":          {"begin tran t; rollback tran t" + state, "began rolled back row 0|0"},
		"duplicate key":                    {"begin tran; insert item values (1, 1)" + state, "began error 2627 info 3621 row 1|1"},
		"duplicate key, XACT_ABORT":        {"set xact_abort on; begin tran; insert item values (1, 1); select 'never'", "began error 2627 rolled back"},
		"null":                             {"begin tran; insert item values (3, null)" + state, "began error 515 info 3621 row 1|1"},
		"division":                         {"begin tran; select 1/0" + state, "began error 8134 row 1|1"},
		"division, XACT_ABORT":             {"set xact_abort on; begin tran; select 1/0; select 'never'", "began error 8134 rolled back"},
		"conversion":                       {"begin tran; select cast('x' as int); select 'never'", "began error 245 rolled back"},
		"unknown object":                   {"begin tran; select 1; select * from nowhere; select 'never'", "began row 1 error 208"},
		"unknown object, XACT_ABORT":       {"set xact_abort on; begin tran; select * from nowhere", "began error 208 rolled back"},
		"unknown object inside":            {"exec sp_executesql N'select * from nowhere; select 1'; select 2", "error 208 status 208 row 2"},
		"syntax":                           {"begin tran; select from", "error 156"},
		"RAISERROR":                        {"set xact_abort on; begin tran; raiserror('x', 16, 1)" + state, "began error 50000 row 1|1"},
		"THROW":                            {"begin tran; throw 50001, 'x', 1; select 'never'", "began error 50001"},
		"THROW, XACT_ABORT":                {"set xact_abort on; begin tran; throw 50001, 'x', 1", "began error 50001 rolled back"},
		"caught":                           {"begin tran; begin try insert item values (1, 1) end try begin catch select error_number(), xact_state() end catch; commit", "began row 2627|1 committed"},
		"caught, doomed":                   {"set xact_abort on; begin tran; begin try insert item values (1, 1) end try begin catch select error_number(), xact_state(); rollback end catch", "began row 2627|-1 rolled back"},
		"caught, conversion dooms":         {"begin tran; begin try select cast('x' as int) end try begin catch select error_number(), xact_state(); rollback end catch", "began row 245|-1 rolled back"},
		"doomed at the end":                {"begin tran; begin try select cast('x' as int) end try begin catch select 1 end catch", "began row 1 error 3998 rolled back"},
		"doomed cannot commit":             {"begin tran; begin try select cast('x' as int) end try begin catch commit end catch", "began error 3930 rolled back"},
		"doomed cannot write":              {"begin tran; begin try select cast('x' as int) end try begin catch insert item values (3, 3) end catch", "began error 3930 rolled back"},
		"doomed cannot save":               {"begin tran; begin try select cast('x' as int) end try begin catch save tran s end catch", "began error 3930 rolled back"},
		"doomed cannot go back":            {"begin tran; save tran s; begin try select cast('x' as int) end try begin catch rollback tran s end catch", "began error 3931 rolled back"},
		"rethrown":                         {"begin try select 1/0 end try begin catch throw end catch; select 'never'", "error 8134"},
		"unknown object is not caught":     {"begin try select * from nowhere end try begin catch select 'never' end catch", "error 208"},
		"but by the caller":                {"begin try exec('select * from nowhere') end try begin catch select error_number() end catch", "row 208"},
		"nested TRY":                       {"begin try begin try select 1/0 end try begin catch select 1; throw end catch end try begin catch select error_number() end catch; select error_number()", "row 1 row 8134 row NULL"},
		"mismatch":                         {"exec sp_executesql N'begin tran'" + state, "began error 266 status 266 row 1|1"},
		"options of a scope":               {"exec sp_executesql N'set xact_abort on; set lock_timeout 5; set transaction isolation level serializable'; select @@options & 16384, @@lock_timeout; select transaction_isolation_level from sys.dm_exec_sessions where session_id = @@spid", "status 0 row 0|-1 row 2"},
		"options":                          {"set xact_abort on; set nocount on; select @@options & 16384, @@options & 512", "row 16384|512"},
		"ddl is undone":                    {"begin tran; create table t (a int); insert t values (1); drop table item; rollback; select count(*) from item; select object_id('t')", "began rolled back row 2 row NULL"},
		"statement is undone":              {"insert item values (3, 1), (4, 1), (1, 1); select count(*) from item", "error 2627 info 3621 row 2"},
		"identity moves on":                {"create table i (a int identity primary key, b int); begin tran; insert i (b) values (1); rollback; insert i (b) values (2); select a from i", "began rolled back row 2"},
		"implicit":                         {"set implicit_transactions on; insert item values (3, 1)" + state + "; rollback; select count(*) from item", "began row 1|1 rolled back began row 2"},
		"error and count":                  {"insert item values (1, 1); select @@error; select @@error, @@rowcount", "error 2627 info 3621 row 2627 row 0|1"},
		"table variable is not undone":     {"declare @t table (a int); begin tran; insert @t values (1); rollback; select a from @t", "began rolled back row 1"},
		"output":                           {"update item set n = n + 1 output deleted.n, inserted.n where id = 1", "row 10|11"},
		"rows before an error":             {"update item set n = 0 where id = 2; select 1 / n from item", "row 0 error 8134"},
		"keys pass on":                     {"update item set id = id + 1; select id, n from item", "row 2|10 row 3|20"},
		"use":                              {"use master; select db_name()", "database master info 5701 row master"},
		"create database in a transaction": {"begin tran; create database x", "began error 226 rolled back"},
	} {
		t.Run(name, func(t *testing.T) {
			_, c2 := one(t)
			c2.told(c.sql, c.want)
		})
	}
}

// TestErrorDone says how an error that ends its statement alone is told.
func TestErrorDone(t *testing.T) {
	_, c := one(t)
	for sql, want := range map[string]string{
		"insert item values (1, 1); select 1":            "done(3,253,0) done(16,193,1)",
		"declare @a int":                                 "done(0,0,0)",
		"set nocount on; update item set n = 1":          "done(0,0,0)",
		"set nocount off; update item set n = 1":         "done(1,186,0) done(16,197,2)",
		"begin tran; save tran s; rollback":              "done(1,212,0) done(1,214,0) done(0,210,0)",
		"set transaction isolation level read committed": "done(0,249,0)",
	} {
		if got := c.run(sql).dones(); got != want {
			t.Errorf("%s: %s, want %s", sql, got, want)
		}
	}
}

func TestManagerRequests(t *testing.T) {
	_, c := one(t)
	ctx := context.Background()
	do := func(want string, f func(r *recorder)) {
		t.Helper()
		r := &recorder{}
		f(r)
		if got := r.told(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	begin := func(r *recorder) { c.Begin(ctx, 4, "", r) }
	do("error 3902", func(r *recorder) { c.Commit(ctx, r) })
	do("began", begin)
	first := c.Descriptor()
	do("", func(r *recorder) { c.Begin(ctx, 0, "", r) })
	do("", func(r *recorder) { c.Save(ctx, "s", r) })
	c.ok("delete item")
	do("", func(r *recorder) { c.Rollback(ctx, "s", r) })
	do("error 6401", func(r *recorder) { c.Rollback(ctx, "s", r) })
	do("", func(r *recorder) { c.Commit(ctx, r) })
	do("committed", func(r *recorder) { c.Commit(ctx, r) })
	if c.Descriptor() != 0 {
		t.Error("a descriptor without a transaction")
	}
	do("began", begin)
	if c.Descriptor() == first {
		t.Error("the descriptor did not change")
	}
	c.Reset()
	if c.Descriptor() != 0 {
		t.Error("a transaction outlived the reset")
	}
	c.rows("select count(*) from item", "2")
	c.rows("select transaction_isolation_level from sys.dm_exec_sessions where session_id = @@spid", "4")
}

func TestReset(t *testing.T) {
	_, c := one(t)
	c.ok("set xact_abort on; set lock_timeout 5; set context_info 0x0102; set transaction isolation level serializable; use master")
	c.rows("select datalength(context_info()), db_name()", "128|master")
	c.Reset()
	c.rows("select @@options & 16384, @@lock_timeout, context_info(), db_name()", "0|-1|NULL|d")
	c.rows("select transaction_isolation_level from sys.dm_exec_sessions where session_id = @@spid", "4")
}

func TestAttention(t *testing.T) {
	for _, c := range []struct{ name, set, want, after string }{
		{"XACT_ABORT OFF", "off", "", "1|0"}, {"XACT_ABORT ON", "on", "rolled back", "0|2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, a := one(t)
				b := login(t, s, "d")
				b.ok("exec sp_getapplock N'r', 'Exclusive', 'Session'")
				a.ok("set xact_abort " + c.set + "; begin tran; delete item")
				ctx, cancel := context.WithCancelCause(t.Context())
				r, done := &recorder{}, make(chan struct{})
				go func() {
					a.Batch(ctx, "begin try exec sp_getapplock N'r', 'Exclusive' end try begin catch select 1 end catch; select 2", r)
					close(done)
				}()
				synctest.Wait()
				cancel(engine.ErrAttention)
				<-done
				if got := r.told(); got != c.want || r.dones() != "done(2,253,0)" {
					t.Errorf("told %q, %s", got, r.dones())
				}
				a.rows("select @@trancount, (select count(*) from item)", c.after)
			})
		})
	}
}

func TestAttentionUndoesTheStatement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := one(t)
		b := login(t, s, "d")
		b.ok("begin tran; update item set n = 0 where id = 2")
		a.ok("begin tran")
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan struct{})
		go func() { a.Batch(ctx, "insert item values (3, 1), (2, 1)", &recorder{}); close(done) }()
		synctest.Wait()
		cancel(engine.ErrAttention)
		<-done
		b.ok("rollback")
		a.rows("select count(*) from item", "2")
	})
}

func TestKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := one(t)
		b := login(t, s, "d")
		a.ok("begin tran; delete item; exec sp_getapplock N'r', 'Exclusive'")
		waiter := b.begins("select count(*) from item")
		synctest.Wait()
		if !s.Kill(a.ID()) {
			t.Fatal("not killed")
		}
		<-a.Done()
		if got := (<-waiter).only("row"); got != "2" {
			t.Errorf("read %s", got)
		}
		if s.Kill(a.ID()) {
			t.Error("killed twice")
		}
		c := login(t, s, "d")
		c.told("kill 9999", "error 6106")
		running := b.begins("waitfor delay '01:00:00'")
		synctest.Wait()
		c.ok("declare @s int = (select session_id from sys.dm_exec_requests where command = 'WAITFOR'); exec('kill ' + '" + strconv.Itoa(b.ID()) + "')")
		if got := (<-running).told(); got != "error 596" {
			t.Errorf("the killed request: %s", got)
		}
	})
}

func TestLoginErrors(t *testing.T) {
	s := newServer(t)
	s.SetUser("u", "secret")
	for want, l := range map[int32]engine.Login{
		18456: {User: "u", Password: "wrong"}, 4060: {User: "u", Password: "secret", Database: "nowhere"},
	} {
		_, err := s.Login(l)
		if m := (*engine.Message)(nil); !errors.As(err, &m) || m.Number != want {
			t.Errorf("%v: %v", l, err)
		}
	}
	u, err := s.Login(engine.Login{User: "u", Password: "secret", Database: "d"})
	if err != nil {
		t.Fatal(err)
	}
	c := &client{u, t}
	c.told("select * from sys.dm_tran_locks", "error 300 error 297")
	c.told("select count(*), has_perms_by_name(null, null, 'VIEW SERVER STATE') from sys.dm_exec_sessions", "row 1|0")
	s.SetUser("u", "secret", "view server state")
	v, err := s.Login(engine.Login{User: "u", Password: "secret", Database: "d"})
	if err != nil {
		t.Fatal(err)
	}
	(&client{v, t}).rows("select count(*) from sys.dm_tran_locks where resource_type <> 'DATABASE'", "0")
}

func TestDropDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := one(t)
		admin := login(t, s, "master")
		a.ok("begin tran; delete item")
		admin.told("drop database d", "error 3702")
		admin.told("alter database d set single_user with rollback immediate; drop database d; drop database if exists d; drop database d", "error 3701")
		<-a.Done()
	})
}

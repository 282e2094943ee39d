package engine_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine"
)

func take(mode, owner string, timeout int) string {
	return fmt.Sprintf("declare @r int; exec @r = sp_getapplock N'r', '%s', '%s', %d; select @r", mode, owner, timeout)
}

// TestAppLockReply holds the captured ends of the reply to sp_getapplock.
func TestAppLockReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		a, b := login(t, s, "d"), login(t, s, "d")
		const before = "inproc(17,193,1) inproc(1,192,0) inproc(17,193,1) inproc(1,192,0) inproc(1,192,0) inproc(17,193,1) "
		const after = "inproc(1,192,0) inproc(1,224,0) inproc(17,193,1) proc(0,224,0)"
		call := func(c *client) *recorder {
			r := &recorder{}
			c.Call(context.Background(), "sp_getapplock", []engine.Param{
				{Name: "@Resource", Value: "r"}, {Name: "@LockMode", Value: "Exclusive"}, {Name: "@LockTimeout", Value: int64(1000)},
			}, r)
			return r
		}
		a.ok("begin tran")
		if got := call(a).dones(); got != before+after {
			t.Errorf("at once: %s", got)
		}
		b.ok("begin tran")
		done := make(chan *recorder, 1)
		go func() { done <- call(b) }()
		synctest.Wait()
		a.ok("commit")
		r := <-done
		if got := r.dones(); got != before+"inproc(17,193,1) "+after || r.told() != "status 1" {
			t.Errorf("after a wait: %s %s", r.told(), got)
		}
		b.ok("set nocount on")
		if got := strings.Join(call(b).lines, " "); got != "status 0 proc(0,224,0)" {
			t.Errorf("NOCOUNT: %s", got)
		}
	})
}

// TestAppLockFailures holds the captured failures.
func TestAppLockFailures(t *testing.T) {
	const get, release = "exec sp_getapplock ", "exec sp_releaseapplock "
	for _, c := range []struct{ sql, want string }{
		{get + "N'r', 'Shared'", "info 15626 status -999"},
		{"begin tran; " + get + "N'r', 'Strong'", "began info 15625 status -999"},
		{"begin tran; " + get + "N'r', 'Shared', 'Nobody'", "began info 15625 status -999"},
		{"begin tran; " + get + "N'r', 'Shared', @LockTimeout = -2", "began error 1227 status -999"},
		{"begin tran; " + get + "NULL, 'Shared', @LockTimeout = -2", "began error 1227 status -999"},
		{"begin tran; " + get + "NULL, 'Shared', @DbPrincipal = NULL", "began error 1224 status -999"},
		{"begin tran; " + get + "N'r', 'Shared', @DbPrincipal = NULL", "began error 1230 status -999"},
		{"begin tran; " + get + "N'r', 'Shared', @DbPrincipal = N'nobody'", "began error 1202 status -999"},
		{"begin tran; " + release + "N'r'", "began error 1223 status -999"},
		{release + "N'r', 'Session'", "error 1223 status -999"},
		{"set xact_abort on; begin tran; " + release + "N'r'; select 1", "began error 1223 rolled back"},
		{"select applock_mode('public', 'r', 'Transaction')", "error 3918"},
		{"select applock_test('public', 'r', 'Shared', 'Transaction')", "error 3918"},
		{"select applock_mode('public', 'r', 'Session'), applock_test('public', 'r', 'Shared', 'Session')", "row NoLock|1"},
	} {
		c2 := login(t, newServer(t), "d")
		c2.told(c.sql, c.want)
	}
}

func TestAppLockUnionsAndCounts(t *testing.T) {
	s := newServer(t)
	c, other := login(t, s, "d"), login(t, s, "d")
	mode := "select applock_mode('public', 'r', 'Transaction')"
	c.ok("begin tran")
	c.rows(take("Shared", "Transaction", 0), "0")
	c.rows(take("IntentExclusive", "Transaction", 0), "0")
	c.rows(mode, "SharedIntentExclusive")
	c.rows(take("Update", "Transaction", 0), "0")
	c.rows(mode, "UpdateIntentExclusive")
	c.rows(take("Exclusive", "Transaction", 0), "0")
	for range 3 {
		c.ok("exec sp_releaseapplock N'r'")
		c.rows(mode, "Exclusive")
	}
	other.rows(take("IntentShared", "Session", 0), "-1")
	c.ok("exec sp_releaseapplock N'r'")
	c.rows(mode, "NoLock")
	c.told("exec sp_releaseapplock N'r'", "error 1223 status -999")
	other.rows(take("Exclusive", "Session", 0), "0")
	c.rows(take("Shared", "Transaction", 0), "-1")
	c.ok("rollback")
}

func TestAppLockNames(t *testing.T) {
	s := newServer(t)
	a, b := login(t, s, "d"), login(t, s, "d")
	long := strings.Repeat("x", 255)
	a.ok("begin tran")
	b.ok("begin tran")
	lock := func(c *client, name, principal string) string {
		name = strings.ReplaceAll(name, "'", "''")
		return c.ok(fmt.Sprintf("declare @r int; exec @r = sp_getapplock N'%s', 'Exclusive', 'Transaction', 0, N'%s'; select @r", name, principal)).only("row")
	}
	for _, n := range []struct{ first, second, want string }{
		{"a", "A", "0"}, {"b", "b ", "0"}, {"c", "c", "-1"}, {"é", "e", "0"}, {"😀", "😁", "0"}, {"q'", "q''", "0"},
		{long + "1", long + "2", "-1"}, {long[1:] + "😀", long[1:] + "😁", "-1"}, {long[1:] + "é", long[1:] + "è", "0"},
	} {
		if got := lock(a, n.first, "public"); got != "0" {
			t.Errorf("%q: %s", n.first, got)
		}
		if got := lock(b, n.second, "public"); got != n.want {
			t.Errorf("%q beside %q: %s, want %s", n.second, n.first, got, n.want)
		}
	}
	if got := lock(b, "c", "dbo"); got != "0" {
		t.Errorf("another principal: %s", got)
	}
	c := login(t, s, "master")
	c.ok("begin tran")
	if got := lock(c, "c", "public"); got != "0" {
		t.Errorf("another database: %s", got)
	}
}

func TestAppLockWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		a, b := login(t, s, "d"), login(t, s, "d")
		a.rows(take("Exclusive", "Session", 0), "0")
		began := time.Now()
		b.rows(take("Shared", "Session", 250), "-1")
		if waited := time.Since(began); waited != 250*time.Millisecond {
			t.Errorf("waited %v", waited)
		}
		b.rows("set lock_timeout 70; declare @r int; exec @r = sp_getapplock N'r', 'Shared', 'Session'; select @r, @@lock_timeout", "-1|70")
		if waited := time.Since(began); waited != 320*time.Millisecond {
			t.Errorf("waited %v with LOCK_TIMEOUT", waited)
		}
		waiter := b.begins(take("Shared", "Session", -1))
		synctest.Wait()
		a.rows(`select resource_description, request_mode, request_status, request_owner_type, request_session_id - @@spid
			from sys.dm_tran_locks where resource_type = 'APPLICATION' order by request_status`,
			"0:[r]:(fd53e60f)|X|GRANT|SESSION|0 0:[r]:(fd53e60f)|S|WAIT|SESSION|1")
		a.rows("select blocking_session_id - @@spid, wait_type, command from sys.dm_exec_requests where session_id <> @@spid", "0|LCK_M_S|EXECUTE")
		a.ok("exec sp_releaseapplock N'r', 'Session'")
		if got := (<-waiter).only("row"); got != "1" {
			t.Errorf("granted after a wait: %s", got)
		}
	})
}

func TestAppLockDeadlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		a, b := login(t, s, "d"), login(t, s, "d")
		for _, c := range []*client{a, b} {
			c.ok("begin tran")
			c.rows(take("Shared", "Transaction", 0), "0")
		}
		first := a.begins(take("Exclusive", "Transaction", -1))
		synctest.Wait()
		b.rows(take("Exclusive", "Transaction", -1)+", @@trancount, applock_mode('public', 'r', 'Transaction')", "-3|1|Shared")
		synctest.Wait()
		b.ok("rollback")
		if got := (<-first).only("row"); got != "1" {
			t.Errorf("the survivor: %s", got)
		}
	})
}

// TestMixedDeadlock has a cycle of a row and an application lock.
func TestMixedDeadlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := one(t)
		b := login(t, s, "d")
		a.ok("begin tran; update item set n = 0 where id = 1")
		b.ok("begin tran; exec sp_getapplock N'r', 'Exclusive'")
		first := a.begins(take("Shared", "Transaction", -1))
		synctest.Wait()
		b.told("update item set n = 1 where id = 1; select 'not reached'", "error 1205 rolled back")
		if got := (<-first).only("row"); got != "1" {
			t.Errorf("the survivor: %s", got)
		}
		b.told("select @@trancount", "row 0")
	})
}

func TestAppLockLifetime(t *testing.T) {
	s := newServer(t)
	a, b := login(t, s, "d"), login(t, s, "d")
	free := func(when, want string) {
		t.Helper()
		if got := b.ok("select applock_test('public', 'r', 'Exclusive', 'Session')").only("row"); got != want {
			t.Errorf("%s: free %s, want %s", when, got, want)
		}
	}
	a.ok("begin tran; begin tran; exec sp_getapplock N'r', 'Exclusive'; commit")
	free("after the inner COMMIT", "0")
	a.ok("commit")
	free("after the outer COMMIT", "1")
	a.ok("begin tran; save tran s; exec sp_getapplock N'r', 'Exclusive'; rollback tran s")
	free("after the rollback to a savepoint", "1")
	a.ok("exec sp_getapplock N'r', 'Shared'; save tran s; exec sp_getapplock N'r', 'Exclusive'; rollback tran s")
	a.rows("select applock_mode('public', 'r', 'Transaction')", "Exclusive")
	a.ok("rollback")
	free("after ROLLBACK", "1")
	a.ok("exec sp_getapplock N'r', 'Exclusive', 'Session'; begin tran; rollback")
	free("a session's, after ROLLBACK", "0")
	a.Reset()
	free("a session's, after a reset", "1")
	a.ok("begin tran; exec sp_getapplock N'r', 'Exclusive'")
	a.Close()
	free("after the end of the session", "1")
}

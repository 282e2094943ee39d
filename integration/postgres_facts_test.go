package integration

import (
	"slices"
	"testing"

	"github.com/lockstep-go/lockstep/internal/faultproxy"
)

// These tests pin what the PostgreSQL dialect relies on and what the manual
// does not promise, or promises far away from its use.

// The queue.

func TestFactQueueIsFIFO(t *testing.T) {
	s := sessions(t, 4)
	holder, first, second, watcher := s[0], s[1], s[2], s[3]
	holder.do("begin; select pg_advisory_xact_lock(1)")
	one := first.starts("begin; select pg_advisory_xact_lock(1)", watcher, "1")
	two := second.starts("begin; select pg_advisory_xact_lock_shared(1)", watcher, "2")
	holder.do("commit")
	first.succeeds(one)
	second.waits("the second in line", two)
	first.do("commit")
	second.succeeds(two)
}

func TestFactTryHonoursTheQueue(t *testing.T) {
	s := sessions(t, 4)
	reader, writer, late, watcher := s[0], s[1], s[2], s[3]
	reader.do("begin; select pg_advisory_xact_lock_shared(1)")
	writing := writer.starts("begin; select pg_advisory_xact_lock(1)", watcher, "1")
	late.wants("begin; select pg_try_advisory_xact_lock_shared(1)", "f")
	reader.do("commit")
	writer.succeeds(writing)
}

func TestFactUpgradeGoesBeforeTheQueue(t *testing.T) {
	s := sessions(t, 3)
	holder, writer, watcher := s[0], s[1], s[2]
	holder.do("begin; select pg_advisory_xact_lock_shared(1)")
	writing := writer.starts("begin; select pg_advisory_xact_lock(1)", watcher, "1")
	holder.do("select pg_advisory_xact_lock(1)")
	writer.waits("the writer", writing)
	holder.do("commit")
	writer.succeeds(writing)
}

func TestFactTwoUpgradesDeadlock(t *testing.T) {
	s := sessions(t, 3)
	for _, party := range s[:2] {
		party.do("begin; select pg_advisory_xact_lock_shared(1)")
	}
	first := s[0].starts("select pg_advisory_xact_lock(1)", s[2], "1")
	_, err := s[1].send("select pg_advisory_xact_lock(1)")
	if err == nil {
		err = s[0].ends(first)
	} else {
		s[1].do("rollback")
		s[0].succeeds(first)
	}
	s[0].wantState("an upgrade", err, "40P01")
}

// Keys.

func TestFactKeysInPgLocks(t *testing.T) {
	s := sessions(t, 1)[0]
	const rebuilt = "select string_agg(((classid::bigint<<32)|objid::bigint)::text || '/' || objsubid, ' ') from pg_locks where locktype='advisory' and database=" + ourDatabase
	for _, key := range []string{"0", "1", "-1", "4294967296", "-4294967297", "9223372036854775807", "-9223372036854775808"} {
		s.do("begin; select pg_advisory_xact_lock('" + key + "'::bigint)")
		s.wants(rebuilt, key+"/1")
		s.do("rollback")
	}
	s.do("begin; select pg_advisory_xact_lock(-1,-1)")
	s.wants(rebuilt, "-1/2")
}

func TestFactPairsAreAnotherSpace(t *testing.T) {
	s := sessions(t, 2)
	s[0].do("begin; select pg_advisory_xact_lock(0,7)")
	s[1].wants("begin; select pg_try_advisory_xact_lock(7)", "t")
	s[1].wants("select pg_try_advisory_xact_lock(0,7)", "f")
}

func TestFactOneRowHoweverOften(t *testing.T) {
	s := sessions(t, 1)[0]
	s.do("begin; select pg_advisory_xact_lock(1); select pg_advisory_xact_lock(1); select pg_advisory_xact_lock(1)")
	s.wants(held, "1")
	s.do("commit")
	s.wants(held, "0")
}

// Savepoints and errors.

func TestFactRollbackToFreesWhatCameAfter(t *testing.T) {
	s := sessions(t, 1)[0]
	s.do("begin; select pg_advisory_xact_lock(1); select pg_advisory_xact_lock_shared(2)")
	s.do("savepoint a; select pg_advisory_xact_lock(1); select pg_advisory_xact_lock(2); select pg_advisory_xact_lock(3)")
	s.do("rollback to savepoint a")
	const list = "select string_agg(objid || '/' || mode, ' ' order by objid) from pg_locks where locktype='advisory' and database=" + ourDatabase
	s.wants(list, "1/ExclusiveLock 2/ShareLock")
	s.do("savepoint b; select pg_advisory_xact_lock(3); release savepoint b")
	s.wants(held, "3")
	s.do("rollback to savepoint a")
	s.wants(held, "2")
}

func TestFactErrorFreesAtOnce(t *testing.T) {
	s := sessions(t, 2)
	s[0].do("begin; select pg_advisory_xact_lock(1); savepoint a; select pg_advisory_xact_lock(2)")
	s[0].fails("select 1/0", "22012")
	s[0].wantStatus('E')
	s[1].wants(held, "1")
	s[0].do("rollback to savepoint a")
	s[0].fails("release savepoint a; select 1/0", "22012")
	s[1].wants(held, "0")
	s[0].fails("select 1", "25P02")
}

func TestFactLimitLeavesTheSavepoint(t *testing.T) {
	s := sessions(t, 2)
	s[0].do("begin; select pg_advisory_xact_lock(1)")
	s[1].do("begin; select pg_advisory_xact_lock(2); savepoint a; select set_config('lock_timeout','20',true)")
	s[1].fails("select pg_advisory_xact_lock(1)", "55P03")
	s[1].wantStatus('E')
	s[1].do("rollback to savepoint a; release savepoint a")
	s[1].wantStatus('T')
	s[1].wants("show lock_timeout", "0")
	s[1].wants("select pg_try_advisory_xact_lock(2)", "t")
}

func TestFactOutsideTransactionGuardsNothing(t *testing.T) {
	s := sessions(t, 1)[0]
	s.do("select pg_advisory_xact_lock(1)")
	s.wants(held, "0")
}

// The simple protocol.

func TestFactMessageStopsAtFirstFailure(t *testing.T) {
	s := sessions(t, 1)[0]
	s.do("create table seen (n int)")
	before := s.fails("begin; insert into seen values (1); select 'before'; select 1/0; insert into seen values (2); commit", "22012")
	if !slices.Equal(before, []string{"BEGIN", "INSERT 0 1", "before"}) {
		t.Errorf("results before the failure: %q", before)
	}
	s.wantStatus('E')
	s.do("rollback")
	s.wants("select count(*) from seen", "0")
}

func TestFactSettingsHoldWithinTheMessage(t *testing.T) {
	s := sessions(t, 2)
	s[0].do("begin; select pg_advisory_xact_lock(1)")
	// A limit set earlier in the message holds, one by the session is lifted,
	// and each statement has the time of its own.
	s[1].do("set lock_timeout='20ms'; set statement_timeout='1s'")
	s[1].fails("begin; select set_config('lock_timeout','0',true); select pg_advisory_xact_lock(1)", "57014")
	s[1].fails("rollback; begin; select set_config('statement_timeout','0',true); select pg_advisory_xact_lock(1)", "55P03")
	s[1].do("rollback; select pg_sleep(0.6); select pg_sleep(0.6)")
	s[1].fails("begin; select set_config('lock_timeout','0',true),set_config('statement_timeout','0',true); "+
		"select pg_sleep(1.2); select set_config('lock_timeout','30',true); select pg_advisory_xact_lock(1)", "55P03")
	s[1].do("rollback")
	s[1].wants("show lock_timeout", "20ms")
}

func TestFactLabelShowsWhileWaiting(t *testing.T) {
	s := sessions(t, 3)
	s[0].do("begin; select pg_advisory_xact_lock(1)")
	waiting := s[1].starts("begin; select set_config('application_name','the label',true); select pg_advisory_xact_lock(1)", s[2], "1")
	s[2].wants("select count(*) from pg_stat_activity where application_name='the label' and wait_event_type='Lock'", "1")
	s[0].do("commit")
	s[1].succeeds(waiting)
	s[1].do("commit")
	s[2].wants("select count(*) from pg_stat_activity where application_name='the label'", "0")
}

// Snapshots.

// TestFactLockTakesTheSnapshot is why locks are taken before the transaction
// whose snapshot they guard.
func TestFactLockTakesTheSnapshot(t *testing.T) {
	s := sessions(t, 3)
	s[0].do("create table item (n int); insert into item values (1)")
	s[0].do("begin; select pg_advisory_xact_lock(1); update item set n = 2")
	waiting := s[1].starts("begin isolation level repeatable read; select pg_advisory_xact_lock(1)", s[2], "1")
	s[0].do("commit")
	s[1].succeeds(waiting)
	s[1].wants("select n from item", "1")
	s[1].fails("update item set n = 3", "40001")
}

// TestFactChainStartsAFreshSnapshot is what they do instead.
func TestFactChainStartsAFreshSnapshot(t *testing.T) {
	s := sessions(t, 3)
	s[0].do("create table item (n int); insert into item values (1)")
	s[0].do("begin; select pg_advisory_xact_lock(1); update item set n = 2")
	waiting := s[1].starts("begin isolation level serializable; select pg_advisory_lock(1); commit and chain; "+
		"select pg_advisory_xact_lock(1); select pg_advisory_unlock(1)", s[2], "1")
	s[0].do("commit")
	s[1].succeeds(waiting)
	s[1].wantStatus('T')
	s[1].wants("show transaction_isolation", "serializable")
	s[1].wants("select n from item", "2")
	s[1].wants(held, "1")
	s[1].do("update item set n = 3; commit")
	s[2].wants(held, "0")
}

func TestFactChainKeepsSessionLocksAndTransaction(t *testing.T) {
	s := sessions(t, 2)
	s[0].do("begin isolation level repeatable read read only; select pg_advisory_lock(1)")
	for range 2 {
		s[0].do("commit and chain")
		s[0].wantStatus('T')
		s[0].wants("select current_setting('transaction_isolation')||' '||current_setting('transaction_read_only')", "repeatable read on")
		s[1].wants("select pg_try_advisory_lock(1)", "f")
	}
	s[0].fails("select 1/0", "22012")
	s[0].do("rollback and chain")
	s[0].wantStatus('T')
	s[1].wants("select pg_try_advisory_lock(1)", "f")
	s[0].wants("select pg_advisory_unlock(1)", "t")
	// Giving back what is not held is no error.
	s[0].wants("select pg_advisory_unlock(1)", "f")
	s[0].wantStatus('T')
	s[1].wants("select pg_try_advisory_lock(1)", "t")
}

// Settings.

func TestFactSettingsAreTakenBackAsText(t *testing.T) {
	s := sessions(t, 1)[0]
	for _, value := range []string{"5s", "1min", "1d", "0", "1234ms", "90s", "25h", "2147483647ms"} {
		for _, name := range []string{"lock_timeout", "statement_timeout"} {
			s.do("set " + name + "='" + value + "'")
			printed := s.do("select current_setting('" + name + "')")
			s.do("begin; select set_config('lockstep.kept',current_setting('" + name + "'),true); select set_config('" + name + "','1000',true)")
			s.wants("select set_config('"+name+"',current_setting('lockstep.kept'),true)", printed)
			s.wants("show "+name, printed)
			s.do("commit")
			s.wants("show "+name, printed)
		}
		s.do("reset all")
	}
}

func TestFactOwnSettingsEndWithTheTransaction(t *testing.T) {
	s := sessions(t, 1)[0]
	s.do("begin; select set_config('lockstep.own','outer',true)")
	s.do("savepoint a; select set_config('lockstep.own','inner',true)")
	s.do("rollback to savepoint a")
	s.wants("select current_setting('lockstep.own')", "outer")
	// A release keeps what was set inside, so it must have been put back.
	s.do("select set_config('lockstep.own','inner',true); release savepoint a")
	s.wants("select current_setting('lockstep.own')", "inner")
	s.do("commit")
	s.wants("select current_setting('lockstep.own')", "")
}

func TestFactCaseStopsAtTheFirstRefusal(t *testing.T) {
	s := sessions(t, 2)
	s[0].do("begin; select pg_advisory_xact_lock(2)")
	s[1].do("begin")
	s[1].wants("select case when not pg_try_advisory_xact_lock(1) then 0 when not pg_try_advisory_xact_lock(2) then 1 "+
		"when not pg_try_advisory_xact_lock(3) then 2 else -1 end", "1")
	s[1].wants("select string_agg(objid::text,' ' order by objid) from pg_locks where pid=pg_backend_pid() and locktype='advisory'", "1")
}

func TestFactIsolationIsReadable(t *testing.T) {
	s := sessions(t, 1)[0]
	const level = "select current_setting('transaction_isolation')"
	s.wants("begin; "+level, "read committed")
	s.do("rollback")
	s.wants("begin; set transaction isolation level serializable; "+level, "serializable")
	s.do("rollback")
	s.do("set default_transaction_isolation='repeatable read'")
	s.wants("begin; "+level, "repeatable read")
	s.do("rollback")
	s.wants("begin isolation level read committed; "+level, "read committed")
}

// Sessions that end.

func TestFactCancelLeavesTheTransactionOpen(t *testing.T) {
	s := sessions(t, 3)
	s[0].do("begin; select pg_advisory_xact_lock(1)")
	s[1].do("begin; savepoint a")
	waiting := s[1].starts("select pg_advisory_xact_lock(1)", s[2], "1")
	if err := s[1].conn.PgConn().CancelRequest(t.Context()); err != nil {
		t.Fatal(err)
	}
	s[1].wantState("the cancelled wait", s[1].ends(waiting), "57014")
	s[1].wantStatus('E')
	s[1].do("rollback to savepoint a")
	s[1].wantStatus('T')
}

func TestFactAnEndedSessionFreesItsLocks(t *testing.T) {
	s := sessions(t, 2)
	pid := s[0].do("select pg_backend_pid()")
	s[0].do("begin; select pg_advisory_xact_lock(1); select pg_advisory_lock(2)")
	s[1].wants(held, "2")
	s[1].do("select pg_terminate_backend(" + pid + ")")
	s[1].until(held, "0")
}

// TestFactDeadWaiterStaysInLine is why nothing can be asked of a waiter whose
// client is dead while the lock is held, unless the server is set to look.
func TestFactDeadWaiterStaysInLine(t *testing.T) {
	const line = "select count(*) from pg_locks where locktype='advisory' and not granted and database=" + ourDatabase
	for _, c := range []struct{ interval, waiters string }{{"0", "1"}, {"20ms", "0"}} {
		t.Run("client_connection_check_interval="+c.interval, func(t *testing.T) {
			s := sessions(t, 2)
			holder, watcher := s[0], s[1]
			proxy, dead := connectProxied(t, watcher.conn.Config().ConnString())
			holder.do("begin; select pg_advisory_xact_lock(1)")
			if _, err := dead.send("set client_connection_check_interval='" + c.interval + "'"); err != nil {
				t.Skipf("the server cannot look after its clients: %v", err)
			}
			waiting := dead.starts("begin; select pg_advisory_xact_lock(1)", watcher, "1")
			proxy.Refuse(true) // nor can the driver ask for a cancel
			proxy.CutAll()
			if dead.ends(waiting) == nil {
				t.Error("the client did not notice the cut")
			}
			watcher.until(line, c.waiters)
			holder.do("commit")
			// Granted or not, the dead client's lock does not stay.
			watcher.until(line, "0")
			watcher.until(held, "0")
			watcher.wants("select pg_try_advisory_lock(1)", "t")
		})
	}
}

// connectProxied connects a session through a fault proxy.
func connectProxied(t *testing.T, dsn string) (*faultproxy.Proxy, session) {
	t.Helper()
	proxy, err := faultproxy.Start(postgresHarness{}.Address(t, dsn))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	return proxy, connectSession(t, postgresHarness{}.dsnAt(t, dsn, proxy.Addr()))
}

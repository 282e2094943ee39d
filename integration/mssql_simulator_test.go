package integration

import (
	"context"
	"errors"
	"testing"

	mssqldb "github.com/microsoft/go-mssqldb"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/dialect/mssql"
	"github.com/lockstep-go/lockstep/internal/tdstest"
	"github.com/lockstep-go/lockstep/internal/tdstest/engine"
	"github.com/lockstep-go/lockstep/uow"
)

// These tests run on the simulator alone, with faults that no server shows on
// demand.

// severe is an error of the server.
func severe(number int32, class uint8) []engine.Message {
	return []engine.Message{{Number: number, Class: class, State: 1, Text: "injected"}}
}

var (
	onInsert   = tdstest.Match{Text: "99"}
	onCommit   = tdstest.Match{Operation: tdstest.OperationCommit}
	onRollback = tdstest.Match{Operation: tdstest.OperationRollback}
	onBegin    = tdstest.Match{Operation: tdstest.OperationBegin}
	onLocks    = tdstest.Match{Text: "sp_getapplock"}
)

// TestMSSQLSimulatorLostTransactions has errors by which the connection is not
// what the driver takes it for: it must not serve again.
func TestMSSQLSimulatorLostTransactions(t *testing.T) {
	stale := []engine.Message{{Number: 3926, Class: 10, State: 1, Text: "injected"}, {Number: 3971, Class: 16, State: 1, Text: "injected"}}
	for name, c := range map[string]struct {
		fault tdstest.Fault
		want  dialect.Kind
	}{
		"3989":          {tdstest.Fault{Errors: severe(3989, 16)}, dialect.ConnectionLost},
		"3926 and 3971": {tdstest.Fault{Errors: stale}, dialect.ConnectionLost},
		"3980":          {tdstest.Fault{Errors: severe(3980, 16)}, dialect.ConnectionLost},
		"596":           {tdstest.Fault{Errors: severe(596, 21)}, dialect.ConnectionLost},
		"fatal":         {tdstest.Fault{Errors: severe(823, 24)}, dialect.ConnectionLost},
		"server error":  {tdstest.Fault{Errors: severe(50000, 16), ServerError: true}, dialect.ConnectionLost},
		"killed":        {tdstest.Fault{Kill: true}, dialect.ConnectionLost},
		"cut":           {tdstest.Fault{Cut: tdstest.CutInReply, CutAt: 20}, dialect.ConnectionLost},
		"40501":         {tdstest.Fault{Errors: severe(40501, 20)}, dialect.Unavailable},
		"40197":         {tdstest.Fault{Errors: severe(40197, 20)}, dialect.Unavailable},
		"10928":         {tdstest.Fault{Errors: severe(10928, 16)}, dialect.Unavailable},
	} {
		for where, match := range map[string]tdstest.Match{"statement": onInsert, "locks": onLocks, "begin": onBegin} {
			t.Run(name+" at "+where, func(t *testing.T) {
				l, server := newSimulator(t)
				m := l.pool(1)
				session := l.spid(m.DB())
				server.Inject(match, c.fault)
				err := m.Do(l.ctx, exec(leak), lockA)
				if where == "begin" && c.want == dialect.ConnectionLost {
					l.check(err) // nothing was lost with it: another one served
					l.do("delete from item where id = 99")
				} else {
					l.wantIs(err, c.want)
				}
				if err != nil && c.want == dialect.ConnectionLost && !uow.IsRetryable(err) {
					t.Errorf("not retryable: %v", err)
				}
				l.wants(l.watch, "select count(*) from item", "3")
				l.until(mssqlHeld, "0")
				if again := l.spid(m.DB()); again == session {
					t.Error("the connection serves again")
				}
			})
		}
	}
}

// TestMSSQLSimulatorVanishedTransaction has the transaction end between BEGIN and
// the locks: sp_getapplock says -999 and raises no error.
func TestMSSQLSimulatorVanishedTransaction(t *testing.T) {
	l, server := newSimulator(t)
	m := l.pool(1)
	server.Inject(onLocks, tdstest.Fault{Rollback: true})
	err := m.Do(l.ctx, exec(leak), applock.With(exclusive, applock.Exclusive("b")))
	l.wantIs(err, dialect.Refused)
	l.wantNoAnswer(err)
	if errors.Is(err, applock.ErrTimeout) || uow.IsRetryable(err) {
		t.Errorf("error %v", err)
	}
	l.wants(l.watch, "select count(*) from item", "3")
	l.wants(l.watch, mssqlHeld, "0")
}

// TestMSSQLSimulatorCommitRefused has the server answer COMMIT with an error.
func TestMSSQLSimulatorCommitRefused(t *testing.T) {
	for name, c := range map[string]struct {
		fault tdstest.Fault
		want  error // nil for in doubt
	}{
		"open":            {tdstest.Fault{Errors: severe(3930, 16)}, dialect.Aborted},
		"conflict":        {tdstest.Fault{Errors: severe(41305, 16)}, dialect.Serialization},
		"conflict, ended": {tdstest.Fault{Errors: severe(41305, 16), Rollback: true}, dialect.Serialization},
		"ended":           {tdstest.Fault{Errors: severe(9002, 17), Rollback: true}, nil},
		"fatal":           {tdstest.Fault{Errors: severe(823, 24)}, nil},
		"596":             {tdstest.Fault{Errors: severe(596, 21)}, nil},
		"server error":    {tdstest.Fault{ServerError: true}, nil},
		"killed":          {tdstest.Fault{Kill: true}, nil},
		"cut":             {tdstest.Fault{Cut: tdstest.CutBeforeReply}, nil},
		"cut in reply":    {tdstest.Fault{Cut: tdstest.CutInReply, CutAt: 12}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			l, server := newSimulator(t)
			m := l.pool(1)
			session := l.spid(m.DB())
			server.Inject(onCommit, c.fault)
			err := m.Do(l.ctx, exec("insert into item values (4,4)"), lockA)
			var doubt *uow.InDoubtError
			switch {
			case c.want == nil && !errors.As(err, &doubt):
				t.Errorf("error %v, want in doubt", err)
			case c.want != nil:
				l.wantIs(err, c.want)
				l.wants(l.watch, "select count(*) from item", "3")
			}
			l.until(mssqlHeld, "0")
			if again := l.spid(m.DB()); again == session {
				t.Error("the connection serves again")
			}
		})
	}
}

// TestMSSQLSimulatorRollbackFails has ROLLBACK fail: the connection is discarded,
// and with it what it holds.
func TestMSSQLSimulatorRollbackFails(t *testing.T) {
	for name, fault := range map[string]tdstest.Fault{
		"refused": {Errors: severe(9002, 17)},
		"cut":     {Cut: tdstest.CutBeforeRun},
		"3971":    {Errors: severe(3971, 16)},
	} {
		t.Run(name, func(t *testing.T) {
			l, server := newSimulator(t)
			m := l.pool(1)
			session := l.spid(m.DB())
			for _, refused := range []bool{false, true} {
				server.Inject(onRollback, fault)
				opts := []uow.Option{lockA}
				if refused { // the rollback of a begin that failed
					l.begin(l.pool(1), applock.With(applock.Exclusive("b")))
					opts = []uow.Option{applock.With(exclusive, applock.Exclusive("b").NoWait())}
				}
				err := m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
					return errors.Join(exec(leak)(ctx, u), errEnough)
				}, opts...)
				if want := map[bool]error{false: errEnough, true: applock.ErrTimeout}[refused]; !errors.Is(err, want) {
					t.Errorf("error %v, want %v", err, want)
				}
				l.check(m.Do(l.ctx, nothing, applock.With(exclusive)))
				if again := l.spid(m.DB()); again == session {
					t.Error("the connection serves again")
				}
			}
			l.wants(l.watch, "select count(*) from item", "3")
		})
	}
}

// TestMSSQLSimulatorSilence has a server that does not answer COMMIT or ROLLBACK:
// both end within their limits.
func TestMSSQLSimulatorSilence(t *testing.T) {
	for name, match := range map[string]tdstest.Match{"commit": onCommit, "rollback": onRollback} {
		t.Run(name, func(t *testing.T) {
			l, server := newSimulator(t)
			hold := make(chan struct{})
			defer close(hold)
			db := l.db(1, "")
			m := uow.New(db, mssql.Dialect(), uow.CommitTimeout(shortWait), uow.RollbackTimeout(shortWait))
			session := l.spid(db)
			server.Inject(match, tdstest.Fault{HoldReply: hold})
			err := m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
				l.check(exec("insert into item values (4,4)")(ctx, u))
				if name == "rollback" {
					return errEnough
				}
				return nil
			}, lockA)
			var doubt *uow.InDoubtError
			if name == "commit" && !errors.As(err, &doubt) {
				t.Errorf("error %v, want in doubt", err)
			}
			if name == "rollback" {
				l.wantIs(err, errEnough)
			}
			l.until(mssqlHeld, "0")
			if again := l.spid(db); again == session {
				t.Error("the connection serves again")
			}
		})
	}
}

// TestMSSQLSimulatorOutcomeDenied has a login that may not write the outcome
// table.
func TestMSSQLSimulatorOutcomeDenied(t *testing.T) {
	l, server := newSimulator(t)
	l.check(mssql.CreateOutcomeTable(l.ctx, l.watch, "outcome"))
	m := l.pool(1, mssql.WithOutcomeTable("outcome"))
	server.Inject(tdstest.Match{Text: "INSERT INTO [outcome]"}, tdstest.Fault{Errors: severe(229, 14)})
	err := m.Do(l.ctx, exec("insert into item values (4,4)"))
	var doubt *uow.InDoubtError
	var answer mssqldb.Error
	if errors.As(err, &doubt) || !errors.As(err, &answer) || answer.Number != 229 {
		t.Errorf("error %v, want 229", err)
	}
	l.wants(l.watch, "select count(*) from item", "3")
	server.Inject(tdstest.Match{Text: "INSERT INTO [outcome]"}, tdstest.Fault{Cut: tdstest.CutBeforeReply})
	err = m.Do(l.ctx, exec("insert into item values (4,4)"))
	if errors.As(err, &doubt) || !uow.IsRetryable(err) {
		t.Errorf("error %v, want a lost connection before COMMIT", err)
	}
	l.wants(l.watch, "select count(*) from item", "3")
}

// TestMSSQLSimulatorCancelBeforeRun ends requests that the server has not begun.
func TestMSSQLSimulatorCancelBeforeRun(t *testing.T) {
	for ending := range endings {
		for name, match := range map[string]tdstest.Match{"begin": onBegin, "locks": onLocks, "statement": onInsert} {
			t.Run(ending+" at "+name, func(t *testing.T) {
				l, server := newSimulator(t)
				m := l.pool(1)
				session := l.spid(m.DB())
				hold := make(chan struct{})
				rule := server.Inject(match, tdstest.Fault{HoldRun: hold})
				ctx, end, want := endings[ending](l.ctx)
				done := l.start(func() error { return m.Do(ctx, exec(leak), lockA) })
				<-rule.Fired()
				end()
				if name == "begin" {
					close(hold) // it is not cancelled, but waited for
				}
				l.wantIs(l.ended(done), want)
				l.wants(l.watch, "select count(*) from item", "3")
				l.wants(l.watch, mssqlHeld, "0")
				l.wants(m.DB(), "select concat(@@SPID, ' ', @@TRANCOUNT)", session+" 0")
			})
		}
	}
}

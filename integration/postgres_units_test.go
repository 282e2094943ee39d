package integration

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
	"go.uber.org/goleak"

	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/dialect/postgres"
	"github.com/lockstep-go/lockstep/integration/servers/serverstest"
	"github.com/lockstep-go/lockstep/internal/faultproxy"
	"github.com/lockstep-go/lockstep/uow"
)

// MatchCommit matches COMMIT at the end of a message: not COMMIT AND CHAIN.
func (postgresHarness) MatchCommit() faultproxy.Matcher {
	return func(m faultproxy.Message) bool { return strings.HasSuffix(strings.ToLower(m.SQL), "commit") }
}

// Waiting implements dialecttest.WaitObserver.
func (postgresHarness) Waiting(tb testing.TB, admin *sqlx.DB) (n int) {
	tb.Helper()
	err := admin.GetContext(tb.Context(), &n,
		"select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// RoundTrips implements dialecttest.Budget.
func (postgresHarness) RoundTrips() map[string]int {
	return map[string]int{
		"empty":                                                    0,
		"one statement":                                            2,
		"one statement, labelled":                                  2,
		"one statement, serializable":                              2,
		"three statements":                                         4,
		"one query":                                                3,
		"one lock":                                                 2,
		"one lock and three statements":                            5,
		"one lock and three queries":                               5,
		"one lock, acquired again":                                 2,
		"several locks":                                            2,
		"several locks and three statements":                       5,
		"locks with a wait limit and one statement":                3,
		"locks without waiting and one statement":                  3,
		"several locks, repeatable read, and one statement":        3,
		"several locks, serializable, and one statement":           3,
		"locks with a wait limit, serializable, and one statement": 3,
	}
}

// RoundTrips has no numbers: behind a wrapper nothing can be sent together.
func (wrappedHarness) RoundTrips() map[string]int { return nil }

// RoundTrips has no numbers: what the pooler asks of its server is its own.
func (pgBouncerHarness) RoundTrips() map[string]int { return nil }

// sent runs a unit on a warm connection and returns its statements and error.
func sent(l *lab, fn uow.Func, opts ...uow.Option) ([]string, error) {
	l.Helper()
	proxy, m := l.proxied(1)
	l.check(m.Do(l.ctx, exec("update item set n = 0")))
	proxy.Reset()
	err := m.Do(l.ctx, fn, opts...)
	return slices.DeleteFunc(proxy.Statements(), func(s string) bool {
		return s == "-- ping" // the driver's own, after a connection was idle
	}), err
}

func TestUnitOnTheWire(t *testing.T) {
	l := newLab(t)
	statements, err := sent(l, exec("update item set n = 1"))
	l.check(err)
	if len(statements) != 2 || !strings.HasPrefix(statements[0], "begin;update item") || statements[1] != "commit" {
		t.Errorf("statements %q", statements)
	}
	statements, err = sent(l, func(ctx context.Context, u *uow.UnitOfWork) error {
		return errors.Join(exec("update item set n = 2")(ctx, u), errEnough)
	})
	l.wantIs(err, errEnough)
	if len(statements) != 2 || statements[1] != "rollback" {
		t.Errorf("statements %q", statements)
	}
}

// TestAbortedUnitOnTheWire shows that after an error not one statement is sent
// but the rollback: the server would refuse each with 25P02.
func TestAbortedUnitOnTheWire(t *testing.T) {
	l := newLab(t)
	statements, err := sent(l, func(ctx context.Context, u *uow.UnitOfWork) error {
		for _, statement := range []string{"insert into item values (1,1)", "insert into item values (2,2)"} {
			_ = exec(statement)(ctx, u)
		}
		return u.GetContext(ctx, new(int), "select n from item")
	})
	l.wantIs(err, uow.ErrRollbackOnly)
	if len(statements) != 2 || statements[1] != "rollback" {
		t.Errorf("statements %q", statements)
	}
}

// TestErrorAmongRowsOnTheWire shows the same after an error that no method of the
// unit has seen, because it came after rows.
func TestErrorAmongRowsOnTheWire(t *testing.T) {
	l := newLab(t)
	statements, err := sent(l, func(ctx context.Context, u *uow.UnitOfWork) error {
		rows, err := u.QueryContext(ctx, "select 1/(5000-g) from generate_series(1,10000) g")
		l.check(err)
		defer rows.Close()
		for rows.Next() {
			continue
		}
		return exec("insert into item values (2,2)")(ctx, u)
	})
	l.wantIs(err, uow.ErrRollbackOnly)
	if n := len(statements); n == 0 || statements[n-1] != "rollback" || strings.Contains(strings.Join(statements, ";"), "insert") {
		t.Errorf("statements %q", statements)
	}
}

var savepointStatement = regexp.MustCompile(`(savepoint|rollback to savepoint|release savepoint) (\w+)`)

func TestSavepointsOnTheWire(t *testing.T) {
	l := newLab(t)
	proxy, m := l.proxied(1)
	proxy.Reset()
	l.check(m.Do(l.ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
		for id := 2; id < 12; id++ {
			_ = m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
				_, err := u.ExecContext(ctx, "insert into item values ($1,0)", id/2) // every second one fails
				return err
			}, uow.Nested())
		}
		return nil
	}))
	open, seen, undone := map[string]bool{}, map[string]bool{}, 0
	for _, match := range savepointStatement.FindAllStringSubmatch(strings.Join(proxy.Statements(), ";"), -1) {
		switch name := match[2]; match[1] {
		case "savepoint":
			if seen[name] || len(name) > 32 {
				t.Errorf("savepoint name %q", name)
			}
			open[name], seen[name] = true, true
		case "release savepoint":
			delete(open, name)
		default:
			undone++
		}
	}
	if len(seen) != 10 || undone != 6 || len(open) != 0 {
		t.Errorf("%d savepoints, %d undone, %d left", len(seen), undone, len(open))
	}
	l.watch.wants("select string_agg(id::text, ',' order by id) from item", "1,2,3,4,5")
}

// session settings that a unit may change, as its connection has them.
const settings = "select concat_ws(',', current_setting('transaction_isolation'), current_setting('transaction_read_only'), current_setting('application_name'))"

func unitSettings(l *lab, m *uow.Manager, opts ...uow.Option) string {
	l.Helper()
	text, err := uow.Value(l.ctx, m, func(ctx context.Context, u *uow.UnitOfWork) (text string, err error) {
		return text, errors.Join(u.GetContext(ctx, &text, settings), err)
	}, opts...)
	l.check(err)
	return text
}

func TestUnitSettings(t *testing.T) {
	l := newLab(t, "application_name = ''pooled''")
	m := l.pool(1, "")
	const left = "read committed,off,pooled"
	for want, opts := range map[string][]uow.Option{
		"read uncommitted,off,pooled": {uow.Isolation(1)},
		"read committed,on,pooled":    {uow.ReadOnly(), uow.Isolation(2)},
		"repeatable read,off,deploy":  {uow.Isolation(4), uow.Label("deploy")},
		"repeatable read,on,deploy":   {uow.Isolation(5), uow.Label("deploy"), uow.ReadOnly()},
		"serializable,off,pooled":     {uow.Isolation(6)},
		"read committed,off,deploy":   {uow.Label("deploy")},
		left:                          nil,
	} {
		for _, opts := range [][]uow.Option{opts, append(slices.Clone(opts), lockA)} {
			if got := unitSettings(l, m, opts...); got != want {
				t.Errorf("in the unit %q, want %q", got, want)
			}
			if got := unitSettings(l, m); got != left {
				t.Errorf("in the next unit %q, want %q", got, left)
			}
		}
	}
}

// TestUnitSettingsAfterFailure has the next user of a connection whose unit was
// rolled back.
func TestUnitSettingsAfterFailure(t *testing.T) {
	l := newLab(t, "application_name = ''pooled''")
	m := l.pool(1, "")
	for _, statement := range []string{"nonsense", "select 1/0", "insert into item values (1,1)"} {
		if m.Do(l.ctx, exec(statement), uow.Isolation(6), uow.Label("deploy")) == nil {
			t.Errorf("%s succeeded", statement)
		}
		if got := unitSettings(l, m); got != "read committed,off,pooled" {
			t.Errorf("after %q: %q", statement, got)
		}
	}
}

// TestRowNeverScanned has a row that database/sql shows to nobody but its
// caller; the driver knows that its connection is busy.
func TestRowNeverScanned(t *testing.T) {
	l := newLab(t)
	m := l.pool(1, "")
	work := func(ctx context.Context, u *uow.UnitOfWork) error {
		err := exec("insert into item values (2,2)")(ctx, u)
		_ = u.QueryRowContext(ctx, "select n from item")
		return err
	}
	l.wantIs(l.ended(l.start(func() error { return m.Do(l.ctx, work) })), uow.ErrRowsOpen)
	l.wantIs(l.ended(l.start(func() error {
		return m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			return errors.Join(work(ctx, u), exec("insert into item values (3,3)")(ctx, u), errEnough)
		})
	})), uow.ErrRowsOpen)
	l.check(m.Do(l.ctx, exec("insert into item values (4,4)")))
	l.watch.wants("select string_agg(id::text, ',' order by id) from item", "1,4")
}

// TestCancelKeepsConnection has a statement that postgres.Open's pools cancel on
// the server, where pgx alone would close the connection, so that an enclosing
// scope may go on.
func TestCancelKeepsConnection(t *testing.T) {
	l := newLab(t)
	proxy, m := l.proxied(1)
	l.check(m.Do(l.ctx, exec("update item set n = 0")))
	proxy.Reset()
	l.check(m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		l.check(exec("insert into item values (2,2)")(ctx, u))
		inner, cancel := context.WithCancelCause(ctx)
		sleeping := l.start(func() error { return m.Do(inner, exec("select pg_sleep(600)"), uow.Nested()) })
		l.watch.until("select count(*) from pg_stat_activity where datname=current_database() and wait_event='PgSleep'", "1")
		cancel(errEnough)
		l.wantIs(l.ended(sleeping), errEnough)
		return exec("insert into item values (3,3)")(ctx, u)
	}))
	if opened, cancels := proxy.Connections(), proxy.Cancels(); opened-cancels != 0 || cancels != 1 {
		t.Errorf("%d connections opened, %d to cancel", opened, cancels)
	}
	l.watch.wants("select string_agg(id::text, ',' order by id) from item", "1,2,3")
}

// TestStatementTimeout has the server end a statement by itself: no ctx ended,
// and running the unit again would not help.
func TestStatementTimeout(t *testing.T) {
	l := newLab(t, "statement_timeout = 20")
	err := l.pool(1, "").Do(l.ctx, exec("select pg_sleep(600)"))
	l.wantIs(err, dialect.Cancelled)
	if uow.IsRetryable(err) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("taken for something else: %v", err)
	}
}

// TestArgumentErrorDoomsNothing has arguments that pgx refuses by itself.
func TestArgumentErrorDoomsNothing(t *testing.T) {
	l := newLab(t)
	m := l.pool(1, "")
	insert := "insert into item values ($1,$2)"
	l.check(m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		for _, args := range [][]any{{2}, {2, struct{}{}}, {2, 3, 4}} {
			if _, err := u.ExecContext(ctx, insert, args...); err == nil {
				t.Errorf("arguments %v were taken", args)
			}
		}
		_, err := u.ExecContext(ctx, insert, 2, 2)
		return err
	}))
	l.watch.wants("select count(*) from item", "2")
}

// TestControlStatements has statements that would end the transaction, in all
// the clothes they may wear, and others that only look like it.
func TestControlStatements(t *testing.T) {
	l := newLab(t)
	m := l.pool(1, "")
	for _, statement := range []string{
		"commit", "COMMIT;", "end", "abort", "rollback", "rollback work", "rollback and chain", " commit and chain",
		"-- why\ncommit", "/* why */ rollback", "commit; begin", "select 1; commit; insert into item values (3,3)",
		"savepoint s; rollback to s", "savepoint s; rollback work to savepoint s",
		"prepare transaction 'x'", "select 'a'';' ; end", "insert into item values (4,4);commit",
	} {
		l.wantIs(m.Do(l.ctx, exec(statement)), dialect.Unsupported)
		l.wantIs(m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			l.check(exec("update item set n = 7")(ctx, u))
			if err := get(statement)(ctx, u); !errors.Is(err, dialect.Unsupported) {
				t.Errorf("%q: %v", statement, err)
			}
			l.wantIs(drop(u.PrepareContext(ctx, statement)), dialect.Unsupported)
			return errEnough
		}), errEnough)
	}
	l.watch.wants("select count(*) || ' ' || max(n) from item", "1 0")
	for _, statement := range []string{
		"savepoint s; release s", "select '; commit'", "select 1 -- ; commit\n",
		`select 1 as "; commit"`, "do $$ begin perform 1; end $$", "select case when true then 1 end", "/* ; commit */ select 1",
		"create function three() returns int language sql begin atomic select 1; select 3; end",
		"create function four() returns int language plpgsql as $body$ begin return 4; end; $body$",
	} {
		if err := m.Do(l.ctx, exec(statement)); err != nil {
			t.Errorf("%q: %v", statement, err)
		}
	}
}

// TestNoGoroutineLeft does all that starts goroutines, and is not parallel:
// those of other tests would be counted.
func TestNoGoroutineLeft(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Run("work", leakingWork)
	if err := serverstest.FindLeaks(before); err != nil {
		t.Error(err)
	}
}

func leakingWork(t *testing.T) {
	dsn := postgresHarness{}.NewDatabase(t)
	proxy, err := faultproxy.Start(postgresHarness{}.Address(t, dsn))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	db := postgresHarness{}.Open(t, dsn, proxy.Addr())
	t.Cleanup(func() { _ = db.Close() })
	m := uow.New(db, postgres.Dialect(), uow.CommitTimeout(shortWait), uow.RollbackTimeout(shortWait))
	for _, work := range goroutineWork(m, proxy) {
		ctx, cancel := context.WithCancel(t.Context())
		_ = m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			return work(ctx, u, cancel)
		}, uow.Retry(uow.RetryPolicy{Attempts: 2, Base: 1, Max: 1}), lockA)
		cancel()
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.Raw(func(c any) error {
		if _, native := c.(*stdlib.Conn); !native {
			t.Errorf("connection is a %T", c)
		}
		return nil
	})
}

// goroutineWork lists what cancels, times out, fails and leaves things open.
func goroutineWork(m *uow.Manager, proxy *faultproxy.Proxy) []func(context.Context, *uow.UnitOfWork, func()) error {
	return []func(context.Context, *uow.UnitOfWork, func()) error{
		func(ctx context.Context, u *uow.UnitOfWork, _ func()) error { return exec("select 1")(ctx, u) },
		func(ctx context.Context, u *uow.UnitOfWork, _ func()) error { return exec("nonsense")(ctx, u) },
		func(ctx context.Context, u *uow.UnitOfWork, _ func()) error {
			_, err := u.QueryContext(ctx, "select generate_series(1,10000)")
			return err
		},
		func(ctx context.Context, u *uow.UnitOfWork, _ func()) error {
			_ = u.QueryRowContext(ctx, "select generate_series(1,10000)")
			return nil
		},
		func(ctx context.Context, u *uow.UnitOfWork, cancel func()) error {
			_, err := u.QueryContext(ctx, "select generate_series(1,10000)")
			cancel()
			return err
		},
		func(ctx context.Context, _ *uow.UnitOfWork, _ func()) error {
			return m.Do(ctx, exec("select pg_sleep(600)"), uow.Timeout(shortWait), uow.RequiresNew())
		},
		func(ctx context.Context, u *uow.UnitOfWork, _ func()) error {
			proxy.Rule(faultproxy.Query("commit"), faultproxy.BlackholeReply)
			return exec("select 1")(ctx, u)
		},
		func(ctx context.Context, u *uow.UnitOfWork, _ func()) error {
			proxy.CutAll()
			return exec("select 1")(ctx, u)
		},
		func(ctx context.Context, u *uow.UnitOfWork, _ func()) error {
			stmt, err := u.PrepareContext(ctx, "select generate_series(1,10000)")
			if err == nil {
				_, err = stmt.QueryContext(ctx)
			}
			return err
		},
	}
}

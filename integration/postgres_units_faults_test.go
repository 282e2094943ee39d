package integration

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/uow"
)

// backend returns the process that serves a unit.
func backend(l *lab, u *uow.UnitOfWork) (pid int) {
	l.Helper()
	l.check(u.GetContext(l.ctx, &pid, "select pg_backend_pid()"))
	return pid
}

// letIdle makes the server end a unit's session for being idle, and waits until
// it has.
func letIdle(ctx context.Context, l *lab, u *uow.UnitOfWork) {
	l.Helper()
	pid := backend(l, u)
	l.check(exec("set local idle_in_transaction_session_timeout = 20")(ctx, u))
	l.watch.until("select count(*) from pg_stat_activity where pid = "+strconv.Itoa(pid), "0")
}

func TestIdleTimeoutAtStatement(t *testing.T) {
	l := newLab(t)
	m := l.pool(1, "")
	next := map[string]uow.Func{
		"exec": exec("insert into item values (3,3)"),
		"arguments": writeWith(func(u *uow.UnitOfWork, ctx context.Context) error {
			return drop(u.ExecContext(ctx, "insert into item values ($1,3)", 3))
		}),
		"query": get("select n from item"),
		"savepoint": func(ctx context.Context, _ *uow.UnitOfWork) error {
			return m.Do(ctx, exec("insert into item values (3,3)"), uow.Nested())
		},
	}
	for name, fn := range next {
		err := m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			l.check(exec("insert into item values (2,2)")(ctx, u))
			letIdle(ctx, l, u)
			return fn(ctx, u)
		})
		if !errors.Is(err, dialect.IdleTimeout) || !errors.Is(err, dialect.ConnectionLost) || !uow.IsRetryable(err) {
			t.Errorf("%s: error %v, want an idle timeout", name, err)
		}
	}
	l.check(m.Do(l.ctx, get("select n from item")))
	l.watch.wants("select count(*) from item", "1")
}

// TestIdleTimeoutAtCommit has no statement that could have met the end of the
// session.
func TestIdleTimeoutAtCommit(t *testing.T) {
	l := newLab(t)
	m := l.pool(1, "")
	err := m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		l.check(exec("insert into item values (2,2)")(ctx, u))
		letIdle(ctx, l, u)
		return nil
	})
	l.wantIs(err, dialect.IdleTimeout)
	var doubt *uow.InDoubtError
	if errors.As(err, &doubt) {
		outcome, err := doubt.Resolve(l.ctx)
		if outcome != uow.RolledBack || err != nil {
			t.Errorf("resolved to %v, %v", outcome, err)
		}
	}
	l.check(m.Do(l.ctx, get("select n from item")))
	l.watch.wants("select count(*) from item", "1")
}

// TestIdleTimeoutSwallowed has a unit that goes on as if nothing had happened.
func TestIdleTimeoutSwallowed(t *testing.T) {
	l := newLab(t)
	m := l.pool(1, "")
	err := m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		letIdle(ctx, l, u)
		for range 3 {
			_ = exec("insert into item values (2,2)")(ctx, u)
		}
		return nil
	})
	l.wantIs(err, dialect.IdleTimeout)
	l.watch.wants("select count(*) from item", "1")
}

// idlers fills a pool with n connections that the server then ends.
func idlers(l *lab, db *sqlx.DB, n int) {
	l.Helper()
	db.SetMaxIdleConns(n)
	var conns []*sqlx.Conn
	for range n {
		conn, err := db.Connx(l.ctx)
		l.check(err)
		conns = append(conns, conn)
	}
	for _, conn := range conns {
		l.check(conn.Close())
	}
	const others = "from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
	l.watch.do("select pg_terminate_backend(pid) " + others)
	l.watch.until("select count(*) "+others, "0")
}

// TestEndedPooledConnections has connections whose end the client has not read:
// the server's last words answer the first statement.
func TestEndedPooledConnections(t *testing.T) {
	l := newLab(t)
	m := l.pool(0, "")
	for _, unit := range []struct {
		fn   uow.Func
		opts []uow.Option
	}{
		{exec("update item set n = n + 1"), nil},
		{get("update item set n = n + 1 returning n"), nil},
		{exec("update item set n = n + 1"), []uow.Option{lockA}},
		{exec("update item set n = n + 1"), []uow.Option{lockA, uow.Isolation(6)}},
		{writeWith(func(u *uow.UnitOfWork, ctx context.Context) error {
			return m.Do(ctx, exec("update item set n = n + 1"), uow.Nested())
		}), nil},
	} {
		idlers(l, m.DB(), 3)
		runs := 0
		l.check(m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			runs++
			return unit.fn(ctx, u)
		}, unit.opts...))
		if runs != 1 {
			t.Errorf("%d runs, want 1", runs)
		}
	}
	l.watch.wants("select n from item", "5")
}

// TestKilledSession has the server end a session in the midst of a unit, as an
// administrator or a shutdown would.
func TestKilledSession(t *testing.T) {
	l := newLab(t)
	m := l.pool(1, "")
	runs := 0
	l.check(m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		runs++
		l.check(exec("update item set n = n + 1")(ctx, u))
		if runs == 1 {
			pid := strconv.Itoa(backend(l, u))
			l.watch.do("select pg_terminate_backend(" + pid + ")")
			l.watch.until("select count(*) from pg_stat_activity where pid = "+pid, "0")
		}
		return exec("update item set n = n + 1")(ctx, u)
	}, uow.Retry(uow.RetryPolicy{})))
	if runs != 2 {
		t.Errorf("%d runs, want 2", runs)
	}
	l.watch.wants("select n from item", "2")
}

// TestForeignNetworkErrors has functions that fail in some other system: the
// unit's own connection is well.
func TestForeignNetworkErrors(t *testing.T) {
	l := newLab(t)
	m := l.pool(1, "")
	for _, foreign := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, os.ErrDeadlineExceeded, &net.OpError{Op: "dial", Err: io.EOF}} {
		runs := 0
		err := m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			runs++
			return errors.Join(exec("update item set n = 1")(ctx, u), foreign)
		}, uow.Retry(uow.RetryPolicy{}))
		l.wantIs(err, foreign)
		if runs != 1 || errors.Is(err, dialect.ConnectionLost) {
			t.Errorf("%d runs after %v, error %v", runs, foreign, err)
		}
	}
}

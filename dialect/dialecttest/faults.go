package dialecttest

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/internal/faultproxy"
	"github.com/lockstep-go/lockstep/uow"
)

var faultCases = slices.Concat(doubtCases, connectionCases, abortCases, leftoverCases)

var doubtCases = []testCase{
	{"cut before COMMIT reached the server: in doubt, resolves to rolled back", cutBeforeCommit},
	{"cut after COMMIT was executed: in doubt, resolves to committed", cutAfterCommit},
	{"in doubt is never retried", doubtNotRetried},
	{"in doubt fires AfterCompletion alone", doubtHooks},
	{"connection in doubt is never used again", doubtDiscards},
	{"in doubt can be resolved when the server is back", resolvedLater},
}

// inDoubt runs a unit whose COMMIT meets a fault and returns its error.
func (e *env) inDoubt(fault faultproxy.Action, opts ...uow.Option) *uow.InDoubtError {
	e.Helper()
	commit := ability[CommitMatcher](e).MatchCommit()
	proxy, db := e.proxied()
	rule := proxy.Rule(commit, fault)
	runs := 0
	err := e.manager(db).Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		runs++
		return e.insert(ctx, u, runs)
	}, opts...)
	wait(e, "the fault", rule.Fired())
	wantEqual(e, "runs", runs, 1)
	wantEqual(e, "retryable", uow.IsRetryable(err), false)
	return wantAs[*uow.InDoubtError](e, err)
}

func cutBeforeCommit(e *env) {
	doubt := e.inDoubt(faultproxy.CutBefore, uow.Label("cut"))
	wantEqual(e, "label", doubt.Label, "cut")
	e.wantResolved(doubt, uow.RolledBack)
	e.wantItems()
}

func cutAfterCommit(e *env) {
	doubt := e.inDoubt(faultproxy.CutAfter)
	e.wantItems(1)
	e.wantResolved(doubt, uow.Committed)
}

func doubtNotRetried(e *env) {
	e.inDoubt(faultproxy.CutAfter, quick(5))
	e.wantItems(1)
	// Also when what came instead of an answer would be worth a retry.
	spy, m := e.spied(e.db)
	spy.doubtful = true
	spy.answer = func(call string, err error) error {
		if call == "commit" {
			return failure(dialect.ConnectionLost)
		}
		return err
	}
	runs := 1
	err := m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		runs++
		return e.insert(ctx, u, runs)
	}, quick(5))
	wantAs[*uow.InDoubtError](e, err)
	wantEqual(e, "retryable", uow.IsRetryable(err), false)
	e.wantItems(1, 2)
}

func doubtHooks(e *env) {
	commit := ability[CommitMatcher](e).MatchCommit()
	proxy, db := e.proxied()
	proxy.Rule(commit, faultproxy.CutAfter)
	var fired []string
	err := e.manager(db).Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		u.AfterCommit(func(context.Context) error { fired = append(fired, "committed"); return nil })
		u.AfterCompletion(func(_ context.Context, o uow.Outcome) { fired = append(fired, o.String()) })
		return e.insert(ctx, u, 1)
	})
	wantAs[*uow.InDoubtError](e, err)
	wantSlice(e, "hooks", fired, uow.InDoubt.String())
}

// doubtDiscards keeps the connection alive: only the unit knows that it must
// not be used.
func doubtDiscards(e *env) {
	db := e.pooled(1)
	spy, m := e.spied(db)
	errReply := errors.New("the answer was lost")
	spy.answer = func(call string, err error) error {
		if call == "commit" {
			return errors.Join(err, errReply)
		}
		return err
	}
	spy.doubtful = true
	var used any
	err := m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) (err error) {
		used, err = e.connOf(u)
		return errors.Join(err, e.insert(ctx, u, 1))
	})
	wantAs[*uow.InDoubtError](e, err)
	e.wantIs(err, errReply)
	if e.connOfNext(e.manager(db)) == used {
		e.Error("a connection in doubt was used again")
	}
}

func resolvedLater(e *env) {
	commit := ability[CommitMatcher](e).MatchCommit()
	proxy, db := e.proxied()
	rule := proxy.Rule(commit, faultproxy.CutAfter)
	err := e.manager(db).Do(e.ctx, e.adds(1))
	doubt := wantAs[*uow.InDoubtError](e, err)
	wait(e, "the fault", rule.Fired())
	proxy.Refuse(true)
	outcome, err := doubt.Resolve(e.ctx)
	wantEqual(e, "outcome without a server", outcome, uow.InDoubt)
	if err == nil {
		e.Error("resolved without a server")
	}
	proxy.Refuse(false)
	e.wantResolved(doubt, uow.Committed)
}

var connectionCases = []testCase{
	{"stale pooled connections at begin are replaced unseen", staleReplaced},
	{"no server: Unavailable, and nothing leaks", noServer},
	{"connection cut between statements: lost, and not in doubt", cutBetween},
	{"connection cut in a nested scope that swallows it: nothing is kept", cutBetweenInside},
	{"connection cut in a statement: lost, run once", cutInStatement},
	{"connection cut in the first statement: begun again, run once", cutInFirstStatement},
	{"session killed between statements: lost, and retryable", killedBetween},
	{"session killed before COMMIT: nothing is written", killedBeforeCommit},
}

// warm fills the pool with n idle connections.
func (e *env) warm(db *sqlx.DB, n int) {
	e.Helper()
	db.SetMaxIdleConns(n)
	var conns []*sqlx.Conn
	for range n {
		conn, err := db.Connx(e.ctx)
		e.check(err)
		conns = append(conns, conn)
	}
	for _, conn := range conns {
		e.check(conn.Close())
	}
}

func staleReplaced(e *env) {
	proxy, db := e.proxied()
	m := e.manager(db)
	id := 0
	exec := func(ctx context.Context, u *uow.UnitOfWork) error {
		id++
		return e.insert(ctx, u, id)
	}
	query := func(ctx context.Context, u *uow.UnitOfWork) error {
		var n int
		return errors.Join(u.GetContext(ctx, &n, "select count(*) from item"), exec(ctx, u))
	}
	locks := applock.With(applock.Exclusive("a"), applock.Shared("b"))
	for _, unit := range []struct {
		fn   uow.Func
		opts []uow.Option
	}{{exec, nil}, {query, nil}, {exec, []uow.Option{locks}}, {exec, []uow.Option{uow.Isolation(sql.LevelSerializable)}}} {
		e.warm(db, 3)
		proxy.CutAll()
		e.check(m.Do(e.ctx, unit.fn, unit.opts...))
	}
	e.wantItems(1, 2, 3, 4)
}

func noServer(e *env) {
	proxy, db := e.proxied()
	proxy.Refuse(true)
	m := e.manager(db)
	for _, opts := range [][]uow.Option{nil, {applock.With(applock.Exclusive("a"))}} {
		err := m.Do(e.ctx, e.adds(1), opts...)
		e.wantIs(err, dialect.Unavailable)
		wantEqual(e, "retryable", uow.IsRetryable(err), false)
	}
	proxy.Refuse(false)
	e.check(m.Do(e.ctx, e.adds(2), applock.With(applock.Exclusive("a"))))
	e.wantItems(2)
}

func cutBetween(e *env) {
	proxy, db := e.proxied()
	var outcomes []uow.Outcome
	err := e.manager(db).Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		u.AfterCompletion(func(_ context.Context, o uow.Outcome) { outcomes = append(outcomes, o) })
		e.check(e.insert(ctx, u, 1))
		proxy.CutAll()
		e.wantIs(e.insert(ctx, u, 2), dialect.ConnectionLost)
		e.wantIs(e.insert(ctx, u, 3), uow.ErrRollbackOnly)
		return nil
	})
	wantAs[*uow.UnexpectedRollbackError](e, err)
	wantEqual(e, "retryable", uow.IsRetryable(err), true)
	wantSlice(e, "outcomes", outcomes, uow.RolledBack)
	e.wantItems()
}

// cutBetweenInside has the functions of nested scopes, and of one that joins one,
// swallow that the connection was lost: none of them may be told that it was kept.
func cutBetweenInside(e *env) {
	proxy, db := e.proxied()
	m := e.manager(db)
	lose := func(ctx context.Context, u *uow.UnitOfWork) error {
		proxy.CutAll()
		e.wantIs(e.insert(ctx, u, 3), dialect.ConnectionLost)
		return nil
	}
	for _, inner := range []uow.Option{uow.Required(), uow.Nested()} {
		err := m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			e.check(e.insert(ctx, u, 1))
			err := m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
				e.check(e.insert(ctx, u, 2))
				wantAs[*uow.UnexpectedRollbackError](e, m.Do(ctx, lose, inner))
				return nil
			}, uow.Nested())
			wantAs[*uow.UnexpectedRollbackError](e, err)
			return nil
		})
		wantAs[*uow.UnexpectedRollbackError](e, err)
		e.wantItems()
	}
}

// bumpText has no arguments: drivers have been seen to send such a statement
// again, on another connection, when its answer was lost.
const bumpText = "update item set n = n + 1 where id = 1"

func cutInStatement(e *env) {
	e.store(1)
	proxy, db := e.proxied()
	proxy.Rule(carries(bumpText), faultproxy.CutAfter)
	err := e.manager(db).Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.check(e.insert(ctx, u, 2))
		return second(u.ExecContext(ctx, bumpText))
	})
	e.wantIs(err, dialect.ConnectionLost)
	e.wantN(1, 0)
	e.wantItems(1)
}

func cutInFirstStatement(e *env) {
	e.store(1)
	proxy, db := e.proxied()
	rule := proxy.Rule(carries(bumpText), faultproxy.CutAfter)
	runs := 0
	e.check(e.manager(db).Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		runs++
		return second(u.ExecContext(ctx, bumpText))
	}, uow.Retry(uow.RetryPolicy{})))
	wait(e, "the fault", rule.Fired())
	e.wantN(1, 1)
}

// killOf returns what ends the session that holds a lock, from outside.
func (e *env) killOf(name string) func() {
	e.Helper()
	killer := ability[Killer](e)
	session := e.session(name)
	return func() { killer.Kill(e.T, e.db, session); e.wantFree(name) }
}

func killedBetween(e *env) {
	locked := applock.With(applock.Exclusive("victim"))
	err := e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.check(e.insert(ctx, u, 1))
		e.killOf("victim")()
		err := e.insert(ctx, u, 2)
		e.wantIs(err, dialect.ConnectionLost)
		return err
	}, locked)
	wantEqual(e, "retryable", uow.IsRetryable(err), true)
	e.wantItems()
	e.check(e.m.Do(e.ctx, e.adds(3), locked))
	e.wantItems(3)
}

func killedBeforeCommit(e *env) {
	err := e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.check(e.insert(ctx, u, 1))
		e.killOf("victim")()
		return nil
	}, applock.With(applock.Exclusive("victim")))
	if err == nil {
		e.Fatal("committed without a session")
	}
	var doubt *uow.InDoubtError
	if errors.As(err, &doubt) {
		e.wantResolved(doubt, uow.RolledBack)
	}
	e.wantItems()
}

package integration

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/dialect/postgres"
	"github.com/lockstep-go/lockstep/internal/faultproxy"
	"github.com/lockstep-go/lockstep/uow"
)

// blind is PostgreSQL's dialect without what the driver knows of the
// transaction, so that units run into what they otherwise see coming.
type blind struct{ dialect.Dialect }

func (b blind) Begin(ctx context.Context, conn *sql.Conn, begin dialect.Begin) (dialect.Tx, error) {
	tx, err := b.Dialect.Begin(ctx, conn, begin)
	if tx == nil {
		return nil, err
	}
	return blindTx{tx}, err
}

type blindTx struct{ dialect.Tx }

// State claims that nothing has failed.
func (blindTx) State() dialect.State { return dialect.Active }

// blinded returns a Manager with a blind dialect and one connection.
func blinded(l *lab) (*uow.Manager, *sqlx.DB) {
	l.Helper()
	db := l.pool(1, "").DB()
	return uow.New(db, blind{postgres.Dialect()}), db
}

func TestCommitAnsweredByRollback(t *testing.T) {
	l := newLab(t)
	m, _ := blinded(l)
	var outcomes []uow.Outcome
	err := m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		u.AfterCompletion(func(_ context.Context, o uow.Outcome) { outcomes = append(outcomes, o) })
		l.check(exec("insert into item values (2,2)")(ctx, u))
		if exec("insert into item values (1,1)")(ctx, u) == nil {
			t.Error("a duplicate key was taken")
		}
		return nil
	})
	var unexpected *uow.UnexpectedRollbackError
	if !errors.As(err, &unexpected) {
		t.Errorf("error %v", err)
	}
	l.wantIs(err, dialect.NotCommitted)
	var doubt *uow.InDoubtError
	if errors.As(err, &doubt) || len(outcomes) != 1 || outcomes[0] != uow.RolledBack {
		t.Errorf("in doubt: %v %v", err, outcomes)
	}
	l.watch.wants("select count(*) from item", "1")
	l.check(m.Do(l.ctx, exec("insert into item values (2,2)")))
}

// TestStatementInAbortedTransaction asks the dialect itself: a unit would not
// send the second statement.
func TestStatementInAbortedTransaction(t *testing.T) {
	l := newLab(t)
	conn, err := l.pool(1, "").DB().Conn(l.ctx)
	l.check(err)
	defer conn.Close()
	tx, err := postgres.Dialect().Begin(l.ctx, conn, dialect.Begin{})
	l.check(err)
	_ = drop(tx.Exec(l.ctx, "insert into item values (1,1)"))
	if state := tx.State(); state != dialect.Failed {
		t.Errorf("state %v", state)
	}
	for _, statement := range []string{"insert into item values (2,2)", "select 1"} {
		err = drop(tx.Exec(l.ctx, statement))
		if kind := postgres.Dialect().Classify(err); kind != dialect.Aborted {
			t.Errorf("error %v is %v", err, kind)
		}
	}
	l.check(tx.Rollback(l.ctx))
	l.watch.wants("select count(*) from item", "1")
}

// TestCommitRefused has a constraint that is checked by COMMIT: the server's
// answer, so nothing is in doubt and the connection is fit for use.
func TestCommitRefused(t *testing.T) {
	l := newLab(t)
	l.watch.do("create table one (id int unique deferrable initially deferred)")
	proxy, m := l.proxied(1)
	l.check(m.Do(l.ctx, exec("update item set n = 0")))
	proxy.Reset()
	var outcomes []uow.Outcome
	err := m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		u.AfterCompletion(func(_ context.Context, o uow.Outcome) { outcomes = append(outcomes, o) })
		return exec("insert into one values (1),(1)")(ctx, u)
	})
	var answer *pgconn.PgError
	if !errors.As(err, &answer) || answer.Code != "23505" {
		t.Errorf("error %v, want 23505", err)
	}
	var doubt *uow.InDoubtError
	if errors.As(err, &doubt) || len(outcomes) != 1 || outcomes[0] != uow.RolledBack {
		t.Errorf("in doubt: %v %v", err, outcomes)
	}
	l.check(m.Do(l.ctx, exec("insert into one values (1)")))
	if n := proxy.Connections(); n != 0 {
		t.Errorf("%d connections opened", n)
	}
}

// TestCommitSerialization has two units that each read what the other writes:
// the second COMMIT fails, and running it again helps.
func TestCommitSerialization(t *testing.T) {
	l := newLab(t)
	l.watch.do("insert into item values (2,0)")
	m := l.pool(2, "")
	runs := 0
	l.check(m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		runs++
		l.check(u.GetContext(ctx, new(int), "select sum(n) from item"))
		if runs == 1 {
			l.check(m.Do(uow.Detach(ctx), func(ctx context.Context, u *uow.UnitOfWork) error {
				l.check(u.GetContext(ctx, new(int), "select sum(n) from item"))
				return exec("update item set n = 1 where id = 1")(ctx, u)
			}, uow.Isolation(sql.LevelSerializable)))
		}
		return exec("update item set n = n + 1 where id = 2")(ctx, u)
	}, uow.Isolation(sql.LevelSerializable), uow.Retry(uow.RetryPolicy{})))
	if runs != 2 {
		t.Errorf("%d runs, want 2", runs)
	}
	l.watch.wants("select n from item where id = 2", "1")
}

// waysToWrite are ways in which a unit may write, and which text alone may not
// show. They need the function and the view of writingLab.
var waysToWrite = map[string]uow.Func{
	"exec":    exec("insert into item values (2,2)"),
	"several": exec("select 1; insert into item values (2,2)"),
	"arguments": writeWith(func(u *uow.UnitOfWork, ctx context.Context) error {
		return drop(u.ExecContext(ctx, "insert into item values ($1,2)", 2))
	}),
	"returning":      get("insert into item values (2,2) returning n"),
	"with":           get("with w as (insert into item values (2,2) returning n) select n from w"),
	"function":       get("select write_item()"),
	"upper case":     get("SELECT WRITE_ITEM ()"),
	"quoted":         get(`select "write_item"()`),
	"qualified":      get("select public.write_item()"),
	"quoted schema":  get(`select "public"."write_item"()`),
	"commented":      get("select write_item/* no */()"),
	"view":           get("select n from writing_view"),
	"table function": get("select n from write_item() n"),
	"operator":       get("select 2 ==> 2"),
	"lock of a row":  get("select n from item for update"),
	"select into":    exec("select 2 as n into other"),
	"prepared": writeWith(func(u *uow.UnitOfWork, ctx context.Context) error {
		stmt, err := u.PrepareContext(ctx, "insert into item values ($1,2)")
		if err != nil {
			return err
		}
		return errors.Join(drop(stmt.ExecContext(ctx, 2)), stmt.Close())
	}),
	"raw": writeWith(func(u *uow.UnitOfWork, ctx context.Context) error {
		return u.Raw(func(c any) error {
			native, ok := c.(*stdlib.Conn)
			if !ok {
				return errEnough
			}
			_, err := native.Conn().Exec(ctx, "insert into item values (2,2)")
			return err
		})
	}),
	"after a read": writeWith(func(u *uow.UnitOfWork, ctx context.Context) error {
		return errors.Join(get("select n from item")(ctx, u), get("select write_item()")(ctx, u), get("select n from item")(ctx, u))
	}),
	"in a nested scope": writeWith(func(u *uow.UnitOfWork, ctx context.Context) error {
		return errors.Join(get("select n from item")(ctx, u), drop(u.ExecContext(ctx, "savepoint s")), get("select write_item()")(ctx, u))
	}),
}

func writeWith(f func(*uow.UnitOfWork, context.Context) error) uow.Func {
	return func(ctx context.Context, u *uow.UnitOfWork) error { return f(u, ctx) }
}

func get(query string) uow.Func {
	return func(ctx context.Context, u *uow.UnitOfWork) error { return u.GetContext(ctx, new(int), query) }
}

func drop[T any](_ T, err error) error { return err }

func writingLab(t *testing.T) *lab {
	t.Helper()
	l := newLab(t)
	l.watch.do(`create function write_item() returns int language sql as $$ insert into item values (2,2) returning n $$;
		create function write_item(int, int) returns int language sql as $$ insert into item values ($1,$2) returning n $$;
		create operator ==> (function = write_item, leftarg = int, rightarg = int);
		create view writing_view as select write_item() as n`)
	return l
}

// TestEveryWriteIsResolved loses the answer to COMMIT, before and after the
// server has seen it, and asks for the truth, however the unit has written.
func TestEveryWriteIsResolved(t *testing.T) {
	for way, fn := range waysToWrite {
		t.Run(way, func(t *testing.T) {
			l := writingLab(t)
			// What looks like reading is not asked about: nobody may claim then.
			hidden := way == "view" || way == "operator"
			l.wantTruth(fn, hidden, faultproxy.CutBefore, uow.RolledBack)
			l.wantTruth(fn, hidden, faultproxy.CutAfter, uow.Committed)
		})
	}
}

func (l *lab) wantTruth(fn uow.Func, hidden bool, fault faultproxy.Action, want uow.Outcome) {
	l.Helper()
	proxy, m := l.proxied(1)
	proxy.Rule(postgresHarness{}.MatchCommit(), fault)
	err := m.Do(l.ctx, fn)
	var doubt *uow.InDoubtError
	if !errors.As(err, &doubt) {
		l.Errorf("error %v, want in doubt", err)
		return
	}
	outcome, err := doubt.Resolve(l.ctx)
	if hidden && errors.Is(err, dialect.Unresolvable) && outcome == uow.InDoubt {
		return
	}
	if outcome != want || err != nil || doubt.TransactionID() == "" {
		l.Errorf("resolved to %v, %v, want %v; transaction %q", outcome, err, want, doubt.TransactionID())
	}
}

// TestNotifyIsNotClaimed has a unit that gets its id only in COMMIT itself: the
// server cannot tell what became of it, so nobody may claim that it committed.
func TestNotifyIsNotClaimed(t *testing.T) {
	l := newLab(t)
	for _, fn := range []uow.Func{exec("notify news"), get("select 1 from pg_notify('news', '')")} {
		proxy, m := l.proxied(1)
		proxy.Rule(postgresHarness{}.MatchCommit(), faultproxy.CutBefore)
		err := m.Do(l.ctx, fn)
		var doubt *uow.InDoubtError
		if !errors.As(err, &doubt) {
			t.Fatalf("error %v, want in doubt", err)
		}
		if outcome, err := doubt.Resolve(l.ctx); outcome == uow.Committed || err == nil && outcome == uow.InDoubt {
			t.Errorf("resolved to %v, %v", outcome, err)
		}
	}
}

// TestReadsAreResolvedWithoutAsking has units that the server forbids to write.
func TestReadsAreResolvedWithoutAsking(t *testing.T) {
	l := newLab(t)
	proxy, m := l.proxied(1)
	proxy.Rule(postgresHarness{}.MatchCommit(), faultproxy.CutBefore)
	err := m.Do(l.ctx, get("select n from item"), uow.ReadOnly())
	var doubt *uow.InDoubtError
	if !errors.As(err, &doubt) {
		t.Fatalf("error %v, want in doubt", err)
	}
	proxy.Refuse(true)
	outcome, err := doubt.Resolve(l.ctx)
	if outcome != uow.Committed || err != nil {
		t.Errorf("resolved to %v, %v", outcome, err)
	}
}

// TestErrorAmongRows has an error that no method of the unit has seen: the rows
// before it were handed out already.
func TestErrorAmongRows(t *testing.T) {
	l := newLab(t)
	m := l.pool(1, "")
	read := func(ctx context.Context, u *uow.UnitOfWork) error {
		l.check(exec("insert into item values (2,2)")(ctx, u))
		rows, err := u.QueryContext(ctx, "select 1/(5000-g) from generate_series(1,10000) g")
		l.check(err)
		defer rows.Close()
		n := 0
		for rows.Next() {
			n++
		}
		if n != 4999 || rows.Err() == nil {
			t.Errorf("%d rows, then %v", n, rows.Err())
		}
		return nil
	}
	for _, after := range []uow.Func{nothing, exec("insert into item values (3,3)"), get("select n from item")} {
		err := m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			l.check(read(ctx, u))
			if err := after(ctx, u); err != nil {
				l.wantIs(err, uow.ErrRollbackOnly)
			}
			return nil
		})
		var unexpected *uow.UnexpectedRollbackError
		if !errors.As(err, &unexpected) {
			t.Errorf("error %v", err)
		}
	}
	l.check(m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		var unexpected *uow.UnexpectedRollbackError
		if err := m.Do(ctx, read, uow.Nested()); !errors.As(err, &unexpected) {
			t.Errorf("error %v", err)
		}
		return exec("insert into item values (4,4)")(ctx, u)
	}))
	l.watch.wants("select string_agg(id::text, ',' order by id) from item", "1,4")
}

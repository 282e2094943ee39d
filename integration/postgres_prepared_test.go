package integration

import (
	"context"
	"errors"
	"testing"
	"time"

	"database/sql"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/integration/servers/serverstest"
	"github.com/lockstep-go/lockstep/uow"
)

var errUndo = errors.New("undo this")

// TestPreparedInNested has a statement that was prepared outside run inside a
// nested scope, unseen by the unit: the scope's failure must undo it.
func TestPreparedInNested(t *testing.T) {
	t.Parallel()
	m, db := openPool(t, serverstest.PostgresDatabase(t))
	db.MustExec("create table item (id int)")
	err := m.Do(t.Context(), func(ctx context.Context, u *uow.UnitOfWork) error {
		stmt, err := u.PrepareContext(ctx, "insert into item values ($1)")
		if err != nil {
			return err
		}
		defer stmt.Close()
		inner := m.Do(ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
			_, err := stmt.ExecContext(ctx, 1)
			return errors.Join(err, errUndo)
		}, uow.Nested())
		if !errors.Is(inner, errUndo) {
			t.Errorf("the nested scope: %v", inner)
		}
		_, err = stmt.ExecContext(ctx, 2)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var ids []int
	if err := db.Select(&ids, "select id from item"); err != nil || len(ids) != 1 || ids[0] != 2 {
		t.Errorf("items %v, error %v, want item 2", ids, err)
	}
}

// TestNoSessionLockLeft has waits end just as the lock is granted: the server
// may then fail the statement and keep a session's lock.
func TestNoSessionLockLeft(t *testing.T) {
	t.Parallel()
	dsn := serverstest.PostgresDatabase(t)
	holder, _ := openPool(t, dsn)
	waiter, _ := openPool(t, dsn)
	lock := applock.Exclusive("a")
	limits := map[string][]uow.Option{
		"limit":  {applock.With(lock.Wait(3 * time.Millisecond))},
		"cancel": {applock.With(lock), uow.Timeout(3 * time.Millisecond)},
	}
	for round := range 60 {
		for kind, opts := range limits {
			ctx, scope, err := holder.Begin(t.Context(), applock.With(lock))
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- waiter.Do(t.Context(), nothing, append(opts, uow.Isolation(sql.LevelSerializable))...) }()
			time.Sleep(time.Duration(2000+round*50) * time.Microsecond) // about when the wait ends
			if err := scope.Commit(ctx); err != nil {
				t.Fatal(err)
			}
			<-done
			if err := holder.Do(t.Context(), nothing, applock.With(lock.Wait(10*time.Second))); err != nil {
				t.Fatalf("round %d, %s: the lock stayed behind: %v", round, kind, err)
			}
		}
	}
}

// TestHiddenControl has control statements refused wherever they hide, before anything is sent,
// and what only looks like them is not.
func TestHiddenControl(t *testing.T) {
	t.Parallel()
	m, db := openPool(t, serverstest.PostgresDatabase(t))
	db.MustExec("create table item (id int, s text)")
	for _, query := range []string{
		`insert into item (s) values ('a\b'); commit and chain`,
		"select 1 as atomic; commit and chain",
		"commit and chain; savepoint a; rollback to a",
		"/* /* */ ' */ commit and chain --'",
		"-- x\rcommit and chain",
		"rollback to savepoint a",
	} {
		err := m.Do(t.Context(), func(ctx context.Context, u *uow.UnitOfWork) error {
			_, err := u.ExecContext(ctx, query)
			wantKind(t, err, dialect.Unsupported)
			if _, held := applock.Held(u, "a"); !held {
				t.Errorf("%s: the lock is off the books", query)
			}
			return nil
		}, applock.With(applock.Exclusive("a")))
		if err != nil {
			t.Errorf("%s: refused and nothing sent, yet %v", query, err)
		}
	}
	for _, query := range []string{
		"/* a /* b */ ; commit */ select 1",
		"do $$ begin perform 1; end; $$",
		`select E'it\'s; commit'`,
		"create function f() returns int begin atomic select 1; end",
		"select case when true then 1 end; select 2",
		"savepoint a; release savepoint a",
	} {
		if err := m.Do(t.Context(), exec(query)); err != nil {
			t.Errorf("%s: %v", query, err)
		}
	}
}

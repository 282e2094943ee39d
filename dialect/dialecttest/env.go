package dialecttest

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/internal/faultproxy"
	"github.com/lockstep-go/lockstep/internal/pooltest"
	"github.com/lockstep-go/lockstep/uow"
)

// patience bounds every wait of the suite. Nothing waits that long unless it
// is broken.
const patience = 30 * time.Second

// env is what one case works with: a database of its own and a pool on it.
type env struct {
	*testing.T
	h   Harness
	dsn string
	ctx context.Context
	db  *sqlx.DB
	m   *uow.Manager
}

// newEnv makes a database with table item (id int primary key, n int).
func newEnv(t *testing.T, h Harness) *env {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	t.Cleanup(cancel)
	e := &env{T: t, h: h, dsn: h.NewDatabase(t), ctx: ctx}
	e.db = e.open()
	e.m = e.manager(e.db)
	e.must(e.db.ExecContext(ctx, "create table item (id int primary key, n int not null)"))
	return e
}

// open returns another pool on the database. Its connections must all be back
// when the case ends.
func (e *env) open() *sqlx.DB {
	e.Helper()
	return e.openAt("")
}

func (e *env) openAt(address string) *sqlx.DB {
	e.Helper()
	return e.owned(e.h.Open(e.T, e.dsn, address))
}

// owned closes a pool when the case ends.
func (e *env) owned(db *sqlx.DB) *sqlx.DB {
	e.Helper()
	e.Cleanup(func() {
		pooltest.WantAllBack(e, db)
		if err := db.Close(); err != nil {
			e.Errorf("closing the pool: %v", err)
		}
	})
	return db
}

// proxied returns a fault proxy before the server and a pool through it.
func (e *env) proxied() (*faultproxy.Proxy, *sqlx.DB) {
	e.Helper()
	proxy, err := faultproxy.Start(e.h.Address(e.T, e.dsn))
	e.check(err)
	e.Cleanup(func() { _ = proxy.Close() })
	return proxy, e.openAt(proxy.Addr())
}

// traced returns a pool and what counts all that it asks of the engine, new
// connections included.
func (e *env) traced() (asked func() int64, db *sqlx.DB) {
	e.Helper()
	if h, ok := e.h.(Tracer); ok {
		db, asked = h.OpenTraced(e.T, e.dsn)
		return asked, e.owned(db)
	}
	proxy, db := e.proxied()
	return func() int64 { return proxy.BytesUp() + int64(proxy.Connections()) }, db
}

func (e *env) manager(db *sqlx.DB, opts ...uow.ManagerOption) *uow.Manager {
	return uow.New(db, e.h.Dialect(), opts...)
}

// check ends the case on an error. Not for goroutines other than the case's.
func (e *env) check(err error) {
	e.Helper()
	if err != nil {
		e.Fatalf("unexpected error: %v", err)
	}
}

func (e *env) must(_ sql.Result, err error) {
	e.Helper()
	e.check(err)
}

// wantIs reports an error that does not match target. It may be called on any
// goroutine.
func (e *env) wantIs(err, target error) {
	e.Helper()
	if !errors.Is(err, target) {
		e.Errorf("error %v, want one that is %q", err, target)
	}
}

// wantAs returns err as a T, or ends the case.
func wantAs[T error](e *env, err error) T {
	e.Helper()
	var target T
	if !errors.As(err, &target) {
		e.Fatalf("error %v (%T), want a %T", err, err, target)
	}
	return target
}

// insert adds item id through q, a unit or a pool.
func (e *env) insert(ctx context.Context, q sqlx.ExecerContext, id int) error {
	_, err := q.ExecContext(ctx, e.db.Rebind("insert into item (id, n) values (?, 0)"), id)
	return err
}

// wantItems reports any difference between the committed items and ids.
func (e *env) wantItems(ids ...int) {
	e.Helper()
	var got []int
	e.check(e.db.SelectContext(e.ctx, &got, "select id from item order by id"))
	if len(got) != len(ids) {
		e.Errorf("items %v, want %v", got, ids)
		return
	}
	for i := range got {
		if got[i] != ids[i] {
			e.Errorf("items %v, want %v", got, ids)
			return
		}
	}
}

// status returns what the server says of one lock.
func (e *env) status(name string) applock.Status {
	e.Helper()
	all, err := applock.Inspect(e.ctx, e.m, name)
	e.check(err)
	return all[0]
}

// wantFree waits until the server says that nobody holds or waits for a lock.
func (e *env) wantFree(name string) {
	e.Helper()
	e.eventually("lock "+name+" is free", func() bool {
		s := e.status(name)
		return len(s.Holders) == 0 && len(s.Waiters) == 0
	})
}

// waitForWaiters waits until the server shows n waiters for a lock.
func (e *env) waitForWaiters(name string, n int) {
	e.Helper()
	e.eventually("waiters for "+name, func() bool { return len(e.status(name).Waiters) == n })
}

// eventually polls what only the server can tell.
func (e *env) eventually(what string, holds func() bool) {
	e.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if holds() {
			return
		}
	}
	e.Fatalf("never came true: %s", what)
}

// wait receives from a channel, within patience.
func wait[T any](e *env, what string, c <-chan T) T {
	e.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		e.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// start runs f on a goroutine and returns where its error will come.
func start(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() {
		// A function that never returns normally still reports.
		err := errors.New("goroutine ended without returning")
		defer func() { done <- err }()
		err = f()
	}()
	return done
}

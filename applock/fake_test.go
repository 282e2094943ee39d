package applock_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/internal/pooltest"
	"github.com/lockstep-go/lockstep/uow"
)

// fake is a dialect without a server. It grants every lock, save what refuse
// says, and writes down what it was asked for.
type fake struct {
	mu     sync.Mutex
	begun  []dialect.Begin
	locked [][]dialect.Lock
	refuse func(dialect.Lock) error // nil grants all
}

// newFake returns a fake and a Manager on it.
func newFake(t *testing.T) (*fake, *uow.Manager) {
	t.Helper()
	f := &fake{}
	db := sqlx.NewDb(sql.OpenDB(connector{}), "fake")
	t.Cleanup(func() {
		pooltest.WantAllBack(t, db)
		_ = db.Close()
	})
	return f, uow.New(db, f)
}

func (f *fake) Name() string { return "fake" }

func (f *fake) Classify(err error) dialect.Kind { return dialect.KindOf(err) }

func (f *fake) Begin(_ context.Context, _ *sql.Conn, b dialect.Begin) (dialect.Tx, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.begun = append(f.begun, b)
	return &fakeTx{f}, f.first(b.Locks)
}

// first returns the LockError of the first refused lock.
func (f *fake) first(locks []dialect.Lock) error {
	if f.refuse == nil {
		return nil
	}
	for _, l := range locks {
		if err := f.refuse(l); err != nil {
			return err
		}
	}
	return nil
}

// asked returns all requests for locks, declared and acquired.
func (f *fake) asked() [][]dialect.Lock {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all [][]dialect.Lock
	for _, b := range f.begun {
		if len(b.Locks) > 0 {
			all = append(all, b.Locks)
		}
	}
	return slices.Concat(all, f.locked)
}

type fakeTx struct{ *fake }

func (t *fakeTx) Exec(context.Context, string, ...any) (sql.Result, error) {
	return driver.RowsAffected(0), nil
}

func (t *fakeTx) Lock(_ context.Context, locks []dialect.Lock) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.locked = append(t.locked, locks)
	return t.first(locks)
}

func (t *fakeTx) Savepoint(context.Context, string) error  { return nil }
func (t *fakeTx) RollbackTo(context.Context, string) error { return nil }
func (t *fakeTx) Release(context.Context, string) error    { return nil }
func (t *fakeTx) State() dialect.State                     { return dialect.Active }
func (t *fakeTx) Rollback(context.Context) error           { return nil }
func (t *fakeTx) Commit(context.Context) (dialect.Outcome, error) {
	return dialect.Committed, nil
}

// connector makes connections that can do nothing.
type connector struct{}

func (connector) Connect(context.Context) (driver.Conn, error) { return conn{}, nil }
func (connector) Driver() driver.Driver                        { return nil }

type conn struct{}

var errNoServer = errors.New("there is no server")

func (conn) Prepare(string) (driver.Stmt, error) { return nil, errNoServer }
func (conn) Close() error                        { return nil }
func (conn) Begin() (driver.Tx, error)           { return nil, errNoServer }

package dialecttest

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unicode/utf16"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/internal/faultproxy"
	"github.com/lockstep-go/lockstep/uow"
)

// CommitMatcher is a Harness that knows COMMIT on the wire.
type CommitMatcher interface {
	// MatchCommit matches the client's message that carries COMMIT.
	MatchCommit() faultproxy.Matcher
}

// WaitObserver is a Harness whose server shows which statements wait.
type WaitObserver interface {
	// Waiting returns how many statements in admin's database wait for what
	// another transaction has locked.
	Waiting(tb testing.TB, admin *sqlx.DB) int
}

// Budget is a Harness whose dialect promises how many round trips a unit costs.
type Budget interface {
	// RoundTrips returns the round trips of each unit that the suite counts, by
	// the name that the suite gives it; budgetedUnits lists them. They hold for
	// a connection that has run the same unit before.
	RoundTrips() map[string]int
}

// errWork is what a function of a case fails with.
var errWork = errors.New("the work failed")

// nothing is work without statements.
func nothing(context.Context, *uow.UnitOfWork) error { return nil }

// adds is work that inserts items.
func (e *env) adds(ids ...int) uow.Func {
	return func(ctx context.Context, u *uow.UnitOfWork) error {
		for _, id := range ids {
			if err := e.insert(ctx, u, id); err != nil {
				return err
			}
		}
		return nil
	}
}

// addsThenFails is work that inserts items and returns err.
func (e *env) addsThenFails(err error, ids ...int) uow.Func {
	return func(ctx context.Context, u *uow.UnitOfWork) error {
		return errors.Join(e.adds(ids...)(ctx, u), err)
	}
}

// store commits items without a unit.
func (e *env) store(ids ...int) {
	e.Helper()
	for _, id := range ids {
		e.check(e.insert(e.ctx, e.db, id))
	}
}

// bump adds one to an item's n.
func (e *env) bump(ctx context.Context, q sqlx.ExecerContext, id int) error {
	_, err := q.ExecContext(ctx, e.db.Rebind("update item set n = n + 1 where id = ?"), id)
	return err
}

// wantN reports an item whose committed n differs.
func (e *env) wantN(id, want int) {
	e.Helper()
	var n int
	e.check(e.db.GetContext(e.ctx, &n, e.db.Rebind("select n from item where id = ?"), id))
	if n != want {
		e.Errorf("item %d has n = %d, want %d", id, n, want)
	}
}

// lockItem keeps an item's row locked by a transaction of its own until release.
// It skips the case where the server cannot tell who waits for that.
func (e *env) lockItem(id int) (release func()) {
	e.Helper()
	ability[WaitObserver](e)
	// A transaction tied to a ctx is rolled back at some time after its end.
	tx, err := e.db.BeginTxx(context.WithoutCancel(e.ctx), nil)
	e.check(err)
	release = func() { _ = tx.Rollback() }
	e.Cleanup(release)
	e.check(e.bump(e.ctx, tx, id))
	return release
}

// waitForStatements waits until n statements wait for locked rows, as by lockItem.
func (e *env) waitForStatements(n int) {
	e.Helper()
	observer := ability[WaitObserver](e)
	e.eventually("statements waiting for rows", func() bool { return observer.Waiting(e.T, e.db) == n })
}

// twoWriters is a case that has two units write, or about to, at the same time.
func twoWriters(run func(*env)) func(*env) {
	return func(e *env) {
		if _, single := e.h.(SingleWriter); single {
			e.Skip("needs two units that write at once, and the engine lets one")
		}
		run(e)
	}
}

// ability returns the harness as a T, or skips the case.
func ability[T any](e *env) T {
	e.Helper()
	able, ok := e.h.(T)
	if !ok {
		e.Skipf("the harness is no %T", (*T)(nil))
	}
	return able
}

// wantEqual reports a difference. It may be called on any goroutine.
func wantEqual[T comparable](e *env, what string, got, want T) {
	e.Helper()
	if got != want {
		e.Errorf("%s: %v, want %v", what, got, want)
	}
}

// wantSlice reports a difference of two slices.
func wantSlice[T comparable](e *env, what string, got []T, want ...T) {
	e.Helper()
	if !slices.Equal(got, want) {
		e.Errorf("%s: %v, want %v", what, got, want)
	}
}

// wantSilence reports it if f asks anything of the engine.
func (e *env) wantSilence(asked func() int64, f func()) {
	e.Helper()
	before := asked()
	f()
	wantEqual(e, "statements, bytes or connections", asked()-before, 0)
}

// connOf returns the driver's connection of a unit. Different connections are
// different values.
func (e *env) connOf(u *uow.UnitOfWork) (conn any, err error) {
	err = u.Raw(func(driverConn any) error {
		conn = driverConn
		return nil
	})
	if l, ok := e.h.(Lender); ok && err == nil {
		conn = l.Lent(conn)
	}
	return conn, err
}

// connOfNext returns the connection that the next unit of m gets.
func (e *env) connOfNext(m *uow.Manager) any {
	e.Helper()
	conn, err := uow.Value(e.ctx, m, func(_ context.Context, u *uow.UnitOfWork) (any, error) { return e.connOf(u) })
	e.check(err)
	return conn
}

// carries matches a message that holds a text of ASCII characters, in the
// encoding of PostgreSQL's protocol or of TDS.
func carries(text string) faultproxy.Matcher {
	var wide []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		wide = append(wide, byte(unit), byte(unit>>8))
	}
	return func(m faultproxy.Message) bool {
		return bytes.Contains(m.Payload, []byte(text)) || bytes.Contains(m.Payload, wide)
	}
}

// meeting returns a function that waits until n goroutines have called it.
func (e *env) meeting(n int64) (meet func()) {
	var arrived atomic.Int64
	all := make(chan struct{})
	return func() {
		if arrived.Add(1) == n {
			close(all)
		}
		select {
		case <-all:
		case <-e.ctx.Done():
		}
	}
}

// panicOf returns what f panics with; nil if it returns.
func panicOf(f func()) (value any) {
	defer func() { value = recover() }()
	f()
	return nil
}

// journal is a log that can be read while it is written.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// lines returns what was logged, an entry a line.
func (j *journal) lines() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.FieldsFunc(j.text.String(), func(r rune) bool { return r == '\n' })
}

// journaled returns an option that logs to a journal.
func journaled() (*journal, uow.ManagerOption) {
	j := &journal{}
	return j, uow.Logger(slog.New(slog.NewTextHandler(j, nil)))
}

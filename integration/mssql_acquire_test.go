package integration

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/internal/tdstest"
	"github.com/lockstep-go/lockstep/uow"
)

// acquireB asks for a lock that nobody holds and ends the wait before the server
// has begun with it.
func (l *mssqlLab) acquireB(server *tdstest.Server, u *uow.UnitOfWork) error {
	l.Helper()
	hold := make(chan struct{})
	defer close(hold)
	rule := server.Inject(tdstest.Match{Text: "SAVE TRANSACTION lockstep_lock"}, tdstest.Fault{HoldRun: hold})
	ctx, cancel := context.WithCancel(l.ctx)
	defer cancel()
	done := l.start(func() error { return applock.Acquire(ctx, u, applock.Exclusive("b")) })
	<-rule.Fired()
	cancel()
	return l.ended(done)
}

// mssqlFirstLocks are ways to have acquired a lock before.
var mssqlFirstLocks = map[string]func(ctx context.Context, m *uow.Manager, u *uow.UnitOfWork) error{
	"none": func(context.Context, *uow.Manager, *uow.UnitOfWork) error { return nil },
	"same scope": func(ctx context.Context, _ *uow.Manager, u *uow.UnitOfWork) error {
		return applock.Acquire(ctx, u, applock.Exclusive("a"))
	},
	"nested scope": func(ctx context.Context, m *uow.Manager, _ *uow.UnitOfWork) error {
		return m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			return applock.Acquire(ctx, u, applock.Exclusive("a"))
		}, uow.Nested())
	},
}

// TestMSSQLSimulatorAcquireUnbegun cancels a request for a lock of which the server
// has run nothing: what came after an older savepoint must not be undone while the
// unit commits.
func TestMSSQLSimulatorAcquireUnbegun(t *testing.T) {
	for first, acquire := range mssqlFirstLocks {
		for _, opts := range [][]uow.Option{nil, {uow.Nested()}} {
			t.Run(first+map[int]string{0: "", 1: ", in a nested scope"}[len(opts)], func(t *testing.T) {
				l, server := newSimulator(t)
				m := l.pool(1)
				work := func(ctx context.Context, u *uow.UnitOfWork) error {
					l.check(acquire(ctx, m, u))
					l.check(exec("insert into item values (4,4)")(ctx, u))
					err := l.acquireB(server, u)
					l.wantIs(err, context.Canceled)
					err = exec("insert into item values (5,5)")(ctx, u)
					if err != nil && !errors.Is(err, uow.ErrRollbackOnly) || err != nil && !errors.Is(err, context.Canceled) {
						t.Errorf("error %v, want the cause", err)
					}
					return nil // whatever has happened
				}
				err := m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
					if len(opts) == 0 {
						return work(ctx, u)
					}
					return m.Do(ctx, work, opts...)
				})
				if err == nil || strings.Contains(err.Error(), "rows") {
					t.Errorf("error %v", err)
				}
				l.wantIs(err, context.Canceled)
				l.wants(l.watch, "select count(*) from item", "3")
				l.until(mssqlHeld, "0")
			})
		}
	}
}

package integration

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/internal/tdstest"
	"github.com/lockstep-go/lockstep/uow"
)

// TestMSSQLSimulatorOwnRequests has the library's own requests refused, each
// before a statement that must then not run.
func TestMSSQLSimulatorOwnRequests(t *testing.T) {
	for text, unit := range map[string]func(l *mssqlLab, m *uow.Manager) error{
		"CONTEXT_INFO": func(l *mssqlLab, m *uow.Manager) error { return m.Do(l.ctx, exec(leak), uow.Label("billing")) },
		"SAVE TRANSACTION": func(l *mssqlLab, m *uow.Manager) error {
			return m.Do(l.ctx, func(ctx context.Context, _ *uow.UnitOfWork) error { return m.Do(ctx, exec(leak), uow.Nested()) })
		},
		"ROLLBACK TRANSACTION": func(l *mssqlLab, m *uow.Manager) error {
			return m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
				l.wantIs(m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
					return errors.Join(exec("update item set n = 5")(ctx, u), errEnough)
				}, uow.Nested()), errEnough)
				return exec(leak)(ctx, u)
			})
		},
		"SET XACT_ABORT ON": func(l *mssqlLab, m *uow.Manager) error { return m.Do(l.ctx, exec("write_item")) },
	} {
		t.Run(text, func(t *testing.T) {
			l, server := newSimulator(t)
			l.do("create procedure write_item as " + leak)
			m := l.pool(1)
			rule := server.Inject(tdstest.Match{Text: text}, tdstest.Fault{Errors: severe(3930, 16)})
			err := unit(l, m)
			if !errors.Is(err, dialect.Aborted) && !errors.Is(err, uow.ErrRollbackOnly) {
				t.Errorf("error %v", err)
			}
			if rule.Count() != 1 {
				t.Errorf("refused %d times", rule.Count())
			}
			l.wants(l.watch, "select count(*) from item where n = 0", "3")
			l.wants(l.watch, "select count(*) from item", "3")
			l.wants(m.DB(), "select @@TRANCOUNT", "0")
		})
	}
}

// TestMSSQLSimulatorLevelStays has the server refuse to put an isolation level
// back: nothing may run at the one that a unit has left.
func TestMSSQLSimulatorLevelStays(t *testing.T) {
	for name, next := range map[string]func(l *mssqlLab, m *uow.Manager) error{
		"exec":        func(l *mssqlLab, m *uow.Manager) error { return drop(m.DB().ExecContext(l.ctx, leak)) },
		"query":       func(l *mssqlLab, m *uow.Manager) error { return m.DB().GetContext(l.ctx, new(int), "select 99") },
		"transaction": func(l *mssqlLab, m *uow.Manager) error { return drop(m.DB().BeginTxx(l.ctx, nil)) },
		"inspect":     func(l *mssqlLab, m *uow.Manager) error { return drop(applock.Inspect(l.ctx, m, "a")) },
	} {
		t.Run(name, func(t *testing.T) {
			l, server := newSimulator(t)
			m := l.pool(1)
			l.check(m.Do(l.ctx, get("select n from item"), uow.Isolation(sql.LevelSerializable)))
			server.Inject(tdstest.Match{Text: "READ COMMITTED"}, tdstest.Fault{Errors: severe(9002, 17)})
			server.Forget()
			if next(l, m) == nil {
				t.Error("no error")
			}
			if n := server.RoundTrips(); n != 1 {
				t.Errorf("%d round trips, want that of the level alone", n)
			}
			l.wants(m.DB(), ownLevel, readCommitted)
		})
	}
}

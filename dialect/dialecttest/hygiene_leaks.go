package dialecttest

import (
	"context"
	"fmt"
	"runtime"
	"strings"

	"github.com/lockstep-go/lockstep/uow"
)

var leakCases = []testCase{
	{"leaked Scope is rolled back and reported with its origin", leakedScope},
	{"leaked inner Scope is reported and dooms the unit", leakedInnerScope},
	{"ended Scopes are not reported", endedScopesNotReported},
}

// leak begins a scope, uses it, and forgets it. It returns the line of Begin.
//
//go:noinline
func (e *env) leak(ctx context.Context, m *uow.Manager, id int) string {
	e.Helper()
	_, file, line, _ := runtime.Caller(0)
	_, scope, err := m.Begin(ctx, uow.Label("forgetful"))
	e.check(err)
	e.check(e.insert(e.ctx, scope, id))
	return fmt.Sprintf("%s:%d", file, line+1)
}

// collectUntil runs the garbage collector until the journal has a line.
func (e *env) collectUntil(j *journal) string {
	e.Helper()
	e.eventually("a report", func() bool {
		runtime.GC()
		return len(j.lines()) > 0
	})
	wantEqual(e, "reports", len(j.lines()), 1)
	return j.lines()[0]
}

func leakedScope(e *env) {
	e.store(1)
	db := e.pooled(1)
	j, log := journaled()
	m := e.manager(db, log)
	origin := e.leak(e.ctx, m, 2)
	report := e.collectUntil(j)
	for _, part := range []string{origin, "forgetful", "ERROR"} {
		if !strings.Contains(report, part) {
			e.Errorf("report %q does not tell %q", report, part)
		}
	}
	e.eventually("the connection is back", func() bool { return db.Stats().InUse == 0 })
	e.check(m.Do(e.ctx, e.adds(3)))
	e.wantItems(1, 3)
}

func leakedInnerScope(e *env) {
	j, log := journaled()
	m := e.manager(e.db, log)
	err := m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		origin := e.leak(ctx, m, 1)
		if report := e.collectUntil(j); !strings.Contains(report, origin) {
			e.Errorf("report %q does not tell %q", report, origin)
		}
		return nil
	})
	if err == nil {
		e.Error("committed what a leaked scope has not voted for")
	}
	e.wantItems()
}

func endedScopesNotReported(e *env) {
	j, log := journaled()
	m := e.manager(e.db, log)
	for i := range 20 {
		ctx, scope, err := m.Begin(e.ctx)
		e.check(err)
		if i%2 == 0 {
			e.check(scope.Commit(ctx))
			continue
		}
		_, _, err = m.Begin(ctx) // ended by the outer, which reports it
		e.check(err)
		e.wantIs(scope.Close(), uow.ErrScopeOpen)
	}
	origin := e.leak(e.ctx, m, 1)
	if report := e.collectUntil(j); !strings.Contains(report, origin) {
		e.Errorf("report %q does not tell %q", report, origin)
	}
	e.eventually("the connection is back", func() bool { return e.db.Stats().InUse == 0 })
	wantEqual(e, "reports", len(j.lines()), 1)
}

package dialecttest

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/uow"
)

var inputCases = []testCase{
	{"a nil Manager", nilManager},
	{"a Manager without database or dialect", incompleteManager},
	{"bad options of a Manager", badManagerOptions},
	{"a nil function", nilFunction},
	{"bad options of a unit", badOptions},
	{"an isolation level that the engine lacks is refused", unknownIsolation},
	{"bad labels", badLabels},
	{"good labels", goodLabels},
}

func nilManager(e *env) {
	var m *uow.Manager
	e.wantIs(m.Do(e.ctx, nothing), uow.ErrNoManager)
	e.wantIs(m.With(uow.ReadOnly()).Do(e.ctx, nothing), uow.ErrNoManager)
	ctx, scope, err := m.Begin(e.ctx)
	e.wantIs(err, uow.ErrNoManager)
	e.check(scope.Close())
	wantEqual(e, "ctx", ctx, e.ctx)
	wantEqual(e, "database", m.DB(), nil)
	_, err = m.Inspect(e.ctx, "a")
	e.wantIs(err, uow.ErrNoManager)
	_, err = uow.Value(e.ctx, m, func(context.Context, *uow.UnitOfWork) (int, error) { return 1, nil })
	e.wantIs(err, uow.ErrNoManager)
}

// wantInvalid reports a Manager whose use does not fail with ErrInvalid.
func (e *env) wantInvalid(what string, m *uow.Manager, opts ...uow.Option) {
	e.Helper()
	called := func(context.Context, *uow.UnitOfWork) error {
		e.Errorf("%s: fn was called", what)
		return nil
	}
	e.wantIs(m.Do(e.ctx, called, opts...), uow.ErrInvalid)
	_, scope, err := m.Begin(e.ctx, opts...)
	e.wantIs(err, uow.ErrInvalid)
	if scope != nil {
		e.Errorf("%s: a scope beside an error", what)
	}
}

// nilDialect is a pointer that fails at its first use if it is nil.
type nilDialect struct{ dialect.Dialect }

func incompleteManager(e *env) {
	for what, m := range map[string]*uow.Manager{
		"no database": uow.New(nil, e.h.Dialect()),
		"no dialect":  uow.New(e.db, nil),
		"nil pointer": uow.New(e.db, (*nilDialect)(nil)),
		"neither":     uow.New(nil, nil, uow.CommitTimeout(time.Second)),
	} {
		e.wantInvalid(what, m)
		e.wantInvalid(what+", derived", m.With(uow.ReadOnly()))
		_, err := m.Inspect(e.ctx, "a")
		e.wantIs(err, uow.ErrInvalid)
	}
}

func badManagerOptions(e *env) {
	for what, option := range map[string]uow.ManagerOption{
		"nil option":            nil,
		"no commit timeout":     uow.CommitTimeout(0),
		"negative commit":       uow.CommitTimeout(-time.Second),
		"no rollback timeout":   uow.RollbackTimeout(0),
		"negative rollback":     uow.RollbackTimeout(-1),
		"nil logger":            uow.Logger(nil),
		"bad default":           uow.Defaults(uow.Timeout(-1)),
		"nil default":           uow.Defaults(nil),
		"bad default of a list": uow.Defaults(uow.ReadOnly(), uow.Label("")),
	} {
		e.wantInvalid(what, e.manager(e.db, option))
		e.wantInvalid(what+", not the last", e.manager(e.db, option, uow.CommitTimeout(time.Second)))
	}
}

func nilFunction(e *env) {
	e.wantIs(e.m.Do(e.ctx, nil), uow.ErrInvalid)
	e.wantIs(uow.Do(uow.NewContext(e.ctx, e.m), nil), uow.ErrInvalid)
	_, err := uow.Value[int](e.ctx, e.m, nil)
	e.wantIs(err, uow.ErrInvalid)
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.wantIs(e.m.Do(ctx, nil), uow.ErrInvalid)
		return e.insert(ctx, u, 1)
	}))
	e.wantItems(1)
}

func badOptions(e *env) {
	for what, option := range map[string]uow.Option{
		"nil option":             nil,
		"no timeout":             uow.Timeout(0),
		"negative timeout":       uow.Timeout(-time.Second),
		"isolation below range":  uow.Isolation(sql.LevelDefault - 1),
		"isolation above range":  uow.Isolation(sql.LevelLinearizable + 1),
		"negative attempts":      uow.Retry(uow.RetryPolicy{Attempts: -1}),
		"negative pause":         uow.Retry(uow.RetryPolicy{Base: -1}),
		"negative longest pause": uow.Retry(uow.RetryPolicy{Max: -1}),
	} {
		e.wantInvalid(what, e.m, option)
		e.wantInvalid(what+", derived", e.m.With(option))
		e.check(e.m.Do(e.ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
			e.wantInvalid(what+", joined", e.m, option) // begins in no unit
			e.wantIs(e.m.Do(ctx, nothing, option), uow.ErrInvalid)
			return nil
		}))
	}
}

func unknownIsolation(e *env) {
	supported := 0
	for level := sql.LevelDefault; level <= sql.LevelLinearizable; level++ {
		for _, fn := range []uow.Func{e.adds(int(level)), func(ctx context.Context, u *uow.UnitOfWork) error {
			return u.GetContext(ctx, new(int), "select count(*) from item")
		}} {
			err := e.m.Do(e.ctx, fn, uow.Isolation(level))
			if errors.Is(err, dialect.Unsupported) {
				continue
			}
			e.check(err)
			supported++
		}
	}
	if supported < 4 {
		e.Error("no engine lacks that much")
	}
}

func badLabels(e *env) {
	for what, label := range map[string]string{
		"empty":         "",
		"quote":         "o'brien",
		"double quote":  `a"b`,
		"backquote":     "a`b",
		"backslash":     `a\b`,
		"newline":       "a\nb",
		"tab":           "a\tb",
		"NUL":           "a\x00b",
		"delete":        "a\x7fb",
		"not ASCII":     "Größe",
		"not UTF-8":     "a\xffb",
		"one too long":  strings.Repeat("a", uow.MaxLabel+1),
		"far too long":  strings.Repeat("a", 10_000),
		"SQL":           "x',true); drop table item; --",
		"comment close": "*/ drop table item; --\r",
	} {
		e.wantInvalid("label: "+what, e.m, uow.Label(label))
	}
	e.wantItems()
}

func goodLabels(e *env) {
	for id, label := range []string{
		"a", " ", "deploy 42 (eu-1)", "$1", "%s", "?", ":name", "--", "/* */", ";", "{}[]<>&|#@!^~*",
		strings.Repeat("a", uow.MaxLabel),
	} {
		if err := e.m.Do(e.ctx, e.adds(id), uow.Label(label)); err != nil {
			e.Errorf("label %q: %v", label, err)
		}
		e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			return u.GetContext(ctx, new(int), "select count(*) from item")
		}, uow.Label(label)))
	}
}

package dialecttest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/uow"
)

var lockCoreCases = slices.Concat(lockExclusionCases, lockWaitCases)

var lockExclusionCases = []testCase{
	{"two processes exclude each other", func(e *env) { testExclusion(e, e.m, e.peer()) }},
	{"two units of a process exclude each other", func(e *env) { testExclusion(e, e.m, e.m) }},
	{"two units at a gate exclude each other", testExclusionAtGate},
	{"a lock is free again after its unit", testTakenAgain},
	{"bad arguments declared send nothing", testBadArgumentsDeclared},
	{"bad arguments acquired leave the unit alone", testBadArgumentsAcquired},
	{"already cancelled sends nothing", testAlreadyCancelled},
	{"a hundred contenders are never two inside", testHundredContenders},
	{"names are compared byte by byte", testNamesDistinct},
	{"names of any length and content work", testNamesAccepted},
	{"a statement's error frees the locks with the transaction", testStatementErrorFrees},
	{"a doomed unit takes no locks", testDoomedUnitTakesNoLocks},
}

// testExclusion has a unit of contender wait in the server's queue for one of m
// and read what that wrote.
func testExclusion(e *env, m, contender *uow.Manager) {
	e.counter()
	holder := e.hold(m, "a")
	waiting := e.startUnit(contender, increment, applock.With(applock.Exclusive("a")))
	e.waitForWaiters("a", 1)
	e.finishExclusion(holder, waiting)
}

// testExclusionAtGate leaves the second unit no connection to wait with.
func testExclusionAtGate(e *env) {
	e.counter()
	m := e.narrow(1)
	holder := e.hold(m, "a")
	waiting := e.startNoticed(m, increment, applock.With(applock.Exclusive("a")))
	e.finishExclusion(holder, waiting)
}

func (e *env) finishExclusion(holder *uow.Scope, waiting <-chan error) {
	e.Helper()
	e.check(increment(e.ctx, holder.UnitOfWork))
	e.pending("the second unit", waiting)
	e.commit(holder)
	e.check(wait(e, "the second unit", waiting))
	e.wantCount(2)
	e.wantFree("a")
}

func testTakenAgain(e *env) {
	peer := e.peer()
	for range 3 {
		for _, m := range []*uow.Manager{e.m, peer} {
			held := false
			e.check(m.Do(e.ctx, func(_ context.Context, u *uow.UnitOfWork) error {
				_, held = applock.Held(u, "a")
				e.wantHolders("a", 1)
				return nil
			}, applock.With(applock.Exclusive("a").NoWait())))
			if !held {
				e.Error("not held inside the unit")
			}
		}
	}
	e.wantFree("a")
}

// badLocks can never work, whoever is asked.
var badLocks = []struct {
	what  string
	locks []applock.Lock
	want  error
}{
	{"empty name", []applock.Lock{applock.Exclusive("")}, applock.ErrName},
	{"zero lock", []applock.Lock{{}}, applock.ErrName},
	{"NUL", []applock.Lock{applock.Shared("a\x00b")}, applock.ErrName},
	{"bad UTF-8", []applock.Lock{applock.Update("a\xff")}, applock.ErrName},
	{"surrogate", []applock.Lock{applock.Update("\xed\xa0\x80")}, applock.ErrName},
	{"negative wait", []applock.Lock{applock.Exclusive("a").Wait(-1)}, applock.ErrInvalid},
	{"very negative wait", []applock.Lock{applock.Exclusive("a").Wait(math.MinInt64)}, applock.ErrInvalid},
	{"none", nil, applock.ErrInvalid},
	{"a good and a bad one", []applock.Lock{applock.Exclusive("a"), applock.Exclusive("")}, applock.ErrName},
}

func testBadArgumentsDeclared(e *env) {
	asked, db := e.traced()
	m := e.manager(db)
	for _, bad := range badLocks {
		err := m.Do(e.ctx, func(context.Context, *uow.UnitOfWork) error {
			e.Errorf("%s: the function was called", bad.what)
			return nil
		}, applock.With(bad.locks...))
		e.wantIs(err, bad.want)
		ctx, scope, err := m.Begin(e.ctx, applock.With(bad.locks...))
		e.wantIs(err, bad.want)
		if scope != nil || ctx != e.ctx {
			e.Errorf("%s: Begin returned a scope", bad.what)
		}
	}
	_, err := applock.Inspect(e.ctx, m, "a", "")
	e.wantIs(err, applock.ErrName)
	wantEqual(e, "statements, bytes or connections", asked(), 0)
	e.wantGrant(m, applock.Exclusive("a"), true)
}

func testBadArgumentsAcquired(e *env) {
	asked, db := e.traced()
	scope := e.hold(e.manager(db), "held")
	before := asked()
	for _, bad := range badLocks {
		e.wantIs(applock.Acquire(e.ctx, scope.UnitOfWork, bad.locks...), bad.want)
		ok, err := applock.TryAcquire(e.ctx, scope.UnitOfWork, bad.locks...)
		e.wantIs(err, bad.want)
		if ok {
			e.Errorf("%s: acquired", bad.what)
		}
	}
	e.wantIs(applock.Acquire(e.ctx, nil, applock.Exclusive("a")), applock.ErrInvalid)
	wantEqual(e, "statements or bytes", asked()-before, 0)
	e.check(e.insert(e.ctx, scope, 1))
	e.wantHolders("held", 1)
	e.wantHolders("a", 0)
	e.commit(scope)
	e.wantItems(1)
}

func testAlreadyCancelled(e *env) {
	asked, db := e.traced()
	m := e.manager(db)
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(e.ctx)
	cancel(cause)
	e.wantIs(m.Do(ctx, func(context.Context, *uow.UnitOfWork) error {
		e.Error("the function was called")
		return nil
	}, applock.With(applock.Exclusive("a"))), cause)
	wantEqual(e, "statements, bytes or connections", asked(), 0)
	scope := e.hold(m, "held")
	before := asked()
	e.wantIs(applock.Acquire(ctx, scope.UnitOfWork, applock.Exclusive("a")), cause)
	wantEqual(e, "statements or bytes", asked()-before, 0)
	e.wantHeld(scope.UnitOfWork, "a", 0)
	e.check(e.insert(e.ctx, scope, 1))
	e.commit(scope)
	e.wantItems(1)
}

// testHundredContenders uses two Managers, so that the server's lock excludes
// and not the gate of one process.
func testHundredContenders(e *env) {
	const processes, contenders = 2, 50
	e.counter()
	e.must(e.db.ExecContext(e.ctx, "create table inside (id int primary key)"))
	var all []<-chan error
	for p := range processes {
		m := e.peer()
		for c := range contenders {
			fn := func(ctx context.Context, u *uow.UnitOfWork) error {
				if err := enterAlone(ctx, e, p*contenders+c); err != nil {
					return err
				}
				return increment(ctx, u)
			}
			all = append(all, e.startUnit(m, fn, applock.With(applock.Exclusive("a"))))
		}
	}
	for _, err := range collect(e, "a contender", all) {
		e.Error(err)
	}
	e.wantCount(processes * contenders)
	e.wantFree("a")
}

// enterAlone raises a flag outside the transaction, so that all can see it, and
// takes it down again.
func enterAlone(ctx context.Context, e *env, id int) error {
	if _, err := e.db.ExecContext(ctx, e.db.Rebind("insert into inside (id) values (?)"), id); err != nil {
		return err
	}
	var inside int
	if err := e.db.GetContext(ctx, &inside, "select count(*) from inside"); err != nil {
		return err
	}
	if inside != 1 {
		return fmt.Errorf("%d inside at once", inside)
	}
	_, err := e.db.ExecContext(ctx, e.db.Rebind("delete from inside where id = ?"), id)
	return err
}

// testNamesDistinct takes both names of each pair at once.
func testNamesDistinct(e *env) {
	long, emoji := strings.Repeat("x", 300), strings.Repeat("🔒", 150)
	peer := e.peer()
	for _, pair := range [][2]string{
		{"Order", "order"}, {"a", "a "}, {"a", " a"}, {"a", "a\t"}, {" ", "  "},
		{"ä", "a"}, {"ä", "a\u0308"}, {"ß", "ss"}, {"ı", "i"}, {"ﬁ", "fi"}, {"½", "1⁄2"},
		{`a\b`, `a\\b`}, {`a'b`, `a''b`}, {"a%", "a_"}, {"0", "00"},
		{"🔒", "🔓"}, {"a\u200b", "a"}, {"a\r\n", "a\n"},
		{long + "1", long + "2"}, {long, long + " "}, {emoji + "1", emoji + "2"},
		{strings.Repeat("y", 255), strings.Repeat("y", 256)},
	} {
		first := e.hold(e.m, pair[0])
		e.wantGrant(peer, applock.Exclusive(pair[0]), false)
		e.wantGrant(peer, applock.Exclusive(pair[1]), true)
		e.wantGrant(e.m, applock.Exclusive(pair[1]), true)
		e.commit(first)
	}
}

func testNamesAccepted(e *env) {
	peer := e.peer()
	for _, name := range []string{
		"a", " ", "trailing ", `back\slash\`, `quote'"` + "`", "semicolon;--", "/*", "?", "$1", ":name", "@p1", "%s",
		"tenant:42:upgrade", "line\nbreak", "\x01\x7f", "🔒🚀", "ｆｕｌｌ", "\u202e", "\ufeff", "\uffff", "\U0010ffff",
		strings.Repeat("n", 1000), strings.Repeat("🔒", 1000), strings.Repeat("long ", 20_000),
	} {
		scope := e.hold(e.m, name)
		e.wantHeld(scope.UnitOfWork, name, applock.ModeExclusive)
		e.wantGrant(peer, applock.Exclusive(name), false)
		if status := e.status(name); status.Name != name || len(status.Holders) != 1 || status.Key == "" {
			e.Errorf("Inspect of %.40q: %+v", name, status)
		}
		other := e.begin(peer)
		err := applock.Acquire(e.ctx, other.UnitOfWork, applock.Exclusive(name).Wait(time.Millisecond))
		if got := wantAs[*applock.TimeoutError](e, err).Lock.Name(); got != name {
			e.Errorf("timeout of %.40q, want %.40q", got, name)
		}
		e.check(other.Close())
		e.commit(scope)
		e.wantGrant(peer, applock.Exclusive(name), true)
	}
}

func testStatementErrorFrees(e *env) {
	e.counter()
	err := e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		e.check(e.insert(ctx, u, 2))
		if e.insert(ctx, u, 1) == nil {
			e.Error("a key was inserted twice")
		}
		// The server may have freed the locks: nothing may be written any more.
		e.wantIs(e.insert(ctx, u, 3), uow.ErrRollbackOnly)
		return nil
	}, applock.With(applock.Exclusive("a"), applock.Shared("b")))
	wantAs[*uow.UnexpectedRollbackError](e, err)
	e.wantFree("a")
	e.wantFree("b")
	e.wantGrant(e.m, applock.Exclusive("a"), true)
	e.wantGrant(e.peer(), applock.Exclusive("b"), true)
	e.wantItems(1)
}

func testDoomedUnitTakesNoLocks(e *env) {
	asked, db := e.traced()
	scope := e.hold(e.manager(db), "held")
	scope.SetRollbackOnly(errors.New("no"))
	before := asked()
	e.wantIs(applock.Acquire(e.ctx, scope.UnitOfWork, applock.Exclusive("a")), uow.ErrRollbackOnly)
	if _, err := applock.TryAcquire(e.ctx, scope.UnitOfWork, applock.Exclusive("held")); !errors.Is(err, uow.ErrRollbackOnly) {
		e.Errorf("a doomed unit was told to hold its lock: %v", err)
	}
	wantEqual(e, "statements or bytes", asked()-before, 0)
	e.check(scope.Close())
	e.wantIs(applock.Acquire(e.ctx, scope.UnitOfWork, applock.Exclusive("a")), uow.ErrDone)
	e.wantFree("a")
}

package dialecttest

import (
	"context"
	"slices"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/uow"
)

var lockServerCases = []testCase{
	{"inspect names holders and waiters", testInspect},
	{"inspect tells the modes", testInspectModes},
	{"inspect tells a waiting update from a holder", testInspectWaitingUpdate},
	{"inspect answers in the order asked, and for free names", testInspectOrder},
	{"inspect without names shows every lock", testInspectAll},
	{"inspect takes no part in the open unit", testInspectInUnit},
	{"a label ends with its unit", testLabelEnds},
}

func testInspect(e *env) {
	holder := e.hold(e.m, "a", uow.Label("holder 7: deploy"))
	waiting := e.startUnit(e.peer(), idle, applock.With(applock.Shared("a")), uow.Label("waiter-8"))
	e.waitForWaiters("a", 1)
	status := e.status("a")
	if status.Name != "a" || status.Key == "" || len(status.Holders) != 1 {
		e.Fatalf("status %+v", status)
	}
	e.wantSession(status.Holders[0], "holder 7: deploy", applock.ModeExclusive)
	e.wantSession(status.Waiters[0], "waiter-8", applock.ModeShared)
	if status.Holders[0].ID == status.Waiters[0].ID {
		e.Error("holder and waiter are one session")
	}
	e.pending("the waiter", waiting)
	e.commit(holder)
	e.check(wait(e, "the waiter", waiting))
	if status = e.status("a"); status.Name != "a" || len(status.Holders)+len(status.Waiters) != 0 {
		e.Errorf("a free lock: %+v", status)
	}
}

func (e *env) wantSession(s applock.Session, label string, mode applock.Mode) {
	e.Helper()
	if s.ID == "" || s.Label != label || s.Mode != mode || s.User == "" || s.Since.IsZero() {
		e.Errorf("session %+v, want label %q and mode %v, with an ID, a user and a time", s, label, mode)
	}
}

func testInspectModes(e *env) {
	e.begin(e.m, applock.With(applock.Shared("a")), uow.Label("reader-1"))
	e.begin(e.m, applock.With(applock.Shared("a")), uow.Label("reader-2"))
	e.begin(e.m, applock.With(applock.Update("a")), uow.Label("updater"))
	got := make(map[string]applock.Mode)
	holders := e.status("a").Holders
	for _, s := range holders {
		got[s.Label] = s.Mode
	}
	if len(holders) != 3 || got["reader-1"] != applock.ModeShared || got["reader-2"] != applock.ModeShared || got["updater"] != applock.ModeUpdate {
		e.Errorf("holders %+v", holders)
	}
}

// testInspectWaitingUpdate has units wait in mode Update, for an Exclusive and
// for another Update.
func testInspectWaitingUpdate(e *env) {
	holder := e.hold(e.m, "a", uow.Label("holder-7"))
	var waiting []<-chan error
	for i, label := range []string{"waiter-8", "waiter-9"} {
		waiting = append(waiting, e.startUnit(e.peer(), idle, applock.With(applock.Update("a")), uow.Label(label)))
		e.waitForWaiters("a", i+1)
	}
	status := e.status("a")
	if len(status.Holders) != 1 || status.Holders[0].Label != "holder-7" || status.Holders[0].Mode != applock.ModeExclusive {
		e.Errorf("holders %+v, want holder-7 alone", status.Holders)
	}
	for _, w := range status.Waiters {
		if w.Mode != applock.ModeUpdate {
			e.Errorf("waiter %+v, want mode update", w)
		}
	}
	l := applock.Exclusive("a").NoWait()
	e.wantTimeout(e.peer().Do(e.ctx, idle, applock.With(l)), l, e.session("a"), "holder-7")
	e.commit(holder)
	for _, err := range collect(e, "a waiting update", waiting) {
		e.Error(err)
	}
}

func testInspectOrder(e *env) {
	e.hold(e.m, "b")
	names := []string{"c", "b", "a", "b", "no such lock"}
	status, err := applock.Inspect(e.ctx, e.m, names...)
	e.check(err)
	if len(status) != len(names) {
		e.Fatalf("%d answers for %d names", len(status), len(names))
	}
	for i, s := range status {
		want := 0
		if names[i] == "b" {
			want = 1
		}
		if s.Name != names[i] || len(s.Holders) != want || len(s.Waiters) != 0 {
			e.Errorf("%d: %+v, want %s with %d holders", i, s, names[i], want)
		}
	}
}

func testInspectAll(e *env) {
	none, err := applock.Inspect(e.ctx, e.m)
	e.check(err)
	if len(none) != 0 {
		e.Errorf("locks of an idle database: %+v", none)
	}
	e.begin(e.m, applock.With(applock.Exclusive("a"), applock.Shared("b"), applock.Update("c")))
	var want, got []string
	for _, name := range []string{"a", "b", "c"} {
		want = append(want, e.status(name).Key)
	}
	all, err := applock.Inspect(e.ctx, e.m)
	e.check(err)
	for _, s := range all {
		got = append(got, s.Key)
		if len(s.Holders) != 1 {
			e.Errorf("lock %+v, want one holder", s)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		e.Errorf("keys %q, want %q", got, want)
	}
}

func testInspectInUnit(e *env) {
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		for id := range 3 {
			status, err := applock.Inspect(ctx, e.m, "a")
			if err != nil || len(status[0].Holders) != 1 {
				e.Errorf("inspected from inside: %+v, %v", status, err)
			}
			e.check(e.insert(ctx, u, id))
		}
		return nil
	}, lockA))
	e.wantItems(0, 1, 2)
}

// testLabelEnds has one connection serve a labelled unit and then others.
func testLabelEnds(e *env) {
	m := e.narrow(1)
	for _, end := range []error{nil, errWork} {
		err := m.Do(e.ctx, e.addsThenFails(end, 1), lockA, uow.Label("labelled"))
		if (err == nil) != (end == nil) {
			e.Error(err)
		}
		plain := e.hold(m, "a")
		if label := e.status("a").Holders[0].Label; label == "labelled" {
			e.Error("a unit without a label wears that of the unit before it")
		}
		e.commit(plain)
		e.must(e.db.ExecContext(e.ctx, "delete from item"))
	}
}

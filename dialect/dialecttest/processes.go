package dialecttest

import (
	"bufio"
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/uow"
)

var processCases = []testCase{
	{"a second process waits, then gets the lock", testSecondProcessWaits},
	{"a process exits without unlocking", func(e *env) { testFirstProcessGone(e, (*process).exit) }},
	{"a process is killed", func(e *env) { testFirstProcessGone(e, (*process).kill) }},
	{"a killed waiter leaves no ghost", testKilledWaiter},
	{"no update is lost, read committed", func(e *env) { testNoUpdateLost(e, sql.LevelReadCommitted) }},
	{"no update is lost, repeatable read", func(e *env) { testNoUpdateLost(e, sql.LevelRepeatableRead) }},
	{"no update is lost, serializable", func(e *env) { testNoUpdateLost(e, sql.LevelSerializable) }},
}

// process is another process that runs a part for a case.
type process struct {
	e      *env
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr bytes.Buffer // read once the process has ended
	said   chan string  // closed when it can say no more
	end    func() error
}

// spawn starts a process that is killed when the case ends, if not before.
func (e *env) spawn(o order) *process {
	e.Helper()
	if os.Getenv(childVariable) != "" {
		e.Fatal("TestMain does not call dialecttest.Child")
	}
	o.DSN = e.dsn
	text, err := json.Marshal(o)
	e.check(err)
	program, err := os.Executable()
	e.check(err)
	p := &process{e: e, said: make(chan string, 8)}
	p.cmd = exec.Command(program, "-test.run=^$")
	p.cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	p.cmd.Stderr = &p.stderr
	p.stdin, err = p.cmd.StdinPipe()
	e.check(err)
	stdout, err := p.cmd.StdoutPipe()
	e.check(err)
	e.check(p.cmd.Start())
	go p.listen(stdout)
	p.end = sync.OnceValue(func() error {
		for line := range p.said {
			e.Logf("a process also said %q", line)
		}
		return p.cmd.Wait()
	})
	e.Cleanup(p.kill)
	return p
}

func (p *process) listen(stdout io.Reader) {
	defer close(p.said)
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		p.said <- lines.Text()
	}
}

// hears waits until the process says a line.
func (p *process) hears(line string) {
	p.e.Helper()
	p.hearsWithin(line, patience)
}

func (p *process) hearsWithin(line string, limit time.Duration) {
	p.e.Helper()
	select {
	case got, ok := <-p.said:
		if ok && got == line {
			return
		}
		p.kill()
		p.e.Fatalf("a process said %q, want %q; its errors: %s", got, line, p.stderr.String())
	case <-time.After(limit):
		p.e.Fatalf("a process did not say %q", line)
	}
}

// tell writes a line to the process.
func (p *process) tell(line string) {
	p.e.Helper()
	_, err := fmt.Fprintln(p.stdin, line)
	p.e.check(err)
}

// succeeds waits for the process to end well.
func (p *process) succeeds() {
	p.e.Helper()
	p.hears(saysDone)
	if err := p.end(); err != nil {
		p.e.Errorf("a process ended with %v: %s", err, p.stderr.String())
	}
}

// exit has the process end in the midst of its unit.
func (p *process) exit() {
	p.e.Helper()
	p.tell(exitNow)
	p.e.check(p.end())
}

// kill ends the process without its knowing.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.end()
}

func testSecondProcessWaits(e *env) {
	e.counter()
	first, second := e.spawn(order{Part: partHold}), e.spawn(order{Part: partHold})
	first.hears(saysAsks)
	second.hears(saysAsks)
	var holds, waits *process
	select {
	case <-first.said:
		holds, waits = first, second
	case <-second.said:
		holds, waits = second, first
	case <-time.After(patience):
		e.Fatal("neither process got the lock")
	}
	e.waitForWaiters("a", 1)
	holds.tell(commitNow)
	holds.succeeds()
	waits.hears(saysHolds)
	waits.tell(commitNow)
	waits.succeeds()
	e.wantCount(2)
	e.wantFree("a")
}

// testFirstProcessGone has a process end without a word to the server while it
// holds the lock and has written.
func testFirstProcessGone(e *env, goes func(*process)) {
	e.counter()
	first := e.spawn(order{Part: partHold})
	first.hears(saysAsks)
	first.hears(saysHolds)
	second := e.spawn(order{Part: partHold})
	second.hears(saysAsks)
	e.waitForWaiters("a", 1)
	goes(first)
	second.hears(saysHolds)
	second.tell(commitNow)
	second.succeeds()
	e.wantCount(1)
	e.wantFree("a")
}

// testKilledWaiter cannot ask that the server never grants the lock to the dead
// process's session: a server may notice only when it answers that session.
// What holds is that nothing is done under such a grant, that it ends by itself,
// and that whoever comes next gets the lock.
func testKilledWaiter(e *env) {
	e.counter()
	holder := e.hold(e.m, "a")
	killed := e.spawn(order{Part: partHold})
	killed.hears(saysAsks)
	e.waitForWaiters("a", 1)
	killed.kill()
	next := e.startUnit(e.peer(), increment, lockA, uow.Label("next"))
	e.eventually("the next unit waits", func() bool {
		return slices.ContainsFunc(e.status("a").Waiters, func(s applock.Session) bool { return s.Label == "next" })
	})
	e.wantHolders("a", 1)
	e.commit(holder)
	e.check(wait(e, "the next unit", next))
	e.wantFree("a")
	e.wantCount(1)
	e.wantGrant(e.m, applock.Exclusive("a"), true)
}

// testNoUpdateLost has processes increment one number under one lock and
// nothing else to protect it.
func testNoUpdateLost(e *env, level sql.IsolationLevel) {
	o := order{Part: partCount, Level: level, Goroutines: 8, Units: 250}
	if testing.Short() {
		o.Units = 10
	}
	const processes = 4
	e.counter()
	var all []*process
	for range processes {
		all = append(all, e.spawn(o))
	}
	for _, p := range all {
		p.hearsWithin(saysDone, 10*patience)
		if err := p.end(); err != nil {
			e.Errorf("a process ended with %v: %s", err, p.stderr.String())
		}
	}
	var n int
	e.check(e.db.Get(&n, "select n from item where id = 1"))
	if want := processes * o.Goroutines * o.Units; n != want {
		e.Errorf("n = %d, want %d", n, want)
	}
}

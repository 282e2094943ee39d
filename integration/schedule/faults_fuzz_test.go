package schedule

import (
	"strings"
	"time"

	"github.com/lockstep-go/lockstep/internal/faultproxy"
)

// faults are those of one run that are under way.
type faults struct {
	proxy *faultproxy.Proxy
	rules []*faultproxy.Rule
	cuts  []*faultproxy.Cut
	reset *time.Timer
}

// The faults of a schedule.
const (
	cutUp = iota
	cutDown
	halfUp
	halfDown
	silenceDown
	beforeCommit
	afterCommit
	commitUnanswered
	stall
	beforeText
	kinds
)

// arm makes the network fail as the schedule says: of each three bytes the first
// tells how, and the others where.
func (r *run) arm(schedule []byte) *faults {
	f := &faults{proxy: r.proxy}
	for n := 0; n < 3 && len(schedule) >= 3; n++ {
		f.add(schedule[0]%kinds, schedule[1], int64(schedule[1])<<8|int64(schedule[2]))
		schedule = schedule[3:]
	}
	// A network that is silent without end is reset in the end.
	f.reset = time.AfterFunc(4*r.limit, func() {
		r.proxy.Resume()
		r.proxy.CutAll()
	})
	return f
}

func (f *faults) add(kind, how byte, at int64) {
	at %= 6000
	modes := []faultproxy.CutMode{faultproxy.Abort, faultproxy.Orderly, faultproxy.Blackhole}
	switch kind {
	case cutUp:
		f.cuts = append(f.cuts, f.proxy.CutAfter(faultproxy.Up, at, modes[at%3]))
	case cutDown:
		f.cuts = append(f.cuts, f.proxy.CutAfter(faultproxy.Down, at, modes[at%2]))
	case halfUp:
		f.cuts = append(f.cuts, f.proxy.CutAfter(faultproxy.Up, at, faultproxy.HalfClose))
	case halfDown:
		f.cuts = append(f.cuts, f.proxy.CutAfter(faultproxy.Down, at, faultproxy.HalfClose))
	case silenceDown:
		f.cuts = append(f.cuts, f.proxy.CutAfter(faultproxy.Down, at, faultproxy.Blackhole))
	case beforeCommit:
		f.rules = append(f.rules, f.proxy.Rule(isCommit, faultproxy.CutBefore))
	case afterCommit:
		f.rules = append(f.rules, f.proxy.Rule(isCommit, faultproxy.CutAfter))
	case commitUnanswered:
		f.rules = append(f.rules, f.proxy.Rule(isCommit, faultproxy.BlackholeReply))
	case stall:
		f.proxy.Stall([]faultproxy.Direction{faultproxy.Up, faultproxy.Down}[how%2])
	case beforeText:
		texts := []string{"savepoint", "save tran", "applock", "advisory", "insert", "rollback", "outcome"}
		actions := []faultproxy.Action{faultproxy.CutBefore, faultproxy.CutAfter, faultproxy.BlackholeReply}
		f.rules = append(f.rules, f.proxy.Rule(faultproxy.Query(texts[int(how)%len(texts)]), actions[at%3]))
	}
}

// isCommit matches COMMIT, and not a statement that mentions it.
func isCommit(m faultproxy.Message) bool {
	text := strings.ToLower(m.SQL)
	return strings.HasPrefix(text, "commit") && !strings.HasPrefix(text, "commit and chain")
}

// disarm heals the network: connections that are left are reset, so that the
// server notices.
func (f *faults) disarm() {
	f.reset.Stop()
	for _, r := range f.rules {
		r.Remove()
	}
	for _, c := range f.cuts {
		c.Remove()
	}
	f.proxy.Resume()
	f.proxy.CutAll()
}

package filelock

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/gofrs/flock"

	"github.com/lockstep-go/lockstep/dialect"
)

// model is what sessions should hold of one lock.
type model map[*Session]dialect.Mode

func (m model) allows(s *Session, mode dialect.Mode) bool {
	for other, held := range m {
		if other != s && held != 0 && !held.Compatible(mode) {
			return false
		}
	}
	return true
}

func (m model) strongest() (strongest dialect.Mode) {
	for _, held := range m {
		strongest = max(strongest, held)
	}
	return strongest
}

// TestRandomSessions has sessions take, strengthen and give back locks in random
// order, and compares them with the model and with what programs see that know
// the files alone.
func TestRandomSessions(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	names := []string{"a", "b"}
	held := map[string]model{"a": {}, "b": {}}
	sessions := make([]*Session, 4)
	for i := range sessions {
		sessions[i] = open(t, d, fmt.Sprint(i))
	}
	for range 1500 {
		i := random.IntN(len(sessions))
		s := sessions[i]
		name := names[random.IntN(len(names))]
		switch random.IntN(6) {
		case 0:
			check(t, s.Close())
			s.file = nil
			for _, name := range names {
				delete(held[name], s)
			}
			sessions[i] = open(t, d, fmt.Sprint(i))
		case 1:
			undoSome(t, random, s, held)
		default:
			mode := dialect.Mode(1 + random.IntN(3))
			want := mode <= held[name][s] || held[name].allows(s, mode)
			if got := s.takes(t, name, mode); got != want {
				t.Fatalf("%v of %s granted: %v, want %v; held %v", mode, name, got, want, held[name])
			}
			if want {
				held[name][s] = max(mode, held[name][s])
			}
		}
		wantFiles(t, d, name, held[name])
	}
}

// undoSome returns to a random point and brings the model there.
func undoSome(t *testing.T, random *rand.Rand, s *Session, held map[string]model) {
	t.Helper()
	mark := random.IntN(s.Mark() + 1)
	undone := s.grants[mark:]
	for i := len(undone) - 1; i >= 0; i-- {
		for name := range held {
			if keyOf(name) == undone[i].key {
				held[name][s] = undone[i].before
			}
		}
	}
	check(t, s.UndoTo(mark))
}

// wantFiles compares a lock's files with what is held.
func wantFiles(t *testing.T, d Dir, name string, held model) {
	t.Helper()
	strongest := held.strongest()
	readable, writable := strongest != dialect.Exclusive, strongest == 0
	for _, file := range []struct {
		path     string
		shared   bool
		want     bool
		relevant bool
	}{
		{d.File(name), true, readable, true},
		{d.File(name), false, writable, true},
		// Who holds it exclusively may hold this one as well.
		{d.File(name) + updateExt, false, strongest != dialect.Update, strongest != dialect.Exclusive},
	} {
		if _, err := os.Stat(file.path); err != nil || !file.relevant {
			continue
		}
		probe := flock.New(file.path)
		take := probe.TryLock
		if file.shared {
			take = probe.TryRLock
		}
		got, err := take()
		check(t, err)
		check(t, probe.Unlock())
		if got != file.want {
			t.Fatalf("%s: shared %v, could be locked %v, want %v; held %v", file.path, file.shared, got, file.want, held)
		}
	}
}

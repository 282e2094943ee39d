package locks_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/locks"
)

// TestRandom lets many sessions lock few resources in all ways, and looks all
// the time that no two hold what cannot be held together.
func TestRandom(t *testing.T) {
	m := locks.NewManager()
	stop := make(chan struct{})
	var watching, working sync.WaitGroup
	watching.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				checkGranted(t, m.View())
			}
		}
	})
	for session := 1; session <= 8; session++ {
		working.Go(func() { randomSession(t, m, session) })
	}
	working.Wait()
	close(stop)
	watching.Wait()
	if left := m.View(); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func randomSession(t *testing.T, m *locks.Manager, session int) {
	r := rand.New(rand.NewPCG(1, uint64(session)))
	for transaction := range 150 {
		o := locks.NewOwner(uint64(session*1000+transaction), session, false)
		mark := 0
		for range 1 + r.IntN(5) {
			ctx, cancel := context.WithCancel(context.Background())
			timeout := []time.Duration{locks.Forever, 0, time.Millisecond}[r.IntN(3)]
			if r.IntN(8) == 0 {
				time.AfterFunc(time.Duration(r.IntN(500))*time.Microsecond, cancel)
			}
			resource := named(fmt.Sprint(r.IntN(3)))
			_, err := m.Acquire(ctx, o, resource, all[r.IntN(len(all))], timeout)
			cancel()
			switch {
			case errors.Is(err, locks.ErrDeadlock):
				m.ReleaseAll(o)
			case err != nil && !errors.Is(err, locks.ErrTimeout) && !errors.Is(err, context.Canceled):
				t.Error(err)
			case r.IntN(6) == 0:
				m.Release(o, resource)
			case r.IntN(6) == 0:
				mark = m.Mark(o)
			case r.IntN(6) == 0:
				m.ReleaseSince(o, mark)
			}
		}
		m.ReleaseAll(o)
	}
}

func checkGranted(t *testing.T, view []locks.Info) {
	for i, a := range view {
		for _, b := range view[i+1:] {
			if a.Resource == b.Resource && a.Status == locks.Grant && b.Status == locks.Grant && a.Owner.Session != b.Owner.Session &&
				!locks.Compatible(a.Mode, b.Mode) {
				t.Errorf("%v held by %d in %v and by %d in %v", a.Resource.Key, a.Owner.Session, a.Mode, b.Owner.Session, b.Mode)
			}
		}
	}
}

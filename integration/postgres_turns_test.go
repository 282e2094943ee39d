package integration

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/integration/servers/serverstest"
	"github.com/lockstep-go/lockstep/uow"
)

// TestFullPoolIsShared has many units of one kind and two of the other want a pool
// of four: the many, each under a name of its own or all without locks, must leave
// the two more than what the pool would draw for them, which is one in 26.
func TestFullPoolIsShared(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ plain, locked int }{{2, 50}, {50, 2}} {
		t.Run(fmt.Sprintf("%d without locks, %d under locks", c.plain, c.locked), func(t *testing.T) {
			m, db := openPool(t, serverstest.PostgresDatabase(t))
			db.SetMaxOpenConns(4)
			db.SetMaxIdleConns(4)
			const units, share = 400, 8
			plain, locked := contend(t, m, c.plain, c.locked, units)
			if plain < units/share || locked < units/share {
				t.Errorf("%d units without locks, %d under locks: one kind starves the other", plain, locked)
			}
		})
	}
}

// contend runs so many goroutines of each kind until they have done so many units
// together, and tells how many each kind did.
func contend(t *testing.T, m *uow.Manager, plain, locked int, units int64) (ofPlain, ofLocked int64) {
	var done [2]atomic.Int64
	var all sync.WaitGroup
	for i := range plain + locked {
		kind, opts := 0, []uow.Option(nil)
		if i >= plain {
			kind, opts = 1, append(opts, applock.With(applock.Exclusive(fmt.Sprint("name ", i))))
		}
		all.Go(func() {
			for done[0].Load()+done[1].Load() < units {
				err := m.Do(t.Context(), func(ctx context.Context, u *uow.UnitOfWork) error {
					_, err := u.ExecContext(ctx, "select pg_sleep(0.01)")
					return err
				}, opts...)
				if err != nil {
					t.Error(err)
					return
				}
				done[kind].Add(1)
			}
		})
	}
	all.Wait()
	ofPlain, ofLocked = done[0].Load(), done[1].Load()
	t.Logf("%d units without locks, %d under locks", ofPlain, ofLocked)
	return ofPlain, ofLocked
}

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

// TestFullPoolIsShared has many units, each under a name of its own, and many
// without locks want a pool of four: neither kind may starve the other.
func TestFullPoolIsShared(t *testing.T) {
	t.Parallel()
	m, db := openPool(t, serverstest.PostgresDatabase(t))
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(4)
	const units, share = 300, 4
	var done [2]atomic.Int64 // without locks, and under locks
	var all sync.WaitGroup
	for i := range 40 {
		kind, opts := i%2, []uow.Option(nil)
		if kind == 1 {
			opts = append(opts, applock.With(applock.Exclusive(fmt.Sprint("name ", i))))
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
	plain, locked := done[0].Load(), done[1].Load()
	t.Logf("%d units without locks, %d under locks", plain, locked)
	if plain < units/share || locked < units/share {
		t.Errorf("%d units without locks, %d under locks: one kind starves the other", plain, locked)
	}
}

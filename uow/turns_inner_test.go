package uow

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// TestInnerUnitsAtTheGateOfOneInLine has units hold all connections but one, and
// wait with inner ones for the lock of a unit that waits for a connection.
func TestInnerUnitsAtTheGateOfOneInLine(t *testing.T) {
	t.Parallel()
	fullPool(t, 3, func(q *queue) {
		other := q.other(q.t.Context())
		lock := Locks(exclusively("a"))
		nothing := func(context.Context, *UnitOfWork) error { return nil }
		var done atomic.Int64
		begin := func(f func(ctx context.Context, u *UnitOfWork) error, opts ...Option) {
			go func() {
				if err := q.m.Do(q.t.Context(), f, opts...); err != nil {
					t.Error(err)
				}
				done.Add(1)
			}()
		}
		inner := make(chan struct{})
		for range 2 {
			begin(func(ctx context.Context, u *UnitOfWork) error {
				_, err := u.ExecContext(ctx, "select")
				<-inner
				return errors.Join(err, q.m.Do(ctx, nothing, RequiresNew(), lock))
			})
		}
		synctest.Wait()
		begin(nothing, lock)
		synctest.Wait()
		close(inner)
		synctest.Wait()
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := done.Load(); n != 3 {
			t.Errorf("%d of 3 are done", n)
		}
	})
}

// TestInnerUnitsGoBeside has a unit inside another not stand behind those in line:
// the pool draws between it and the first of them.
func TestInnerUnitsGoBeside(t *testing.T) {
	t.Parallel()
	first := 0
	for range 40 {
		fullPool(t, 2, func(q *queue) {
			holder := q.unit(q.t.Context(), "holder")
			inner := make(chan context.Context, 1)
			end, ended := make(chan struct{}), make(chan error, 1)
			go func() {
				ended <- q.m.Do(q.t.Context(), func(ctx context.Context, u *UnitOfWork) error {
					_, err := u.ExecContext(ctx, "select")
					inner <- ctx
					<-end
					return err
				})
			}()
			ctx := <-inner
			for i := range 3 {
				q.underLock(q.t.Context(), fmt.Sprint("locked-", i))
			}
			q.underLock(ctx, "inner", RequiresNew())
			q.finish(holder)
			if q.served()[1] == "inner" {
				first++
			}
			q.finishAll()
			close(end)
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
	if first == 0 {
		t.Error("an inner unit is never the next")
	}
}

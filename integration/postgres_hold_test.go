package integration

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/uow"
)

// TestPostgresHoldBesideIndex builds an index concurrently in a hold that ten
// others wait for: a waiter that held a snapshot would deadlock with it.
func TestPostgresHoldBesideIndex(t *testing.T) {
	l := newLab(t)
	holder, waiters := l.pool(2, ""), l.pool(10, "")
	done := make(chan error, 10)
	l.check(applock.Hold(l.ctx, holder, func(ctx context.Context) error {
		for range cap(done) {
			go func() {
				done <- applock.Hold(l.ctx, waiters, func(context.Context) error { return nil }, applock.Exclusive("a"))
			}()
		}
		_, err := holder.DB().ExecContext(ctx, "create index concurrently item_n on item (n)")
		return err
	}, applock.Exclusive("a")))
	for range cap(done) {
		l.check(<-done)
	}
	var valid bool
	l.check(holder.DB().GetContext(l.ctx, &valid, "select indisvalid from pg_index where indexrelid = 'item_n'::regclass"))
	if !valid {
		t.Error("the index is not valid")
	}
}

// TestPostgresHoldIdles holds a lock for longer than sessions may be idle in a
// transaction, without a sign of life in between.
func TestPostgresHoldIdles(t *testing.T) {
	l := newLab(t, "idle_in_transaction_session_timeout = 400")
	m := l.pool(2, "").With(uow.Watch(time.Hour, time.Hour))
	l.check(applock.Hold(l.ctx, m, func(ctx context.Context) error {
		time.Sleep(time.Second) // what must not happen takes its time
		return ctx.Err()
	}, applock.Exclusive("a")))
	// The limit is the next user's again.
	var limit string
	l.check(m.DB().GetContext(l.ctx, &limit, "show idle_in_transaction_session_timeout"))
	if limit != "400ms" {
		t.Errorf("the limit is %s afterwards", limit)
	}
}

// TestPostgresRollbackBesideRows rolls back while the server has hours of rows to
// send.
func TestPostgresRollbackBesideRows(t *testing.T) {
	l := newLab(t)
	m := l.pool(1, "")
	errWork := errors.New("enough")
	err := m.Do(l.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		rows, err := u.QueryContext(context.Background(), "select repeat('x', 10000), pg_sleep(0.1) from generate_series(1,100000)")
		if err != nil {
			return err
		}
		rows.Next()
		return errWork
	})
	if !errors.Is(err, errWork) || l.ctx.Err() != nil {
		t.Errorf("error %v, context %v", err, l.ctx.Err())
	}
}

// TestPostgresHoldKeepsNothingBack looks at the holder's session, at whatever
// isolation the Manager's units have.
func TestPostgresHoldKeepsNothingBack(t *testing.T) {
	l := newLab(t)
	for _, opts := range [][]uow.Option{nil, {uow.Isolation(6)}, {uow.ReadOnly()}} {
		m := l.pool(2, "").With(append(opts, uow.Label("holder"), uow.Watch(time.Millisecond, time.Minute))...)
		l.check(applock.Hold(l.ctx, m, func(ctx context.Context) error {
			time.Sleep(20 * time.Millisecond) // some signs of life
			var kept int
			err := m.DB().GetContext(ctx, &kept, `select count(*) from pg_stat_activity where application_name = 'holder' and state <> 'active'
				and (backend_xid is not null or backend_xmin is not null)`)
			if kept != 0 {
				t.Errorf("%v: the holder has a transaction id or a snapshot", opts)
			}
			return err
		}, applock.Exclusive("a")))
	}
}

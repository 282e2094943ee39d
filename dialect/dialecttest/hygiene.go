package dialecttest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/lockstep-go/lockstep/internal/faultproxy"
	"github.com/lockstep-go/lockstep/uow"
)

var hygieneCases = slices.Concat(misuseCases, leakCases, lazyCases, inputCases, statementCases)

var misuseCases = []testCase{
	{"two goroutines in one unit: the second is told and sends nothing", concurrentUse},
	{"two goroutines in a unit that hangs in the server", concurrentWhileWaiting},
	{"a unit that ends while another goroutine uses it is rolled back", endsWhileUsed},
	{"a nested scope that ends while another goroutine uses it is undone", nestedEndsWhileUsed},
	{"two goroutines that join at once: nothing is half committed", joinedAtOnce},
	{"two goroutines end one scope: one does", endedTwice},
	{"a goroutine that outlives the unit gets ErrDone", outlivesUnit},
	{"open rows at the next statement", rowsOpenAtStatement},
	{"open rows at COMMIT", rowsOpenAtCommit},
	{"open rows at ROLLBACK", rowsOpenAtRollback},
	{"open rows at the end of a nested scope", rowsOpenAtNestedEnd},
	{"a row that is never scanned does not hang the unit", rowNeverScanned},
	{"a prepared statement's rows left open do not hang the unit", preparedRowsLeftOpen},
	{"a statement beside a prepared statement's open rows does not hang", besidePreparedRows},
}

// heldStatement runs a unit that adds item 1 and whose next statement is held
// on its way to the server until release.
func (e *env) heldStatement(fn func(ctx context.Context, u *uow.UnitOfWork, held <-chan error) error) (done <-chan error, release func()) {
	e.Helper()
	proxy, db := e.proxied()
	hold := proxy.Rule(carries(bumpText), faultproxy.Hold)
	e.Cleanup(hold.Release)
	done = start(func() error {
		return e.manager(db).Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			if err := e.insert(ctx, u, 1); err != nil {
				return err
			}
			held := start(func() error { return second(u.ExecContext(ctx, bumpText)) })
			select {
			case <-hold.Fired():
			case <-ctx.Done():
			}
			return fn(ctx, u, held)
		})
	})
	return done, hold.Release
}

func concurrentUse(e *env) {
	var release func()
	ready := make(chan struct{})
	done, release := e.heldStatement(func(ctx context.Context, u *uow.UnitOfWork, held <-chan error) error {
		<-ready
		for use, err := range e.everyUse(ctx, u) {
			if !errors.Is(err, uow.ErrConcurrentUse) {
				e.Errorf("%s beside another goroutine: %v", use, err)
			}
		}
		release()
		return <-held
	})
	close(ready) // release is set now
	e.check(wait(e, "the unit", done))
	e.wantItems(1)
	e.wantN(1, 1)
}

func concurrentWhileWaiting(e *env) {
	e.store(1)
	release := e.lockItem(1)
	units := make(chan *uow.UnitOfWork, 1)
	done := start(func() error {
		return e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			units <- u
			return e.bump(ctx, u, 1)
		})
	})
	u := wait(e, "the unit", units)
	e.waitForStatements(1)
	e.wantIs(e.insert(e.ctx, u, 2), uow.ErrConcurrentUse)
	release()
	e.check(wait(e, "the unit", done))
	e.wantN(1, 1)
	e.wantItems(1)
}

func endsWhileUsed(e *env) {
	ended := make(chan struct{})
	var late error
	done, release := e.heldStatement(func(_ context.Context, u *uow.UnitOfWork, held <-chan error) error {
		go func() {
			defer close(ended)
			late = <-held
		}()
		return nil
	})
	// A connection is not given back in use: the end waits for the statement.
	select {
	case err := <-done:
		e.Fatalf("ended beside a statement under way: %v", err)
	case <-time.After(shortLimit):
	}
	release()
	e.wantIs(wait(e, "the unit", done), uow.ErrConcurrentUse)
	wait(e, "the statement", ended)
	e.check(late)
	e.wantItems()
}

func nestedEndsWhileUsed(e *env) {
	proxy, db := e.proxied()
	m := e.manager(db)
	hold := proxy.Rule(carries(bumpText), faultproxy.Hold)
	e.check(m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		var held <-chan error
		err := m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			e.check(e.insert(ctx, u, 1))
			held = start(func() error { return second(u.ExecContext(ctx, bumpText)) })
			wait(e, "the statement", hold.Fired())
			go hold.Release()
			return nil
		}, uow.Nested())
		e.wantIs(err, uow.ErrConcurrentUse)
		e.check(wait(e, "the statement's end", held))
		return e.insert(ctx, u, 2)
	}))
	e.wantItems(2)
}

// joinedAtOnce has scopes that overlap without one being inside the other.
func joinedAtOnce(e *env) {
	for _, option := range []uow.Option{uow.Required(), uow.Nested()} {
		err := e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			e.check(e.insert(ctx, u, 1))
			opened := make(chan struct{})
			ended := make(chan struct{})
			first := start(func() error {
				return e.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
					err := e.insert(ctx, u, 2)
					close(opened)
					<-ended
					return err
				}, option)
			})
			wait(e, "the first scope", opened)
			later := start(func() error {
				return e.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
					err := e.insert(ctx, u, 3)
					close(ended)
					return errors.Join(err, <-first)
				}, option)
			})
			_ = wait(e, "the later scope", later)
			return nil
		})
		if err == nil {
			e.Error("committed what overlapped")
		}
		e.wantItems()
	}
}

func endedTwice(e *env) {
	for range 20 {
		ctx, scope, err := e.m.Begin(e.ctx)
		e.check(err)
		e.check(e.insert(ctx, scope, 1))
		meet := e.meeting(2)
		commit := func() error { meet(); return scope.Commit(ctx) }
		one, other := start(commit), start(commit)
		errs := []error{wait(e, "one", one), wait(e, "the other", other)}
		if errs[0] != nil {
			errs[0], errs[1] = errs[1], errs[0]
		}
		e.check(errs[0])
		e.wantIs(errs[1], uow.ErrDone)
		e.wantItems(1)
		e.must(e.db.ExecContext(e.ctx, "delete from item"))
	}
}

func outlivesUnit(e *env) {
	ended := make(chan struct{})
	var late <-chan error
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		late = start(func() error {
			<-ended
			e.wantIs(e.m.Do(ctx, e.adds(2)), uow.ErrDone)
			return e.insert(ctx, u, 3)
		})
		return e.insert(ctx, u, 1)
	}))
	close(ended)
	e.wantIs(wait(e, "the goroutine", late), uow.ErrDone)
	e.wantItems(1)
}

// scan reads all rows as ids.
func scan(rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
}) (ids []int, err error) {
	for rows.Next() {
		var id int
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

func rowsOpenAtStatement(e *env) {
	e.store(1, 2)
	asked, db := e.traced()
	e.check(e.manager(db).Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		rows, err := u.QueryContext(ctx, "select id from item order by id")
		e.check(err)
		defer rows.Close()
		e.wantSilence(asked, func() {
			for use, err := range e.everyUse(ctx, u) {
				if !errors.Is(err, uow.ErrRowsOpen) {
					e.Errorf("%s beside open rows: %v", use, err)
				}
			}
		})
		ids, err := scan(rows) // the rows are as they were
		wantSlice(e, "ids", ids, 1, 2)
		e.check(err)
		xrows, err := u.QueryxContext(ctx, "select id from item")
		e.check(err)
		e.wantIs(e.insert(ctx, u, 3), uow.ErrRowsOpen)
		e.check(xrows.Close())
		xrow := u.QueryRowxContext(ctx, "select id from item where id = 1")
		e.wantIs(e.insert(ctx, u, 3), uow.ErrRowsOpen)
		return errors.Join(xrow.Scan(new(int)), e.insert(ctx, u, 3))
	}))
	e.wantItems(1, 2, 3)
}

// wantRowsOpen leaves rows open at the end of a unit and of the next one, whose
// verdict is errWork.
func (e *env) wantRowsOpen(leave func(ctx context.Context, u *uow.UnitOfWork)) {
	e.Helper()
	e.store(1, 2)
	m := e.manager(e.pooled(1))
	for verdict, want := range map[error]error{nil: uow.ErrRowsOpen, errWork: errWork} {
		err := wait(e, "the unit", start(func() error {
			return m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
				if err := e.insert(ctx, u, 3); err != nil {
					return err
				}
				leave(ctx, u)
				return verdict
			})
		}))
		e.wantIs(err, want)
		e.wantItems(1, 2)
	}
	e.check(m.Do(e.ctx, e.adds(4)))
	e.wantItems(1, 2, 4)
}

func rowsOpenAtCommit(e *env) {
	e.store(1)
	spy, m := e.spied(e.db)
	var rows interface{ Next() bool }
	err := m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) (err error) {
		e.check(e.insert(ctx, u, 2))
		rows, err = u.QueryContext(ctx, "select id from item")
		return err
	})
	e.wantIs(err, uow.ErrRowsOpen)
	wantSlice(e, "ends", spy.called("commit", "rollback"), "rollback")
	wantEqual(e, "rows still to be read", rows.Next(), false)
	e.wantItems(1)
}

func rowsOpenAtRollback(e *env) {
	e.wantRowsOpen(func(ctx context.Context, u *uow.UnitOfWork) {
		e.wantIs(second(u.QueryContext(ctx, "select id from item")), nil)
	})
}

func rowNeverScanned(e *env) {
	e.wantRowsOpen(func(ctx context.Context, u *uow.UnitOfWork) {
		e.wantIs(u.QueryRowxContext(ctx, "select id from item").Err(), nil)
	})
}

func rowsOpenAtNestedEnd(e *env) {
	e.store(1)
	e.check(e.m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		for verdict, want := range map[error]error{nil: uow.ErrRowsOpen, errWork: errWork} {
			err := e.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
				e.check(e.insert(ctx, u, 2))
				e.check(second(u.QueryContext(ctx, "select id from item")))
				return verdict
			}, uow.Nested())
			e.wantIs(err, want)
		}
		return e.insert(ctx, u, 3)
	}))
	e.wantItems(1, 3)
}

// preparedRowsLeftOpen has rows that the unit cannot know of, let alone close.
func preparedRowsLeftOpen(e *env) {
	e.store(1, 2)
	j, log := journaled()
	m := e.manager(e.pooled(1), uow.RollbackTimeout(shortLimit), log)
	own, cancel := e.cancellable()
	err := wait(e, "the unit", start(func() error {
		return m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			if err := e.insert(ctx, u, 3); err != nil {
				return err
			}
			stmt, err := u.PrepareContext(ctx, "select id from item")
			if err != nil {
				return err
			}
			return second(stmt.QueryContext(own))
		})
	}))
	if err == nil {
		e.Error("committed beside open rows")
	}
	wantEqual(e, "reports", len(j.lines()), 1)
	cancel() // closes the rows
	e.check(m.Do(e.ctx, e.adds(4)))
	e.wantItems(1, 2, 4)
}

// besidePreparedRows has a driver whose connection is busy with rows that the
// unit does not know of. It may wait for them, fail, or serve both.
func besidePreparedRows(e *env) {
	e.store(1, 2)
	m := e.manager(e.db, uow.RollbackTimeout(shortLimit))
	own, cancel := e.cancellable()
	err := wait(e, "the unit", start(func() error {
		return m.Do(e.ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
			stmt, err := u.PrepareContext(ctx, "select id from item")
			if err != nil {
				return err
			}
			rows, err := stmt.QueryContext(own)
			if err != nil {
				return err
			}
			err = e.insert(ctx, u, 3)
			return errors.Join(err, rows.Close(), stmt.Close())
		})
	}))
	cancel()
	if err == nil {
		e.wantItems(1, 2, 3)
	} else {
		e.wantItems(1, 2)
	}
}

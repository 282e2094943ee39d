package sqlite

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/dialect/sqlite/internal/filelock"
)

// unit is what a connection knows of the transaction of a unit of work. Its
// BEGIN and its savepoints wait for the first statement: until then only locks
// are held, and others may write.
type unit struct {
	begin    string // the statement that begins it
	readOnly bool
	idle     bool
	label    string
	limit    time.Duration // of the wait for other writers
	id       any           // stands for it
	within   []any         // those around it

	session *filelock.Session // nil until a lock is asked for
	marks   []mark            // savepoints, oldest first
	begun   bool
	open    int    // result sets that were not closed
	failed  bool   // a statement failed, and nothing was undone since
	gone    bool   // the engine has rolled the transaction back
	lost    error  // a lock was lost
	denied  string // what the statement at hand was refused for
}

// mark is a savepoint.
type mark struct {
	name  string
	locks int // what was granted before
	sent  bool
}

const (
	beginWriting = "BEGIN IMMEDIATE"
	beginReading = "BEGIN DEFERRED"
)

// writes reports whether the transaction has the database's write lock.
func (u *unit) writes() bool { return u.begun && !u.gone && u.begin == beginWriting }

// release gives the locks back.
func (u *unit) release() error {
	if u.session == nil {
		return nil
	}
	err := u.session.Close()
	u.session = nil
	return err
}

// acquire takes locks in the unit.
func (c *Conn) acquire(ctx context.Context, locks []dialect.Lock) (err error) {
	u := c.unit
	if u.session == nil {
		owner := c.place.owner()
		owner.Label = u.label
		if u.session, err = c.place.locks.Open(ctx, owner); err != nil {
			return err
		}
	}
	return u.session.Acquire(ctx, locks, u.writes())
}

// ready begins the transaction and sets its savepoints, where that has not been
// done, for a statement to follow.
func (c *Conn) ready(ctx context.Context) error {
	u := c.unit
	if u.lost == nil && u.idle && u.session != nil {
		u.lost = u.session.Intact()
	}
	switch {
	case u.lost != nil:
		return u.lost
	case u.failed || u.gone:
		// Sent now, it would be committed by itself, or with what has failed.
		return &dialect.Error{Kind: dialect.Aborted}
	}
	if err := c.start(ctx); err != nil {
		u.failed = true
		return err
	}
	return nil
}

func (c *Conn) start(ctx context.Context) error {
	u := c.unit
	if !u.begun {
		if err := c.sendBegin(ctx); err != nil {
			return err
		}
		u.begun = true
		if u.writes() {
			c.place.writer.Store(u)
		}
	}
	for i := range u.marks {
		if u.marks[i].sent {
			continue
		}
		if err := c.exec("SAVEPOINT " + u.marks[i].name); err != nil {
			return err
		}
		u.marks[i].sent = true
	}
	return nil
}

func (c *Conn) sendBegin(ctx context.Context) error {
	u := c.unit
	if u.readOnly {
		if err := c.exec("PRAGMA query_only=1"); err != nil {
			return err
		}
	}
	if u.begin != beginWriting {
		return c.exec(u.begin)
	}
	if err := c.setWait(0); err != nil {
		return err
	}
	err := c.waitToWrite(ctx)
	return errors.Join(err, c.setWait(c.busy))
}

// How long a writer pauses before it tries again, and how often it looks whether
// it waits for itself.
const (
	retryFirst    = 200 * time.Microsecond
	retryMost     = 5 * time.Millisecond
	deadlockEvery = 100 * time.Millisecond
)

// waitToWrite begins as soon as nobody else writes.
func (c *Conn) waitToWrite(ctx context.Context) (err error) {
	u := c.unit
	began, looked := time.Now(), time.Time{}
	defer func() {
		if u.session != nil {
			err = errors.Join(err, u.session.StopWaiting())
		}
	}()
	for pause := retryFirst; ; pause = min(pause*3/2, retryMost) {
		err := c.exec(u.begin)
		switch {
		case !isBusy(err):
			return err
		case c.place.writesWithin(u):
			return &dialect.Error{Kind: dialect.Deadlock, Err: err, Lasting: true,
				Detail: "the enclosing unit of work writes, and SQLite lets one at a time"}
		case time.Since(began) >= u.limit:
			return &dialect.Error{Kind: dialect.LockTimeout, Err: err, Detail: "another transaction writes"}
		}
		if u.session != nil && time.Since(looked) >= deadlockEvery {
			if err := u.session.WaitToWrite(ctx); err != nil {
				return err
			}
			looked = time.Now()
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// writesWithin reports whether who writes is a unit that waits for u.
func (p *place) writesWithin(u *unit) bool {
	writer := p.writer.Load()
	return writer != nil && writer.id != nil && slices.Contains(u.within, writer.id)
}

// sleep waits for about d. It returns ctx's error if that ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d/2 + rand.N(d/2+1))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// savepoint notes a savepoint for the next statement to set.
func (c *Conn) savepoint(name string) {
	u := c.unit
	m := mark{name: name}
	if u.session != nil {
		m.locks = u.session.Mark()
	}
	u.marks = append(u.marks, m)
}

func (u *unit) indexOf(name string) int {
	return slices.IndexFunc(u.marks, func(m mark) bool { return m.name == name })
}

// undo returns to a savepoint and removes it.
func (c *Conn) undo(name string) error {
	u := c.unit
	i := u.indexOf(name)
	switch {
	case i < 0:
		return &dialect.Error{Kind: dialect.Refused, Detail: "no such savepoint: " + name}
	case u.gone:
		return &dialect.Error{Kind: dialect.Aborted, Detail: "the engine has rolled back the whole transaction"}
	}
	if u.marks[i].sent {
		if err := c.exec("ROLLBACK TO " + name + ";RELEASE " + name); err != nil {
			return err
		}
	}
	at := u.marks[i].locks
	u.marks = u.marks[:i]
	u.failed = false
	if u.session == nil {
		return nil
	}
	return u.session.UndoTo(at)
}

// keep removes a savepoint and keeps what came after it.
func (c *Conn) keep(name string) error {
	u := c.unit
	i := u.indexOf(name)
	if i < 0 {
		return &dialect.Error{Kind: dialect.Refused, Detail: "no such savepoint: " + name}
	}
	if u.marks[i].sent {
		if err := c.exec("RELEASE " + name); err != nil {
			return err
		}
	}
	u.marks = u.marks[:i]
	return nil
}

// rollback undoes the transaction and gives the locks back.
func (c *Conn) rollback() error {
	u := c.unit
	if u.begun && !u.gone {
		if err := c.exec("ROLLBACK"); err != nil && !u.gone {
			return err
		}
	}
	return c.end()
}

// end makes the connection fit for its next user, once no transaction is open.
func (c *Conn) end() error {
	u := c.unit
	if u.readOnly {
		if err := c.exec("PRAGMA query_only=0"); err != nil {
			return err
		}
	}
	c.unit = nil
	c.place.writer.CompareAndSwap(u, nil)
	return u.release()
}

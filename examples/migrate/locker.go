package main

import (
	"context"
	"database/sql"
	"errors"

	"github.com/pressly/goose/v3/lock"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/uow"
)

// Locker makes a goose Provider run under a named lock, the same that units of
// work, applock.Hold and the program applock take by that name.
//
// goose hands over a connection and wants the lock on it. But goose runs many
// transactions, and a lock of ours lasts for one: it is held by another
// connection, in a transaction that does nothing else. That connection is
// watched. When the lock is lost, onLost is called with a *applock.LostError, to
// end the ctx that goose works with, and SessionUnlock returns it.
//
// What goose commits before the loss is noticed, within about half a second or
// after ten seconds of silence (see uow.Watch), is committed without the lock.
// The first of the steps has the database refuse that.
type Locker struct {
	m      *uow.Manager
	lock   applock.Lock
	onLost func(error)

	release chan struct{}
	ended   chan error
}

var _ lock.SessionLocker = (*Locker)(nil)

// NewLocker returns a locker for one Provider at a time. While goose waits it
// has a connection already: if m uses the same pool, there must be room for two.
func NewLocker(m *uow.Manager, lock applock.Lock, onLost func(error)) *Locker {
	return &Locker{m: m, lock: lock, onLost: onLost}
}

// errOneConnection is returned where goose would wait for itself.
var errOneConnection = errors.New("the lock needs a second connection, and the pool has room for one")

// SessionLock waits for the lock. It returns what applock.Hold does when it does
// not get it, such as a *applock.TimeoutError that names the holder.
func (l *Locker) SessionLock(ctx context.Context, _ *sql.Conn) error {
	if l.m.DB().Stats().MaxOpenConnections == 1 {
		return errOneConnection
	}
	granted := make(chan struct{})
	l.release, l.ended = make(chan struct{}), make(chan error, 1)
	go func() {
		l.ended <- applock.Hold(ctx, l.m, func(ctx context.Context) error {
			close(granted)
			stop := context.AfterFunc(ctx, func() { l.onLost(context.Cause(ctx)) })
			defer stop()
			<-l.release
			return nil
		}, l.lock)
	}()
	select {
	case <-granted:
		return nil
	case err := <-l.ended:
		return err
	}
}

// SessionUnlock frees the lock. It returns a *applock.LostError when it was lost
// before: another runner may have been at work at the same time.
func (l *Locker) SessionUnlock(context.Context, *sql.Conn) error {
	close(l.release)
	return <-l.ended
}

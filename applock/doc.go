// Package applock takes named locks inside units of work.
//
// A lock belongs to the transaction of the unit that takes it and ends with it:
// after COMMIT was acknowledged, with ROLLBACK, or with the connection. There is
// no release, so nothing can leak, and no write can be committed after its lock
// was lost.
//
//	err := m.Do(ctx, upgrade, applock.With(applock.Exclusive("tenant:42:upgrade").Wait(time.Minute)))
//
// # Declared and acquired
//
// Locks declared by With are held before the unit's first statement. They are
// taken in one order whatever the caller's, so units that declare their locks
// never deadlock with each other, and those of one process wait for a name in
// line, without a connection. Prefer it. Acquire takes locks later, straight from
// the server, which ends a deadlock by failing one unit with ErrDeadlock.
//
// # Modes
//
// Shared locks of a name go together. Exclusive goes with none. Update is for
// those who read first and write later: it goes with Shared, but not with
// another Update, so that two of them never wait for each other's reading to end
// when both ask for Exclusive.
//
// # Names
//
// A name is non-empty valid UTF-8 without NUL, of any length, compared byte by
// byte. Programs in other languages can take the same lock; the dialect's
// documentation tells how.
package applock

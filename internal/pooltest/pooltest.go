// Package pooltest checks in tests that a pool has all its connections back.
package pooltest

import (
	"database/sql"
	"testing"
	"time"
)

// patience is how long a connection may be on its way. Nothing waits that long
// unless one has leaked.
const patience = 10 * time.Second

// Pool is what a *sql.DB or *sqlx.DB tells of itself.
type Pool interface {
	// Stats tells how many connections are in use, among others.
	Stats() sql.DBStats
}

// WantAllBack reports an error unless every connection of the pool comes back.
//
// It does not look just once: database/sql counts a connection as in use from the
// moment it decides to open it, and where a pool is limited it opens some for
// callers who meanwhile take one that others gave back.
func WantAllBack(tb testing.TB, db Pool) {
	tb.Helper()
	deadline := time.Now().Add(patience)
	for db.Stats().InUse != 0 {
		if time.Now().After(deadline) {
			tb.Errorf("%d connections leaked", db.Stats().InUse)
			return
		}
		time.Sleep(time.Millisecond)
	}
}

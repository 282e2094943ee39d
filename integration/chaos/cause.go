package chaos

import (
	"context"
	"errors"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/uow"
)

// causes of what was not committed, as tables name them.
const (
	causePlanned    = "planned"
	causeSwallowed  = "failure swallowed"
	causeContext    = "context ended"
	causeDeadlock   = "deadlock"
	causeTimeout    = "lock not granted in time"
	causeSerial     = "serialization failure"
	causeIdle       = "idle too long"
	causeLost       = "connection lost"
	causeDoubt      = "answer to COMMIT lost"
	causeNoServer   = "no connection"
	causeNoLocks    = "out of lock memory"
	causeCancelled  = "statement cancelled"
	causeUnresolved = "unresolvable"
	causeExhausted  = "pool exhausted"
	causeReadOnly   = "read-only"
	causeOther      = "other"
)

// causeOf tells why a unit was not committed, "" if it was.
func causeOf(err error) string {
	if err == nil {
		return ""
	}
	if errors.As(err, new(*applock.LostError)) {
		return causeLost // whatever its watch met
	}
	var doubt *uow.InDoubtError
	if errors.As(err, &doubt) {
		return causeDoubt
	}
	// The first that matches, for one error may have several.
	for _, candidate := range []struct {
		target error
		cause  string
	}{
		{dialect.Deadlock, causeDeadlock},
		{dialect.LockTimeout, causeTimeout},
		{dialect.Serialization, causeSerial},
		{dialect.IdleTimeout, causeIdle},
		{dialect.OutOfLocks, causeNoLocks},
		{context.Canceled, causeContext},
		{context.DeadlineExceeded, causeContext},
		{dialect.ConnectionLost, causeLost},
		{dialect.Unavailable, causeNoServer},
		{dialect.Cancelled, causeCancelled},
		{dialect.Unresolvable, causeUnresolved},
		{dialect.ReadOnly, causeReadOnly},
		{uow.ErrPoolExhausted, causeExhausted},
		{errPlanned, causePlanned},
	} {
		if errors.Is(err, candidate.target) {
			return candidate.cause
		}
	}
	var swallowed *uow.UnexpectedRollbackError
	if errors.As(err, &swallowed) {
		return causeSwallowed
	}
	return causeOther
}

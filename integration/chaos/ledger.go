package chaos

import (
	"sync"
	"time"
)

// The faults, as tables name them.
const (
	faultCancelContext = "ctx of a unit cancelled"
	faultStarve        = "connection pool starved"
	faultDeadlock      = "deadlock"
	faultKill          = "worker killed (SIGKILL)"
	faultFreeze        = "worker stopped for a while (SIGSTOP)"
	faultTerminate     = "session ended by an administrator"
	faultInterrupt     = "statement cancelled by an administrator"
	faultCut           = "connection cut at a random byte"
	faultHalfCut       = "one direction of a connection cut"
	faultSilence       = "one direction of a connection gone silent"
	faultCommitUnsent  = "connection cut before COMMIT"
	faultCommitLost    = "connection cut after COMMIT, answer lost"
	faultCommitSilent  = "answer to COMMIT swallowed"
	faultLockLost      = "connection cut after a lock was granted"
	faultStall         = "network stalled"
	faultRefuse        = "connections refused"
	faultCrowd         = "locks asked for beyond the server's memory"
	faultVictim        = "chosen as a deadlock's victim (1205)"
	faultLockMemory    = "no memory for locks (1204)"
	faultKillAtCommit  = "worker killed at COMMIT (SIGKILL)"
	faultPoolerDown    = "PgBouncer went down by itself"
	faultCrash         = "server crashed and restarted"
	faultPooler        = "PgBouncer restarted"
	faultFailover      = "primary crashed, standby promoted"
)

// fault is something that was done.
type fault struct {
	kind     string
	from, to time.Time
	worker   int    // whose connections or process it met; 0 means all
	process  string // the process that it ended, if it did
	unit     string // which unit it met, where that is known
}

// ledger lists the faults that were done.
type ledger struct {
	mu     sync.Mutex
	faults []fault
}

func (l *ledger) add(f fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = append(l.faults, f)
}

func (l *ledger) all() []fault {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.faults
}

package locks

import "sync/atomic"

// Kind is what a resource is.
type Kind uint8

// The kinds of resources.
const (
	Application Kind = iota
	Database
	Object
	Key
	Row
	Metadata
)

var kindNames = [...]string{"APPLICATION", "DATABASE", "OBJECT", "KEY", "RID", "METADATA"}

// String returns the kind as sys.dm_tran_locks shows it.
func (k Kind) String() string { return kindNames[k] }

// Resource is what is locked. Two are the same lock if they are equal.
type Resource struct {
	Kind     Kind
	Database int
	Object   int64
	Key      string
}

// Owner holds locks: a transaction or a session. The locks of one session do
// not conflict, whichever of its owners holds them.
type Owner struct {
	ID      uint64
	Session int
	Shared  bool // owned by the session rather than by a transaction

	// Cost and Priority choose the victim of a deadlock: the lowest priority,
	// then the lowest cost.
	Cost     atomic.Int64
	Priority atomic.Int32

	held map[Resource]*request
	next int // place of the next grant
}

// NewOwner returns an owner without locks.
func NewOwner(id uint64, session int, shared bool) *Owner {
	return &Owner{ID: id, Session: session, Shared: shared, held: map[Resource]*request{}}
}

// request is one owner's interest in one resource: granted, waiting, or granted
// and waiting for a stronger mode.
type request struct {
	owner *Owner
	lock  *lock
	mode  Mode // granted, None while a newcomer waits
	want  Mode // None unless it waits
	count int
	place int // among all grants that owner ever had
	// answer receives the end of a wait: nil, or ErrDeadlock.
	answer chan error
}

func (r *request) converting() bool { return r.mode != None && r.want != None }

// lock is the state of one resource.
type lock struct {
	resource Resource
	granted  []*request
	// waiting holds conversions first, then newcomers in their order.
	waiting []*request
}

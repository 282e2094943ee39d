package engine

import (
	"errors"
	"strings"
	"time"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/locks"
)

// appLockSteps is the reply to sp_getapplock with an explicit timeout, as its
// text on the server makes it: true is a SELECT of one row, false an IF, except
// for the last but one, which is an EXEC.
var appLockSteps = []bool{true, false, true, false, false, true, false, false, true}

const (
	appLockWait  = 6 // a wait adds a SELECT before this step
	appLockInner = 7 // the EXEC
)

var appLockModes = map[string]locks.Mode{
	"intentshared": locks.IS, "shared": locks.S, "update": locks.U, "intentexclusive": locks.IX, "exclusive": locks.X,
}

// appLockResource is the key of an application lock: exact, in UTF-16 units.
func appLockResource(d *database, principal int, resource string) locks.Resource {
	return locks.Resource{Kind: locks.Application, Database: d.id, Object: int64(principal), Key: sliceUTF16(resource, 255)}
}

// sliceUTF16 returns the first n UTF-16 units, two bytes each, for a cut may
// leave half a pair.
func sliceUTF16(s string, n int) string {
	b := utf16Bytes(s)
	return string(b[:min(len(b), 2*n)])
}

// appLockCall is a call of one of the two procedures.
type appLockCall struct {
	resource, mode, owner, principal value
	timeout                          value
}

// optional marks parameters that may be left out.
type appLockParameter struct {
	name     string
	into     *value
	required bool
}

func bindAppLock(procedure string, params []appLockParameter, args []argument) error {
	if len(args) > len(params) {
		return fault(8144, "Procedure or function %s has too many arguments specified.", procedure)
	}
	for i, p := range params {
		a := find(args, i, p.name)
		if a == nil || a.preset {
			if p.required && a == nil {
				return fault(201, "Procedure or function '%s' expects parameter '%s', which was not supplied.", procedure, p.name)
			}
			continue
		}
		v, err := convert(a.value.v, a.value.typ, p.into.typ, 0)
		if err != nil {
			return err
		}
		p.into.v = v
	}
	for _, a := range args {
		known := a.name == ""
		for _, p := range params {
			known = known || sameName(a.name, p.name)
		}
		if !known {
			return fault(8145, "%s is not a parameter for procedure %s.", a.name, procedure)
		}
	}
	return nil
}

func newAppLockCall() *appLockCall {
	return &appLockCall{
		resource: value{typ: nvarchar(-1)}, mode: value{typ: Type{Kind: VarChar, Size: 32}},
		owner: value{Type{Kind: VarChar, Size: 32}, "Transaction"}, principal: value{typeSysName, "public"},
		timeout: value{typ: typeInt},
	}
}

// appLockOwner finds the owner, or tells the client why there is none.
func (x *exec) appLockOwner(c *appLockCall) *locks.Owner {
	owner, _ := c.owner.v.(string)
	switch strings.ToLower(owner) {
	case "session":
		return x.s.owner
	case "transaction":
		if x.s.tran == nil {
			x.info(15626, 1, "You attempted to acquire a transactional application lock without an active transaction.")
			return nil
		}
		return x.s.tran.owner
	}
	x.info(15625, 1, "Option '"+owner+"' not recognized for '@LockOwner' parameter.")
	return nil
}

// appLockTarget checks the rest of a call's arguments, in the server's order.
func (x *exec) appLockTarget(c *appLockCall) (locks.Resource, *failure) {
	resource, named := c.resource.v.(string)
	principal, given := c.principal.v.(string)
	id, known := x.principal(principal)
	var f *failure
	switch {
	case c.timeout.v != nil && toInt(c.timeout.v) < -1:
		f = fault(1227, "An invalid application lock time-out was passed to xp_userlock.")
	case !named:
		f = fault(1224, "An invalid application lock resource was passed to xp_userlock.")
	case !given:
		f = fault(1230, "An invalid database principal was passed to xp_userlock.")
	case !known:
		f = fault(1202, "The database principal '%s' does not exist, or user is not a member.", principal)
	}
	return appLockResource(x.s.db, id, resource), f
}

func (x *exec) principal(name string) (id int, known bool) {
	x.server.data.Lock()
	defer x.server.data.Unlock()
	id, known = x.s.db.users[foldName(name)]
	return id, known
}

const badCall = -999

// getAppLock is sp_getapplock.
func (x *exec) getAppLock(args []argument) (int32, error) {
	c := newAppLockCall()
	err := bindAppLock("sp_getapplock", []appLockParameter{
		{"@Resource", &c.resource, true}, {"@LockMode", &c.mode, true}, {"@LockOwner", &c.owner, false},
		{"@LockTimeout", &c.timeout, false}, {"@DbPrincipal", &c.principal, false},
	}, args)
	if err != nil {
		return 0, err
	}
	return x.systemProcedure("sp_getapplock", func() (int32, error) {
		written, _ := c.mode.v.(string)
		mode, ok := appLockModes[strings.ToLower(written)]
		if !ok {
			x.info(15625, 1, "Option '"+written+"' not recognized for '@LockMode' parameter.")
			return badCall, nil
		}
		owner := x.appLockOwner(c)
		if owner == nil {
			return badCall, nil
		}
		target, f := x.appLockTarget(c)
		if f != nil {
			return x.appLockRefused(f)
		}
		timeout := x.s.options.lockTimeout
		if c.timeout.v != nil {
			timeout = time.Duration(toInt(c.timeout.v)) * time.Millisecond
			if timeout < 0 {
				timeout = locks.Forever
			}
		}
		return x.takeAppLock(owner, target, mode, timeout)
	})
}

// systemProcedure runs the body of a procedure of the server itself.
func (x *exec) systemProcedure(name string, body func() (int32, error)) (status int32, err error) {
	_, err = x.inScope(name, func(*scope) error { return nil }, func() error {
		var err error
		status, err = body()
		return err
	})
	return status, err
}

// appLockRefused raises an error whose statement alone ends, so that the
// procedure returns a status.
func (x *exec) appLockRefused(f *failure) (int32, error) {
	_, err := x.failed(f)
	return badCall, err
}

func (x *exec) takeAppLock(o *locks.Owner, r locks.Resource, mode locks.Mode, timeout time.Duration) (int32, error) {
	waited, err := x.server.locks.Acquire(x.ctx, o, r, mode, timeout)
	status := int32(0)
	switch {
	case err == nil && waited:
		status = 1
	case errors.Is(err, locks.ErrTimeout):
		status = -1
	case errors.Is(err, locks.ErrDeadlock):
		status = -3
	case err != nil:
		return 0, x.interrupted()
	}
	x.appLockReply(waited)
	return status, nil
}

func (x *exec) appLockReply(waited bool) {
	for i, counts := range appLockSteps {
		if i == appLockWait && waited {
			x.counted(cmdSelect, 1, false)
		}
		switch {
		case counts:
			x.counted(cmdSelect, 1, false)
		case i == appLockInner:
			x.ended(cmdExec)
		default:
			x.ended(cmdIf)
		}
	}
}

// releaseAppLock is sp_releaseapplock.
func (x *exec) releaseAppLock(args []argument) (int32, error) {
	c := newAppLockCall()
	err := bindAppLock("sp_releaseapplock", []appLockParameter{
		{"@Resource", &c.resource, true}, {"@LockOwner", &c.owner, false}, {"@DbPrincipal", &c.principal, false},
	}, args)
	if err != nil {
		return 0, err
	}
	return x.systemProcedure("sp_releaseapplock", func() (int32, error) {
		owner := x.appLockOwner(c)
		if owner == nil {
			return badCall, nil
		}
		target, f := x.appLockTarget(c)
		if f == nil && !x.server.locks.Release(owner, target) {
			f = fault(1223, "Cannot release the application lock (Database Principal: '%v', Resource: '%v') because it is not currently held.",
				c.principal.v, c.resource.v)
		}
		if f != nil {
			return x.appLockRefused(f)
		}
		x.ended(cmdExec)
		return 0, nil
	})
}

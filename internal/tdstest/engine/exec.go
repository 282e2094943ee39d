package engine

import (
	"context"
	"errors"
	"slices"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/locks"
	"github.com/lockstep-go/lockstep/internal/tdstest/engine/tsql"
)

// exec runs one request.
type exec struct {
	s      *Session
	server *Server
	ctx    context.Context
	out    *reply
	scope  *scope
	tries  []*scope   // the scopes of the TRY blocks around
	caught []*failure // what the CATCH blocks around handle
	line   int

	// cur is the transaction of the statement that runs; held are the locks
	// that end with the statement.
	cur  *transaction
	held []locks.Resource
	// statementStamp is what a statement under READ_COMMITTED_SNAPSHOT sees.
	statementStamp uint64
}

// scope is a batch or a procedure.
type scope struct {
	variables map[string]*value
	tables    map[string]*table
	procedure string
	level     int
	status    int32
	caller    *scope
}

// value is a variable.
type value struct {
	typ Type
	v   any
}

func newScope(procedure string, caller *scope) *scope {
	s := &scope{variables: map[string]*value{}, tables: map[string]*table{}, procedure: procedure, caller: caller}
	if caller != nil {
		s.level = caller.level + 1
	}
	return s
}

// signal is how a statement makes the flow leave its order.
type signal struct {
	kind  signalKind
	label string
}

type signalKind uint8

const (
	next signalKind = iota
	breaks
	continues
	returns
	jumps
)

func (x *exec) interrupted() error {
	if x.ctx.Err() == nil {
		return nil
	}
	return &interruption{context.Cause(x.ctx), x.s.options.xactAbort}
}

// batch parses and runs a batch at the top.
func (x *exec) batch(sql string) error {
	nodes, err := x.parse(sql)
	if err != nil {
		return err
	}
	_, err = x.run(nodes)
	if errors.Is(err, errScopeEnded) || errors.Is(err, errBatchEnded) {
		return nil
	}
	return err
}

// parse reads SQL; an error has been dealt with as one of the present scope.
func (x *exec) parse(sql string) ([]tsql.Node, error) {
	nodes, err := tsql.Parse(sql)
	if err == nil {
		return nodes, nil
	}
	e := err.(*tsql.Error)
	f := fault(e.Number, "%s", e.Text)
	f.effect = endsCompile
	f.Line = int32(e.Line)
	_, err = x.failed(f)
	return nil, err
}

// run runs statements in order.
func (x *exec) run(nodes []tsql.Node) (signal, error) {
	for i := 0; i < len(nodes); i++ {
		sig, err := x.one(nodes[i])
		if err != nil {
			return sig, err
		}
		if sig.kind == jumps {
			if at := findLabel(nodes, sig.label); at >= 0 {
				i = at
				continue
			}
		}
		if sig.kind != next {
			return sig, nil
		}
	}
	return signal{}, nil
}

func findLabel(nodes []tsql.Node, label string) int {
	return slices.IndexFunc(nodes, func(n tsql.Node) bool {
		l, ok := n.Statement.(*tsql.Label)
		return ok && sameName(l.Name, label)
	})
}

// one runs a statement and deals with its error.
func (x *exec) one(n tsql.Node) (signal, error) {
	if err := x.interrupted(); err != nil {
		return signal{}, err
	}
	x.line = n.Line
	sig, err := x.dispatch(n.Statement)
	if f := (*failure)(nil); errors.As(err, &f) {
		return x.failed(f)
	}
	if err == nil && setsError(n.Statement) {
		x.s.lastError = 0
	}
	return sig, err
}

// setsError tells statements that reset @@ERROR when they succeed from those
// that only control others.
func setsError(s tsql.Statement) bool {
	switch s.(type) {
	case *tsql.If, *tsql.While, *tsql.Block, *tsql.Try, *tsql.Execute, *tsql.RaiseError, *tsql.Label, *tsql.Goto:
		return false
	}
	return true
}

// catchable reports whether a TRY block around can handle f. Errors that end
// their scope are handled by callers alone.
func (x *exec) catchable(f *failure) bool {
	if f.Class >= 20 {
		return false
	}
	return slices.ContainsFunc(x.tries, func(s *scope) bool { return f.handledIn(s) })
}

func (f *failure) handledIn(s *scope) bool {
	return f.scope != s || f.effect != endsScope && f.effect != endsCompile
}

// failed decides what becomes of an error: it goes to a TRY block around, or
// the client is told and the statement, scope or batch ends. The error it
// returns is nil when the next statement is to run.
func (x *exec) failed(f *failure) (signal, error) {
	if f.scope != nil { // decided before
		return signal{}, f
	}
	f.scope = x.scope
	if f.Line == 0 {
		f.Line = int32(x.line)
	}
	if f.Procedure == "" {
		f.Procedure = x.scope.procedure
	}
	x.s.lastError, x.s.lastRows = f.Number, 0
	aborts := f.effect == endsTransaction || x.s.options.xactAbort && !f.exempt && f.effect != endsCompile
	if x.catchable(f) {
		if aborts && x.s.tran != nil {
			x.s.tran.doomed = true
		}
		return signal{}, f
	}
	if f.before != nil {
		x.out.token().Message(*f.before)
	}
	x.out.token().Message(f.Message)
	if f.write && !aborts && f.effect == endsStatement {
		x.info(3621, 0, "The statement has been terminated.")
	}
	if aborts && x.s.tran != nil {
		x.rollBackAll()
	}
	x.out.done(StatusError, cmdError, 0)
	if f.Class >= 20 {
		x.s.end(ErrKilled)
	}
	switch {
	case aborts, f.effect == endsBatch, f.Class >= 20:
		return signal{}, errBatchEnded
	case f.effect == endsScope, f.effect == endsCompile:
		return signal{}, errScopeEnded
	}
	return signal{}, nil
}

// rollBackAll ends the transaction and tells the client.
func (x *exec) rollBackAll() {
	d := x.s.endTransaction(false)
	x.out.token().Transaction(RolledBack, d)
}

// info tells the client something that is no error.
func (x *exec) info(number int32, state uint8, text string) {
	x.out.token().Message(Message{Number: number, State: state, Text: text, Procedure: x.scope.procedure, Line: int32(x.line)})
}

// ended tells that a statement is over which counts no rows.
func (x *exec) ended(command uint16) {
	if !x.s.options.nocount {
		x.out.done(0, command, 0)
	}
}

// counted tells that a statement is over which counted rows. With NOCOUNT only
// a result tells its end, without the count.
func (x *exec) counted(command uint16, rows int64, result bool) {
	x.s.lastRows = rows
	switch {
	case !x.s.options.nocount:
		x.out.done(StatusCount, command, uint64(rows))
	case result:
		x.out.done(0, command, 0)
	}
}

// atomically runs f in the session's transaction, or in one of its own, and
// undoes its work if it fails.
func (x *exec) atomically(f func() error) error {
	if x.cur != nil {
		return f()
	}
	if x.s.options.implicit && x.s.tran == nil {
		x.s.beginTransaction("")
		x.out.token().Transaction(Began, x.s.tran.descriptor)
	}
	t := x.s.tran
	own := t == nil
	if own {
		t = x.server.newTransaction(x.s.id, x.s.isolation, "")
	}
	x.cur, x.statementStamp = t, 0
	start := t.here()
	err := f()
	if err != nil {
		x.server.undoTo(t, start)
	}
	for _, r := range x.held {
		x.server.locks.Release(t.owner, r)
	}
	x.cur, x.held = nil, nil
	if x.statementStamp != 0 {
		x.server.forgetSnapshot(t)
	}
	if own {
		x.server.finish(t, err == nil)
	}
	return err
}

// writable fails when the transaction is past writing.
func (x *exec) writable() error {
	if x.s.tran != nil && x.s.tran.doomed {
		return doomed()
	}
	return nil
}

func doomed() *failure {
	return fault(3930, "The current transaction cannot be committed and cannot support operations that write to the log file. "+
		"Roll back the transaction.")
}

// lock takes a lock for the running statement's transaction.
func (x *exec) lock(r locks.Resource, mode locks.Mode) error {
	_, err := x.server.locks.Acquire(x.ctx, x.cur.owner, r, mode, x.s.options.lockTimeout)
	return x.lockFailure(err)
}

func (x *exec) lockFailure(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, locks.ErrTimeout):
		return fault(1222, "Lock request time out period exceeded.")
	case errors.Is(err, locks.ErrDeadlock):
		return fault(1205, "Transaction (Process ID %d) was deadlocked on lock resources with another process "+
			"and has been chosen as the deadlock victim. Rerun the transaction.", x.s.id)
	}
	return x.interrupted()
}

// lockBriefly takes a lock until the statement ends.
func (x *exec) lockBriefly(r locks.Resource, mode locks.Mode) error {
	if err := x.lock(r, mode); err != nil {
		return err
	}
	x.held = append(x.held, r)
	return nil
}

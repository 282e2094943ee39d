package engine

import (
	"context"
	"errors"
)

// Batch runs a SQL batch. When ctx ends with ErrAttention as its cause, the
// reply ends with a Done that has StatusError and no error message; the
// acknowledgement of the attention is the caller's.
func (s *Session) Batch(ctx context.Context, sql string, out Tokens) {
	s.request(ctx, out, "BATCH", func(x *exec) error { return x.batch(sql) })
}

// Call runs a procedure by its name, as an RPC request does.
func (s *Session) Call(ctx context.Context, proc string, params []Param, out Tokens) {
	s.request(ctx, out, "EXECUTE", func(x *exec) error { return x.remote(proc, params) })
}

// Begin begins a transaction on the transaction manager's request. isolation
// is 0 for no change, then as Isolation; it persists on the session.
func (s *Session) Begin(ctx context.Context, isolation uint8, name string, out Tokens) {
	s.request(ctx, out, "BEGIN TRANSACTION", func(x *exec) error {
		if isolation != 0 {
			s.isolation = Isolation(isolation)
		}
		return x.manage(func() error { return x.begin(name) })
	})
}

// Commit commits on the transaction manager's request.
func (s *Session) Commit(ctx context.Context, out Tokens) {
	s.request(ctx, out, "COMMIT TRANSACTION", func(x *exec) error { return x.manage(x.commit) })
}

// Rollback rolls back on the transaction manager's request: everything, or to
// the savepoint name.
func (s *Session) Rollback(ctx context.Context, name string, out Tokens) {
	s.request(ctx, out, "ROLLBACK TRANSACTION", func(x *exec) error {
		return x.manage(func() error { return x.rollback(name) })
	})
}

// Save sets a savepoint on the transaction manager's request.
func (s *Session) Save(ctx context.Context, name string, out Tokens) {
	s.request(ctx, out, "SAVE TRANSACTION", func(x *exec) error {
		return x.manage(func() error { return x.save(name) })
	})
}

// interruption is how a request ends when its context does.
type interruption struct {
	cause error
	abort bool // XACT_ABORT was ON
}

func (i *interruption) Error() string { return "interrupted: " + i.cause.Error() }

// Ends that the client has been told of.
var (
	errScopeEnded = errors.New("the scope has ended")
	errBatchEnded = errors.New("the batch has ended")
)

func (s *Session) request(ctx context.Context, out Tokens, command string, run func(*exec) error) {
	s.running.Lock()
	defer s.running.Unlock()
	if s.closed {
		out.Done(Done, StatusError|StatusSrvError, cmdError, 0)
		return
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.life, func() { cancel(context.Cause(s.life)) })()
	x := &exec{s: s, server: s.server, ctx: ctx, out: &reply{out: out}, scope: newScope("", nil)}
	s.publish(command, true)
	err := x.interrupted()
	if err == nil {
		err = run(x)
	}
	if i := (*interruption)(nil); errors.As(err, &i) {
		x.interrupt(i)
	} else {
		x.checkCommittable()
	}
	x.out.finishBatch()
	s.publish("AWAITING COMMAND", false)
}

// interrupt ends the reply of a request whose context ended.
func (x *exec) interrupt(i *interruption) {
	x.out.depth = 0
	if errors.Is(i.cause, ErrKilled) {
		x.out.token().Message(Message{Number: 596, State: 1, Class: 21,
			Text: "Cannot continue the execution because the session is in the kill state."})
		x.out.done(StatusError|StatusSrvError, cmdError, 0)
		return
	}
	if x.s.tran != nil && (i.abort || x.s.tran.doomed) {
		x.rollBackAll()
	}
	x.out.done(StatusError, cmdError, 0)
}

// checkCommittable ends a transaction that nothing but a rollback can end, at
// the end of the request.
func (x *exec) checkCommittable() {
	if x.s.tran == nil || !x.s.tran.doomed {
		return
	}
	x.out.depth = 0
	x.out.token().Message(fault(3998, "Uncommittable transaction is detected at the end of the batch. The transaction is rolled back.").Message)
	x.rollBackAll()
	x.out.done(StatusError, cmdError, 0)
}

// manage runs a request of the transaction manager.
func (x *exec) manage(f func() error) error {
	err := f()
	if f := (*failure)(nil); errors.As(err, &f) {
		_, err = x.failed(f)
	}
	return err
}

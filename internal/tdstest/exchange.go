package tdstest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine"
)

// answer serves one request. An error ends the connection.
func (c *connection) answer(next incoming) error {
	request, err := parseRequest(next.message)
	var unsupported *unsupportedError
	if err != nil && !errors.As(err, &unsupported) {
		return err
	}
	request.Connection, request.Session = c.stats.ID, c.session.ID()
	c.server.observe(c.stats, request)
	fault := c.server.claim(request)
	wait(next.ctx, fault.HoldRun, fault.DelayRun)
	switch {
	case fault.Kill:
		c.server.backend.kill(c.session.ID())
		return engine.ErrKilled
	case fault.Cut == CutBeforeRun:
		return errCut
	}
	out := c.newReply(next.ctx, fault)
	switch {
	case unsupported != nil:
		out.fail(engine.Done, c.inTransaction(), simulatorError(unsupported))
	case c.reset(request, out) && c.admit(request, out):
		c.run(next.ctx, request, fault, out)
	}
	return c.conclude(fault, out)
}

// wait ends early with the request.
func wait(ctx context.Context, hold <-chan struct{}, delay time.Duration) {
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
		}
	}
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
}

func (c *connection) newReply(ctx context.Context, fault Fault) *reply {
	w := newReplyWriter(c.socket, c.packetSize, c.session.ID())
	w.before = func() { wait(ctx, fault.HoldReply, fault.DelayReply) }
	switch fault.Cut {
	case CutBeforeReply:
		w.budget = 0
	case CutInReply:
		w.budget = max(fault.CutAt, 0)
	}
	return &reply{writer: w, database: &c.database}
}

// reset honours the reset bits and reports whether the request may go on.
func (c *connection) reset(r Request, out *reply) bool {
	keeper, canKeep := c.session.(transactionKeeper)
	switch {
	case !r.Reset:
		return true
	case !r.KeepTransaction || c.session.Descriptor() == 0:
		c.session.Reset()
	case canKeep:
		keeper.ResetKeepingTransaction()
	default:
		out.fail(engine.Done, c.inTransaction(), simulatorError(&unsupportedError{what: "the reset that keeps an open transaction"}))
		return false
	}
	c.database = c.home
	out.resetDone()
	return true
}

// admit checks the transaction descriptor and reports whether the request may
// go on.
func (c *connection) admit(r Request, out *reply) bool {
	switch open := c.session.Descriptor(); r.Descriptor {
	case open:
		return true
	case 0:
		out.fail(engine.Done, c.inTransaction(), engine.Message{Number: 3989, State: 1, Class: 16,
			Text: "New request is not allowed to start because it should come with valid transaction descriptor."})
	default:
		out.fail(engine.Done, c.inTransaction(),
			engine.Message{Number: 3926, State: 1, Class: 10,
				Text: "The transaction active in this session has been committed or aborted by another session."},
			engine.Message{Number: 3971, State: 1, Class: 16,
				Text: fmt.Sprintf("The server failed to resume the transaction. Desc:%x.", r.Descriptor)})
	}
	return false
}

func (c *connection) inTransaction() uint16 {
	if c.session.Descriptor() != 0 {
		return engine.StatusInXact
	}
	return 0
}

func (c *connection) run(ctx context.Context, r Request, fault Fault, out *reply) {
	if fault.Rollback && c.session.Descriptor() != 0 {
		c.session.Rollback(context.WithoutCancel(ctx), "", changesOnly{out})
	}
	if len(fault.Errors) > 0 {
		kind := engine.Done
		if r.Kind == KindRPC {
			kind = engine.DoneProc
		}
		out.fail(kind, c.inTransaction(), fault.Errors...)
		return
	}
	c.dispatch(ctx, r, out)
	if r.next != nil && out.held != nil && out.held.status&engine.StatusError == 0 {
		out.held.status |= engine.StatusMore
		c.dispatch(ctx, *r.next, out)
	}
}

func (c *connection) dispatch(ctx context.Context, r Request, out *reply) {
	switch {
	case r.Kind == KindBatch:
		c.session.Batch(ctx, r.Text, out)
	case r.Kind == KindRPC:
		c.session.Call(ctx, r.Procedure, r.Params, out)
	case r.Operation == OperationBegin:
		c.session.Begin(ctx, r.Isolation, r.Name, out)
	case r.Operation == OperationCommit:
		c.session.Commit(ctx, out)
	case r.Operation == OperationRollback:
		c.session.Rollback(ctx, r.Name, out)
	case r.Operation == OperationSave:
		c.session.Save(ctx, r.Name, out)
	}
}

// conclude sends the end of the reply, unless the session was killed: then the
// client hears no more, but for an error that says so.
func (c *connection) conclude(fault Fault, out *reply) error {
	for range fault.Trailing {
		if out.held != nil {
			out.held.status |= engine.StatusMore
		}
		out.Done(engine.Done, engine.StatusCount, commandSelect, 0)
	}
	if fault.ServerError && out.held != nil {
		out.held.status |= engine.StatusError | engine.StatusSrvError
	}
	killed := false
	select {
	case <-c.session.Done():
		killed = true
	default:
	}
	if killed && !out.fatal {
		return engine.ErrKilled
	}
	err := out.finish()
	switch {
	case err != nil:
		return err
	case fault.Cut != CutNever:
		return errCut
	case killed:
		return engine.ErrKilled
	case out.fatal:
		return errFatal
	}
	return nil
}

func simulatorError(err error) engine.Message {
	return engine.Message{Number: 50000, State: 1, Class: 16, Text: err.Error()}
}

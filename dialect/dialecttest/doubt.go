package dialecttest

import (
	"context"
	"errors"
	"time"

	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/internal/faultproxy"
	"github.com/lockstep-go/lockstep/uow"
)

// commitTimesOut holds COMMIT back: a resolver may end the transaction, or wait
// for it. What it says in the end must be so.
func commitTimesOut(e *env) {
	doubt, rule := e.wantCommitTimeout(faultproxy.Hold)
	ctx, cancel := context.WithTimeout(e.ctx, 2*time.Second)
	defer cancel()
	outcome, err := doubt.Resolve(ctx)
	rule.Release()
	if err != nil && ctx.Err() != nil {
		wantEqual(e, "outcome while the transaction is open", outcome, uow.InDoubt)
		outcome, err = doubt.Resolve(e.ctx)
	}
	if !e.answered(outcome, err) {
		return
	}
	if outcome == uow.Committed {
		e.wantItems(1)
		return
	}
	wantEqual(e, "outcome", outcome, uow.RolledBack)
	e.wantItems()
}

func commitReplyTimesOut(e *env) {
	doubt, rule := e.wantCommitTimeout(faultproxy.BlackholeReply)
	wait(e, "the server's answer", rule.Answered())
	e.wantItems(1)
	e.wantResolved(doubt, uow.Committed)
}

// wantResolved asks what became of a unit in doubt. It reports whether the
// server can say.
func (e *env) wantResolved(doubt *uow.InDoubtError, want uow.Outcome) bool {
	e.Helper()
	outcome, err := doubt.Resolve(e.ctx)
	if !e.answered(outcome, err) {
		return false
	}
	wantEqual(e, "outcome", outcome, want)
	return true
}

// answered reports whether a server could say what became of a unit. Only one
// without a resolver may not.
func (e *env) answered(outcome uow.Outcome, err error) bool {
	e.Helper()
	if errors.Is(err, dialect.Unresolvable) {
		if _, able := e.h.Dialect().(dialect.Resolver); able {
			e.Errorf("a resolver cannot say: %v", err)
		}
		wantEqual(e, "outcome that the server cannot tell", outcome, uow.InDoubt)
		return false
	}
	e.check(err)
	return true
}

package tdstest

import (
	"context"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine"
)

// session is what the protocol needs of an engine's session.
type session interface {
	ID() int
	Done() <-chan struct{}
	Descriptor() uint64
	Reset()
	Close()

	Batch(ctx context.Context, sql string, out engine.Tokens)
	Call(ctx context.Context, procedure string, params []engine.Param, out engine.Tokens)
	Begin(ctx context.Context, isolation uint8, name string, out engine.Tokens)
	Commit(ctx context.Context, out engine.Tokens)
	Rollback(ctx context.Context, name string, out engine.Tokens)
	Save(ctx context.Context, name string, out engine.Tokens)
}

// transactionKeeper is a session that can honour the reset bit which leaves
// the transaction open.
type transactionKeeper interface {
	ResetKeepingTransaction()
}

// backend opens sessions.
type backend interface {
	login(engine.Login) (session, error)
	kill(id int) bool
}

type engineBackend struct{ server *engine.Server }

func (b engineBackend) login(l engine.Login) (session, error) {
	s, err := b.server.Login(l)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (b engineBackend) kill(id int) bool { return b.server.Kill(id) }

// changesOnly passes on what became of a transaction and nothing else.
type changesOnly struct{ engine.Tokens }

func (changesOnly) Message(engine.Message)                       {}
func (changesOnly) Done(engine.DoneKind, uint16, uint16, uint64) {}

package tdstest

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine"
)

// fakeBackend answers a few texts, so that the protocol is tested apart from
// the engine.
type fakeBackend struct {
	mu       sync.Mutex
	sessions map[int]*fakeSession
	logins   []engine.Login
	nextID   int
	waiting  chan struct{} // receives when a request waits
}

func newFakeBackend() *fakeBackend {
	return &fakeBackend{sessions: map[int]*fakeSession{}, nextID: 50, waiting: make(chan struct{}, 100)}
}

func (b *fakeBackend) login(l engine.Login) (session, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.logins = append(b.logins, l)
	switch {
	case l.Password != "secret":
		return nil, &engine.Message{Number: 18456, State: 1, Class: 14, Text: "Login failed for user '" + l.User + "'."}
	case l.Database == "nowhere":
		return nil, &engine.Message{Number: 4060, State: 1, Class: 11, Text: "Cannot open database \"nowhere\" requested by the login. The login failed."}
	}
	b.nextID++
	s := &fakeSession{backend: b, id: b.nextID, done: make(chan struct{})}
	b.sessions[s.id] = s
	return s, nil
}

func (b *fakeBackend) kill(id int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.sessions[id]
	if ok {
		s.killing.Do(func() { close(s.done) })
	}
	return ok
}

func (b *fakeBackend) open() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.sessions)
}

type fakeSession struct {
	backend    *fakeBackend
	id         int
	done       chan struct{}
	killing    sync.Once
	descriptor atomic.Uint64
	begun      uint64
	isolation  uint8
	committed  atomic.Int32
	abort      bool // XACT_ABORT
	resets     int
}

func (s *fakeSession) ID() int               { return s.id }
func (s *fakeSession) Done() <-chan struct{} { return s.done }
func (s *fakeSession) Descriptor() uint64    { return s.descriptor.Load() }
func (s *fakeSession) Reset()                { s.resets++; s.descriptor.Store(0) }

func (s *fakeSession) Close() {
	s.backend.mu.Lock()
	defer s.backend.mu.Unlock()
	delete(s.backend.sessions, s.id)
}

func (s *fakeSession) status() uint16 {
	if s.Descriptor() != 0 {
		return engine.StatusInXact
	}
	return 0
}

func (s *fakeSession) Batch(ctx context.Context, sql string, out engine.Tokens) {
	s.run(ctx, sql, engine.Done, out)
}

func (s *fakeSession) run(ctx context.Context, sql string, kind engine.DoneKind, out engine.Tokens) {
	sql = strings.TrimSuffix(sql, ";") // with which the driver takes a word for a batch
	switch {
	case strings.HasPrefix(sql, "wait"):
		s.wait(ctx, kind, out)
		return
	case sql == "many":
		s.many(kind, out)
		return
	case sql == "values":
		s.values(kind, out)
		return
	case sql == "fatal":
		out.Message(engine.Message{Number: 596, State: 1, Class: 21, Text: "Cannot continue the execution because the session is in the kill state."})
		out.Done(kind, engine.StatusError, commandError, 0)
		return
	case sql == "mistake":
		out.Columns([]engine.Column{{Name: "a", Type: engine.Type{Kind: engine.NVarChar, Size: 1}}})
		out.Row([]any{"too long"})
	case sql == "use other":
		out.Database("other")
		out.Message(engine.Message{Number: 5701, State: 2, Text: "Changed database context to 'other'."})
	case sql == "isolation":
		out.Columns([]engine.Column{{Name: "level", Type: engine.Type{Kind: engine.TinyInt}}})
		out.Row([]any{int64(s.isolation)})
	case sql == "abort on":
		s.abort = true
	}
	out.Done(kind, engine.StatusCount|s.status(), commandSelect, 1)
}

func (s *fakeSession) wait(ctx context.Context, kind engine.DoneKind, out engine.Tokens) {
	s.backend.waiting <- struct{}{}
	select {
	case <-ctx.Done():
	case <-time.After(time.Minute):
	}
	if s.abort && s.Descriptor() != 0 {
		s.end(engine.RolledBack, out)
	}
	out.Done(kind, engine.StatusError|s.status(), commandError, 0)
}

func (s *fakeSession) many(kind engine.DoneKind, out engine.Tokens) {
	const rows = 5000
	out.Columns([]engine.Column{{Name: "n", Type: engine.Type{Kind: engine.Int}}, {Name: "text", Type: engine.Type{Kind: engine.NVarChar, Size: 40}}})
	for n := range rows {
		out.Row([]any{int64(n), strings.Repeat("x", n%41)})
	}
	out.Done(kind, engine.StatusCount, commandSelect, rows)
}

func (s *fakeSession) values(kind engine.DoneKind, out engine.Tokens) {
	for _, nullable := range []bool{false, true} {
		columns := make([]engine.Column, len(samples))
		row := make([]any, len(samples))
		for i, sample := range samples {
			columns[i] = engine.Column{Name: sample.name, Type: sample.kind, Nullable: nullable}
			row[i] = sample.value
		}
		out.Columns(columns)
		out.Row(row)
		if nullable {
			out.Row(make([]any, len(samples)))
		}
		out.Done(kind, engine.StatusMore|engine.StatusCount, commandSelect, 1)
	}
	out.Done(kind, 0, commandSelect, 0)
}

// Call gives the values of its parameters back, as a row or as output.
func (s *fakeSession) Call(ctx context.Context, procedure string, params []engine.Param, out engine.Tokens) {
	if strings.EqualFold(procedure, "sp_executesql") {
		if sql, _ := params[0].Value.(string); sql != "echo" {
			s.run(ctx, sql, engine.DoneProc, out)
			return
		}
		params = params[2:]
	}
	columns := make([]engine.Column, len(params))
	row := make([]any, len(params))
	for i, p := range params {
		columns[i], row[i] = engine.Column{Name: p.Name, Type: p.Type, Nullable: true}, p.Value
	}
	if len(params) > 0 {
		out.Columns(columns)
		out.Row(row)
		out.Done(engine.DoneInProc, engine.StatusMore|engine.StatusCount, commandSelect, 1)
	}
	out.ReturnStatus(7)
	for _, p := range params {
		if p.Output {
			out.ReturnValue(p.Name, p.Type, p.Value)
		}
	}
	out.Done(engine.DoneProc, s.status(), 224, 0)
}

func (s *fakeSession) Begin(_ context.Context, isolation uint8, name string, out engine.Tokens) {
	s.begun++
	s.isolation = isolation
	s.descriptor.Store(uint64(s.id)<<32 | s.begun)
	out.Transaction(engine.Began, s.Descriptor())
	out.Done(engine.Done, s.status(), 212, 0)
}

func (s *fakeSession) end(change engine.Change, out engine.Tokens) {
	out.Transaction(change, s.Descriptor())
	s.descriptor.Store(0)
}

func (s *fakeSession) Commit(_ context.Context, out engine.Tokens) {
	if s.Descriptor() == 0 {
		out.Message(engine.Message{Number: 3902, State: 1, Class: 16, Text: "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION."})
		out.Done(engine.Done, engine.StatusError, commandError, 0)
		return
	}
	s.committed.Add(1)
	s.end(engine.Committed, out)
	out.Done(engine.Done, 0, 213, 0)
}

func (s *fakeSession) Rollback(_ context.Context, name string, out engine.Tokens) {
	s.end(engine.RolledBack, out)
	out.Done(engine.Done, 0, 210, 0)
}

func (s *fakeSession) Save(_ context.Context, name string, out engine.Tokens) {
	out.Done(engine.Done, s.status(), 211, 0)
}

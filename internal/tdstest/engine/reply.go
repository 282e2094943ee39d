package engine

// The commands that a DONE token names.
const (
	cmdIf       uint16 = 192
	cmdSelect   uint16 = 193
	cmdInsert   uint16 = 195
	cmdDelete   uint16 = 196
	cmdUpdate   uint16 = 197
	cmdCreate   uint16 = 198
	cmdDrop     uint16 = 199
	cmdRollback uint16 = 210
	cmdBegin    uint16 = 212
	cmdCommit   uint16 = 213
	cmdSave     uint16 = 214
	cmdSetOn    uint16 = 185
	cmdSetOff   uint16 = 186
	cmdExec     uint16 = 224
	cmdSet      uint16 = 249
	cmdError    uint16 = 253
)

// reply writes the tokens of one request. It holds the last DONE back until it
// is known whether more follows.
type reply struct {
	out     Tokens
	depth   int // of procedures; in one, statements end with DONEINPROC
	pending *pendingDone
}

type pendingDone struct {
	kind            DoneKind
	status, command uint16
	rows            uint64
}

func (r *reply) flush(more uint16) {
	if p := r.pending; p != nil {
		r.pending = nil
		r.out.Done(p.kind, p.status|more, p.command, p.rows)
	}
}

// token returns where to write any other token.
func (r *reply) token() Tokens {
	r.flush(StatusMore)
	return r.out
}

func (r *reply) done(status, command uint16, rows uint64) {
	kind := Done
	if r.depth > 0 {
		kind = DoneInProc
	}
	r.end(kind, status, command, rows)
}

func (r *reply) end(kind DoneKind, status, command uint16, rows uint64) {
	r.flush(StatusMore)
	r.pending = &pendingDone{kind, status, command, rows}
}

// finishBatch ends the reply to a batch, which always ends with a DONE, also where
// an error in a procedure has ended it.
func (r *reply) finishBatch() {
	if r.pending == nil {
		r.pending = &pendingDone{kind: Done}
	}
	if r.pending.kind == DoneInProc {
		r.pending.kind = Done
	}
	r.flush(0)
}

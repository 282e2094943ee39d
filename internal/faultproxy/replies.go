package faultproxy

import "sync"

// replies follows a server's stream to tell which of its bytes answer which
// client message. The server answers in order, so counting suffices.
type replies struct {
	mu      sync.Mutex
	stream  replyStream // nil on an opaque connection
	owed    int         // answers the client's messages ask for
	asked   bool        // the message last noted asks for one
	ready   int         // those whose end was seen
	awaited []awaitedReply
	silent  bool // nothing more is for the client
}

// awaitedReply is an answer for which a rule waits.
type awaitedReply struct {
	rule *Rule
	// last is the number of the answer, or zero if any byte is the answer.
	last int
}

// sent notes a client message of a protocol, which is nil if it is unknown. It
// must be called before the message is passed on.
func (r *replies) sent(m Message, p protocol) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stream == nil && p != nil {
		r.stream = p.replies()
	}
	r.asked = r.stream != nil && r.stream.sent(m)
	if r.asked {
		r.owed++
	}
}

// await makes the rule wait for the answer to the message last noted. It must
// be called before the message is passed on.
func (r *replies) await(rule *Rule) {
	r.mu.Lock()
	defer r.mu.Unlock()
	reply := awaitedReply{rule: rule}
	if r.stream != nil && r.stream.exact() {
		reply.last = r.owed
		if !r.asked {
			reply.last++
		}
	}
	r.awaited = append(r.awaited, reply)
}

// admit takes server bytes and returns how many of them, from the first on,
// are for the client, and the CutAfter rules whose answer is complete. The
// other rules' answers are announced.
func (r *replies) admit(b []byte) (keep int, cutting []*Rule) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(b) > 0 {
		n, answers := r.next(b)
		b = b[n:]
		if !r.silenced() {
			keep += n
		}
		r.ready += answers
		cutting = append(cutting, r.settle()...)
	}
	return keep, cutting
}

func (r *replies) next(b []byte) (n, answers int) {
	if r.stream == nil {
		return len(b), 0
	}
	return r.stream.next(b)
}

// silenced reports whether the bytes that follow are kept from the client.
// Once they are, they are for good.
func (r *replies) silenced() bool {
	for _, reply := range r.awaited {
		action := reply.rule.action
		if (action == CutAfter || action == BlackholeReply) && r.ready >= reply.last-1 {
			r.silent = true
		}
	}
	return r.silent
}

// settle announces the answers that are complete, stops waiting for them, and
// returns the CutAfter rules among theirs.
func (r *replies) settle() []*Rule {
	var cutting []*Rule
	remaining := r.awaited[:0]
	for _, reply := range r.awaited {
		if r.ready < reply.last {
			remaining = append(remaining, reply)
			continue
		}
		close(reply.rule.answered)
		if reply.rule.action == CutAfter {
			cutting = append(cutting, reply.rule)
		}
	}
	r.awaited = remaining
	return cutting
}

// end notes the end of the server's stream. It returns the CutAfter rules that
// wait in vain, and whether the end is to be kept from the client.
func (r *replies) end() (cutting []*Rule, silenced bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, reply := range r.awaited {
		switch reply.rule.action {
		case CutAfter:
			cutting = append(cutting, reply.rule)
		case BlackholeReply:
			r.silent = true
		}
	}
	return cutting, r.silent
}

package faultproxy

import (
	"fmt"
	"slices"
	"sync"
)

// Action is what a rule does to the connection of the message it matched.
type Action int

const (
	// CutBefore closes both sides, in mode Orderly, before the message: it and
	// whatever follows never reach the server, and what preceded it does.
	CutBefore Action = iota + 1
	// CutAfter passes the message on, waits until the server has answered it
	// (see [Rule.Answered]), drops that answer, and then closes both sides in
	// mode Orderly. So the server has processed the message for certain and
	// the client cannot know. Replies to earlier messages are delivered, and
	// later messages passed on. If the server ends the connection without an
	// answer, it is closed all the same.
	CutAfter
	// BlackholeReply passes the message on, and never again delivers any
	// server byte to the client, nor the end of the server's stream. The
	// connection stays open and client bytes still reach the server. Replies
	// to earlier messages are delivered.
	BlackholeReply
	// Hold keeps the message, and client bytes after it, until
	// [Rule.Release]. Server bytes are delivered meanwhile. A client that
	// leaves does not undo it: the message is passed on when released, and
	// then the end of the stream. Only a shut connection drops it.
	Hold
)

// Rule waits for a message and then does its action, once at most.
type Rule struct {
	proxy     *Proxy
	match     Matcher
	action    Action
	fired     chan struct{}
	answered  chan struct{}
	released  chan struct{}
	releasing sync.Once
}

// Rule adds a rule that does action to the first message, on any connection,
// that match accepts. If several rules accept a message, the one added first
// has it. On an opaque connection, server bytes read after a match count as the
// message's answer. It panics if match is nil or action unknown.
func (p *Proxy) Rule(match Matcher, action Action) *Rule {
	if match == nil || action < CutBefore || action > Hold {
		panic(fmt.Sprintf("faultproxy: rule without matcher or with unknown action %d", action))
	}
	r := &Rule{
		proxy:    p,
		match:    match,
		action:   action,
		fired:    make(chan struct{}),
		answered: make(chan struct{}),
		released: make(chan struct{}),
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = append(p.rules, r)
	return r
}

// OnClientMessage is Rule for a matcher that needs the bytes only.
func (p *Proxy) OnClientMessage(match func(payload []byte) bool, action Action) *Rule {
	if match == nil {
		return p.Rule(nil, action)
	}
	return p.Rule(func(m Message) bool { return match(m.Payload) }, action)
}

// Fired returns a channel that is closed when the action has taken hold: for
// CutBefore and CutAfter, when both sides are closed; for BlackholeReply, when
// the message has been passed on; for Hold, when the message has arrived and
// is being held.
func (r *Rule) Fired() <-chan struct{} { return r.fired }

// Answered returns a channel that is closed when the server has answered the
// matched message and so has processed it; never for CutBefore, nor if the
// connection ends before. On an established PostgreSQL connection the answer is
// complete: the ReadyForQuery that follows the message (for a message of the
// extended protocol, that of the next Sync). On a TDS connection it is the
// complete message with which the server replies; for an attention, the one
// that acknowledges it. While a PostgreSQL connection is set up and on an
// opaque connection, it is the first server byte after the message was passed
// on. A stall or a delay of direction Down holds the answer up.
func (r *Rule) Answered() <-chan struct{} { return r.answered }

// Release lets a held message pass. A Hold released beforehand does not hold.
// It does nothing for other actions, and on further calls.
func (r *Rule) Release() { r.releasing.Do(func() { close(r.released) }) }

// Remove calls the rule off. It reports whether it was still waiting for its
// message; if not, it goes on with its action, or was removed before.
func (r *Rule) Remove() bool {
	r.proxy.mu.Lock()
	defer r.proxy.mu.Unlock()
	i := slices.Index(r.proxy.rules, r)
	if i < 0 {
		return false
	}
	r.proxy.rules = slices.Delete(r.proxy.rules, i, i+1)
	return true
}

func (r *Rule) fire() { close(r.fired) }

// claim returns the rule that has the message, if any, and takes it off the
// list. Matchers run without the lock, as they may call the proxy.
func (p *Proxy) claim(m Message) *Rule {
	if m.kind == cancelPacket {
		return nil
	}
	for _, r := range p.waitingRules() {
		if r.match(m) && r.Remove() {
			return r
		}
	}
	return nil
}

func (p *Proxy) waitingRules() []*Rule {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.rules)
}

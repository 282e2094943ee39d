package faultproxy

import (
	"bytes"
	"strings"
	"testing"
)

func TestCutBefore(t *testing.T) {
	t.Parallel()
	s := startSession(t)
	rule := s.proxy.Rule(Query("commit"), CutBefore)
	write(t, s, query("begin"))
	expect(t, s, doneReply)
	write(t, s, query("insert")+query("COMMIT")+query("after"))
	awaitEvent(t, rule.Fired(), "rule")
	s.server.expectGot(t, "Q begin", "Q insert", "end")
	if happened(rule.Answered()) {
		t.Error("a message that was not passed on was answered")
	}
	if got := strings.Join(s.proxy.Statements(), ","); got != "begin,insert,COMMIT" {
		t.Errorf("logged %s", got)
	}
}

func TestCutBeforeEndsTheClientsStream(t *testing.T) {
	t.Parallel()
	s := startSession(t)
	s.proxy.Rule(Query("commit"), CutBefore)
	write(t, s, query("begin; insert; commit"))
	expectEnd(t, s)
	s.server.expectGot(t, "end")
}

func TestCutAfter(t *testing.T) {
	t.Parallel()
	s := startSession(t)
	rule := s.proxy.Rule(Query("commit"), CutAfter)
	write(t, s, query("begin")+query("insert")+query("commit"))
	expect(t, s, doneReply+doneReply)
	expectEnd(t, s)
	awaitEvent(t, rule.Answered(), "answer")
	awaitEvent(t, rule.Fired(), "rule")
	s.server.expectGot(t, "Q begin", "Q insert", "Q commit", "end")
}

func TestCutAfterWaitsForTheSync(t *testing.T) {
	t.Parallel()
	s := startSession(t)
	rule := s.proxy.Rule(Query("commit"), CutAfter)
	write(t, s, parse("", "commit"))
	s.server.expectGot(t, "P commit")
	if happened(rule.Answered()) {
		t.Error("answered before the Sync")
	}
	write(t, s, typed('B', bind)+syncRequest)
	expectEnd(t, s)
	awaitEvent(t, rule.Answered(), "answer")
	s.server.expectGot(t, "B ", "S ", "end")
}

func TestCutAfterWhenTheServerLeaves(t *testing.T) {
	t.Parallel()
	c := newPair(t)
	write(t, c.client, startup)
	expect(t, c.server, startup)
	write(t, c.server, welcome)
	expect(t, c.client, welcome)
	rule := c.proxy.Rule(Query("commit"), CutAfter)
	write(t, c.client, query("commit"))
	expect(t, c.server, query("commit"))
	write(t, c.server, typed('E', "terminating"))
	closeSocket(c.server, Orderly)
	expectEnd(t, c.client)
	awaitEvent(t, rule.Fired(), "rule")
	if happened(rule.Answered()) {
		t.Error("the server has not answered")
	}
}

func TestCutAfterDuringSetUp(t *testing.T) {
	t.Parallel()
	c := newPair(t)
	rule := c.proxy.OnClientMessage(func([]byte) bool { return true }, CutAfter)
	write(t, c.client, startup)
	expect(t, c.server, startup)
	write(t, c.server, typed('R', "\x00\x00\x00\x03"))
	expectEnd(t, c.client)
	awaitEvent(t, rule.Answered(), "answer")
}

func TestBlackholeReply(t *testing.T) {
	t.Parallel()
	s := startSession(t)
	rule := s.proxy.Rule(Query("commit"), BlackholeReply)
	write(t, s, query("insert")+query("commit"))
	expect(t, s, doneReply)
	awaitEvent(t, rule.Fired(), "rule")
	awaitEvent(t, rule.Answered(), "answer")
	write(t, s, query("more"))
	s.server.expectGot(t, "Q insert", "Q commit", "Q more")
	s.proxy.CutAll()
	expectReset(t, s)
}

func TestBlackholeReplyKeepsTheEndBack(t *testing.T) {
	t.Parallel()
	c := newPair(t)
	rule := c.proxy.Rule(func(Message) bool { return true }, BlackholeReply)
	write(t, c.client, "ask")
	expect(t, c.server, "ask")
	write(t, c.server, "reply")
	closeSocket(c.server, Orderly)
	awaitEvent(t, rule.Answered(), "answer")
	c.proxy.CutAll()
	expectReset(t, c.client)
}

func TestHold(t *testing.T) {
	t.Parallel()
	s := startSession(t)
	other := s.connect(t)
	rule := s.proxy.Rule(Query("commit"), Hold)
	write(t, s, query("insert")+query("commit")+query("after"))
	awaitEvent(t, rule.Fired(), "rule")
	expect(t, s, doneReply) // of the insert
	write(t, other, query("commit"))
	expect(t, other, doneReply) // a rule is for one message only
	s.server.expectGot(t, "Q insert", "Q commit")
	rule.Release()
	rule.Release()
	expect(t, s, doneReply)
	awaitEvent(t, rule.Answered(), "answer")
	expect(t, s, doneReply)
	s.server.expectGot(t, "Q commit", "Q after")
}

func TestHeldMessageOutlivesItsClient(t *testing.T) {
	t.Parallel()
	s := startSession(t)
	rule := s.proxy.Rule(Query("commit"), Hold)
	write(t, s, query("commit"))
	awaitEvent(t, rule.Fired(), "rule")
	s.Close()
	rule.Release()
	s.server.expectGot(t, "Q commit", "end")
	awaitEvent(t, rule.Answered(), "answer")
}

func TestHeldMessageDiesWithItsConnection(t *testing.T) {
	t.Parallel()
	s := startSession(t)
	rule := s.proxy.Rule(Query("commit"), Hold)
	write(t, s, query("commit"))
	awaitEvent(t, rule.Fired(), "rule")
	s.proxy.CutAll()
	rule.Release()
	s.server.expectGot(t, "end")
	expectReset(t, s)
}

func TestReleasedHoldDoesNotHold(t *testing.T) {
	t.Parallel()
	s := startSession(t)
	rule := s.proxy.Rule(Query("commit"), Hold)
	rule.Release()
	write(t, s, query("commit"))
	expect(t, s, doneReply)
	if !happened(rule.Fired()) || !happened(rule.Answered()) {
		t.Error("the rule has not seen its message")
	}
}

func TestRulesAreOneShotAndInOrder(t *testing.T) {
	t.Parallel()
	s := startSession(t)
	removed := s.proxy.Rule(Query("commit"), CutBefore)
	first := s.proxy.Rule(Query("commit"), Hold)
	second := s.proxy.Rule(MessageType('Q'), Hold)
	if !removed.Remove() || removed.Remove() {
		t.Error("Remove did not tell a waiting rule from a removed one")
	}
	write(t, s, query("commit"))
	awaitEvent(t, first.Fired(), "first rule")
	if happened(second.Fired()) || first.Remove() {
		t.Error("the message went to the wrong rule")
	}
	first.Release()
	expect(t, s, doneReply)
	write(t, s, query("commit"))
	awaitEvent(t, second.Fired(), "second rule")
	second.Release()
	expect(t, s, doneReply)
}

func TestMatcherMayCallTheProxy(t *testing.T) {
	t.Parallel()
	s := startSession(t)
	s.proxy.Rule(func(m Message) bool {
		if m.SQL == "begin" {
			s.proxy.Rule(Query("commit"), CutBefore)
		}
		return false
	}, Hold)
	write(t, s, query("begin"))
	expect(t, s, doneReply)
	write(t, s, query("commit"))
	expectEnd(t, s)
}

func TestRulesOnOpaqueConnections(t *testing.T) {
	t.Parallel()
	for name, action := range map[string]Action{"before": CutBefore, "after": CutAfter, "hold": Hold} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newPair(t)
			rule := c.proxy.OnClientMessage(func(b []byte) bool { return bytes.Contains(b, []byte("commit")) }, action)
			write(t, c.client, "begin")
			expect(t, c.server, "begin")
			write(t, c.server, "begun")
			expect(t, c.client, "begun")
			write(t, c.client, "commit")
			finishOpaque(t, c, rule)
			awaitEvent(t, rule.Fired(), "rule")
		})
	}
}

func finishOpaque(t *testing.T, c pair, rule *Rule) {
	t.Helper()
	if rule.action == CutBefore {
		expectEnd(t, c.server)
		expectEnd(t, c.client)
		return
	}
	rule.Release()
	expect(t, c.server, "commit")
	write(t, c.server, "committed")
	awaitEvent(t, rule.Answered(), "answer")
	if rule.action == Hold {
		expect(t, c.client, "committed")
		return
	}
	expectEnd(t, c.client)
}

func TestQueryMatcherIgnoresCase(t *testing.T) {
	t.Parallel()
	m := Message{kind: statementMessage, Type: 'Q', SQL: "Begin; insert into t values (1); COMMIT"}
	for substring, want := range map[string]bool{
		"commit": true, "CoMmIt": true, "begin": true, "": true, "rollback": false,
	} {
		if Query(substring)(m) != want {
			t.Errorf("Query(%q) = %v", substring, !want)
		}
	}
	m.Type, m.kind = 'B', otherMessage
	if Query("commit")(m) {
		t.Error("Query matched a Bind message")
	}
}

package faultproxy

import "testing"

func TestTDSCutBeforeCommit(t *testing.T) {
	t.Parallel()
	for name, commit := range map[string]string{
		"request": tdsCommit, "batch": batch("insert; COMMIT"), "call": call(nvarchar("commit tran")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startTDSSession(t)
			rule := s.proxy.Rule(Query("commit"), CutBefore)
			write(t, s, transaction("\x05\x00\x02\x00"))
			expect(t, s, tdsDone)
			write(t, s, commit)
			expectEnd(t, s)
			awaitEvent(t, rule.Fired(), "rule")
			s.server.expectGot(t, "14 BEGIN TRANSACTION", "end")
		})
	}
}

func TestTDSCutAfterCommit(t *testing.T) {
	t.Parallel()
	s := startTDSSession(t)
	s.proxy.Reset()
	rule := s.proxy.Rule(Query("commit"), CutAfter)
	write(t, s, batch("insert"))
	expect(t, s, tdsDone)
	write(t, s, tdsCommit)
	expectEnd(t, s)
	awaitEvent(t, rule.Answered(), "answer")
	awaitEvent(t, rule.Fired(), "rule")
	s.server.expectGot(t, "1 insert", "14 COMMIT TRANSACTION", "end")
	if s.proxy.RoundTrips() != 1 {
		t.Errorf("counted %d round trips, want 1", s.proxy.RoundTrips())
	}
}

func TestTDSCutAfterWaitsForTheWholeReply(t *testing.T) {
	t.Parallel()
	c := newPair(t)
	exchangeBetween(t, c.client, c.server, prelogin)
	exchangeBetween(t, c.server, c.client, tdsAnswers[tdsPrelogin])
	rule := c.proxy.Rule(MessageType(TDSBatch), CutAfter)
	exchangeBetween(t, c.client, c.server, batch("select"))
	reply := tdsSplit(tdsReply, "\xd1many rows"+done(0x10), 5)
	write(t, c.server, reply[:len(reply)-1])
	if happened(rule.Answered()) {
		t.Error("answered before the end of the message")
	}
	write(t, c.server, reply[len(reply)-1:])
	expectEnd(t, c.client)
	awaitEvent(t, rule.Answered(), "answer")
}

func TestTDSBlackholeReply(t *testing.T) {
	t.Parallel()
	s := startTDSSession(t)
	rule := s.proxy.Rule(Query("commit"), BlackholeReply)
	write(t, s, tdsCommit)
	awaitEvent(t, rule.Fired(), "rule")
	awaitEvent(t, rule.Answered(), "answer")
	write(t, s, tdsAttend)
	s.server.expectGot(t, "14 COMMIT TRANSACTION", "6")
	s.proxy.CutAll()
	expectReset(t, s)
}

func TestTDSHold(t *testing.T) {
	t.Parallel()
	s := startTDSSession(t)
	other := s.connectTDS(t)
	rule := s.proxy.Rule(Query("commit"), Hold)
	write(t, s, tdsCommit)
	awaitEvent(t, rule.Fired(), "rule")
	write(t, other, tdsCommit)
	expect(t, other, tdsDone)
	s.server.expectGot(t, "14 COMMIT TRANSACTION")
	rule.Release()
	expect(t, s, tdsDone)
	awaitEvent(t, rule.Answered(), "answer")
}

func TestAttentionIsCountedApart(t *testing.T) {
	t.Parallel()
	s := startTDSSession(t)
	s.proxy.Reset()
	rule := s.proxy.Rule(MessageType(TDSAttention), Hold)
	write(t, s, batch("wait"))
	s.server.expectGot(t, "1 wait")
	write(t, s, tdsAttend)
	awaitEvent(t, rule.Fired(), "rule")
	rule.Release()
	expect(t, s, tdsFailed+tdsAttended)
	awaitEvent(t, rule.Answered(), "acknowledgement")
	write(t, s, tdsAttend) // with nothing to cancel
	expect(t, s, tdsAttended)
	if s.proxy.RoundTrips() != 1 || s.proxy.Cancels() != 2 || s.proxy.Connections() != 0 {
		t.Errorf("%d round trips, %d cancels, %d connections",
			s.proxy.RoundTrips(), s.proxy.Cancels(), s.proxy.Connections())
	}
}

func TestAttentionWhoseAcknowledgementIsLost(t *testing.T) {
	t.Parallel()
	s := startTDSSession(t)
	rule := s.proxy.Rule(MessageType(TDSAttention), CutAfter)
	write(t, s, batch("wait"))
	s.server.expectGot(t, "1 wait")
	write(t, s, tdsAttend)
	expect(t, s, tdsFailed) // the reply to the earlier message
	expectEnd(t, s)
	awaitEvent(t, rule.Answered(), "acknowledgement")
}

func TestIncompleteTDSMessageIsPassedOnAtTheEnd(t *testing.T) {
	t.Parallel()
	s := startTDSSession(t)
	write(t, s, batch("select")[:20])
	s.Close()
	s.server.expectGot(t, "end within a packet")
}

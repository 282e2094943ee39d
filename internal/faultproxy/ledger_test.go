package faultproxy

import (
	"net"
	"testing"
)

func TestEachExchangeIsOneRoundTrip(t *testing.T) {
	t.Parallel()
	p := startProxy(t, startServer(t, echo))
	conn := dial(t, p)
	for i := range 500 {
		exchange(t, conn, "ping")
		if p.RoundTrips() != i+1 {
			t.Fatalf("counted %d after exchange %d", p.RoundTrips(), i+1)
		}
	}
	if p.BytesUp() != 2000 || p.BytesDown() != 2000 {
		t.Errorf("counted %d up and %d down", p.BytesUp(), p.BytesDown())
	}
}

func TestSplitBurstAndSplitReplyAreOneRoundTrip(t *testing.T) {
	t.Parallel()
	server := startTape(t)
	p := startProxy(t, server.addr)
	conn := dial(t, p)
	far := server.accepted(t)
	for range 3 {
		write(t, conn, "part ")
		expect(t, far, "part ") // so the proxy cannot read the parts at once
	}
	for range 3 {
		write(t, far, "reply ")
		expect(t, conn, "reply ")
		if p.RoundTrips() != 1 {
			t.Fatalf("counted %d round trips, want 1", p.RoundTrips())
		}
	}
}

func TestOnlyAnsweredBurstsAreRoundTrips(t *testing.T) {
	t.Parallel()
	server := startTape(t)
	p := startProxy(t, server.addr)
	conn := dial(t, p)
	far := server.accepted(t)
	write(t, far, "greeting")
	expect(t, conn, "greeting")
	write(t, conn, "no answer")
	expect(t, far, "no answer")
	if p.RoundTrips() != 0 {
		t.Errorf("counted %d round trips, want 0", p.RoundTrips())
	}
}

func TestStatsPerConnectionAndReset(t *testing.T) {
	t.Parallel()
	p := startProxy(t, startServer(t, echo))
	first, second := dial(t, p), dial(t, p)
	exchange(t, first, "a")
	exchange(t, second, "bb")
	exchange(t, second, "cc")
	if p.RoundTrips() != 3 || p.Connections() != 2 {
		t.Errorf("%d round trips on %d connections", p.RoundTrips(), p.Connections())
	}
	// Which of the two was accepted first is the kernel's choice.
	stats := p.ConnectionStats()
	if len(stats) != 2 || stats[0].RoundTrips+stats[1].RoundTrips != 3 ||
		stats[0].BytesUp*stats[1].BytesUp != 4 || !stats[0].Open || stats[1].ID != 2 {
		t.Errorf("stats: %+v", stats)
	}
	closeByServer(t, second)
	p.Reset()
	exchange(t, first, "a")
	if p.RoundTrips() != 1 || p.Connections() != 0 || p.BytesDown() != 1 {
		t.Errorf("after Reset: %d round trips, %d connections", p.RoundTrips(), p.Connections())
	}
}

// closeByServer ends the client's stream and waits until the server has ended
// its own.
func closeByServer(t *testing.T, conn *net.TCPConn) {
	t.Helper()
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	expectEnd(t, conn)
}

func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	var l ledger
	for i := range historyLimit + 5 {
		l.open(i + 1)
	}
	if len(l.history) != historyLimit || l.history[0].ID != 6 {
		t.Errorf("kept %d entries from %d", len(l.history), l.history[0].ID)
	}
	if l.accepted != historyLimit+5 {
		t.Errorf("counted %d connections", l.accepted)
	}
}

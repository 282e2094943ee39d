package faultproxy

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func TestRTTDelaysTheReply(t *testing.T) {
	t.Parallel()
	p := startProxy(t, startServer(t, echo))
	conn := dial(t, p)
	const rtt = 30 * time.Millisecond
	p.SetRTT(rtt)
	start := time.Now()
	exchange(t, conn, "x")
	if elapsed := time.Since(start); elapsed < rtt {
		t.Errorf("the reply took %v, want at least %v", elapsed, rtt)
	}
}

// relayInBubble runs a connection between two pipes, for tests under a fake
// clock, and returns the client's and the server's end.
func relayInBubble(t *testing.T) (p *Proxy, client, server net.Conn) {
	p = newProxy(target{})
	client, near := net.Pipe()
	server, far := net.Pipe()
	c := p.admit(near)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.relay(far)
	}()
	t.Cleanup(func() {
		p.cancel()
		c.shut(Orderly)
		client.Close()
		server.Close()
		<-done
	})
	return p, client, server
}

func TestRTTIsHalvedAndNotAccumulated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, client, server := relayInBubble(t)
		p.SetRTT(100*time.Millisecond + 1)
		start := time.Now()
		go func() {
			for range 20 {
				_, _ = io.WriteString(client, "ask")
				time.Sleep(time.Millisecond)
			}
		}()
		for i := range 20 {
			expect(t, server, "ask")
			want := 50*time.Millisecond + time.Duration(i)*time.Millisecond
			if got := time.Since(start); got != want {
				t.Fatalf("chunk %d took %v, want %v", i, got, want)
			}
		}
		start = time.Now()
		write(t, server, "reply")
		expect(t, client, "reply")
		if got := time.Since(start); got != 50*time.Millisecond+1 {
			t.Errorf("the reply took %v", got)
		}
	})
}

func TestRepliesInFlightKeepASlowBurstOneRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, client, server := relayInBubble(t)
		p.SetRTT(time.Second)
		go func() { _, _ = io.Copy(server, server) }()
		for range 5 { // each part is answered before the next is sent
			write(t, client, "part")
			time.Sleep(10 * time.Millisecond)
		}
		expect(t, client, "partpartpartpartpart")
		if p.RoundTrips() != 1 {
			t.Errorf("counted %d round trips, want 1", p.RoundTrips())
		}
	})
}

// arrivals sends what is read from conn.
func arrivals(conn net.Conn) <-chan string {
	seen := make(chan string, 10)
	go func() {
		defer close(seen)
		buffer := make([]byte, 100)
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				return
			}
			seen <- string(buffer[:n])
		}
	}()
	return seen
}

func TestStallHoldsOneDirection(t *testing.T) {
	for name, stalled := range map[string]Direction{"up": Up, "down": Down} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testStall(t, stalled) })
		})
	}
}

func testStall(t *testing.T, stalled Direction) {
	p, client, server := relayInBubble(t)
	held, flowing := arrivals(server), arrivals(client)
	if stalled == Down {
		held, flowing = flowing, held
	}
	p.Stall(stalled)
	p.Stall(stalled)
	write(t, client, "up")
	write(t, server, "down")
	synctest.Wait()
	if len(held) != 0 || len(flowing) != 1 {
		t.Fatalf("%d arrived through the stall, %d beside it", len(held), len(flowing))
	}
	p.Resume(1 - stalled) // changes nothing
	synctest.Wait()
	if len(held) != 0 {
		t.Fatal("resuming one direction resumed the other")
	}
	p.Resume(stalled)
	synctest.Wait()
	if len(held) != 1 {
		t.Fatal("what was held has not arrived")
	}
}

func TestStallHoldsBothDirections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, client, server := relayInBubble(t)
		atServer, atClient := arrivals(server), arrivals(client)
		p.Stall()
		write(t, client, "up")
		write(t, server, "down")
		synctest.Wait()
		if len(atServer)+len(atClient) != 0 {
			t.Fatal("something arrived")
		}
		p.Resume()
		synctest.Wait()
		if len(atServer) != 1 || len(atClient) != 1 {
			t.Fatal("what was held has not arrived")
		}
	})
}

func TestStallHoldsTheEndOfTheStream(t *testing.T) {
	t.Parallel()
	server := startTape(t)
	p := startProxy(t, server.addr)
	conn := dial(t, p)
	far := server.accepted(t)
	p.Stall(Up)
	write(t, conn, "last words")
	conn.Close()
	p.Resume(Up)
	expect(t, far, "last words")
	expectEnd(t, far)
}

func TestQueueBoundsBytesInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		pushed := 0
		go func() {
			for range 3 {
				q.push(parcel{bytes: make([]byte, queueLimit)})
				pushed++
			}
		}()
		for i := range 2 {
			synctest.Wait()
			if pushed != i+1 {
				t.Fatalf("%d parcels in the queue, want 1", pushed-i)
			}
			if _, ok := q.pop(); !ok {
				t.Fatal("nothing to pop")
			}
		}
		synctest.Wait()
		q.close()
		if _, ok := q.pop(); ok {
			t.Error("popped from a closed queue")
		}
		q.push(parcel{}) // dropped
	})
}

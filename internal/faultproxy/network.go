package faultproxy

import (
	"fmt"
	"time"
)

// Direction is one of the two ways in which bytes flow through a connection.
type Direction int

const (
	// Up is from the client to the server.
	Up Direction = iota
	// Down is from the server to the client.
	Down
)

func (d Direction) mustBeKnown() {
	if d != Up && d != Down {
		panic(fmt.Sprintf("faultproxy: unknown direction %d", d))
	}
}

// SetRTT makes every round trip take d longer: half of d is added to each
// direction. Bytes keep their order and their distance in time, so bytes sent
// one after the other do not add up their delays and bandwidth is not limited.
// The delay holds for bytes read from now on, on connections old and new; zero,
// the default, ends it. It panics if d is negative.
func (p *Proxy) SetRTT(d time.Duration) {
	if d < 0 {
		panic(fmt.Sprintf("faultproxy: negative round-trip time %v", d))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rtt = d
}

// latency returns the delay of one direction; those of both add up to the
// round-trip time to the nanosecond.
func (p *Proxy) latency(dir Direction) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if dir == Up {
		return p.rtt / 2
	}
	return p.rtt - p.rtt/2
}

// Stall makes the network silent: bytes of the given directions, or of both if
// none is given, are held on all connections, old and new, until Resume. All
// connections stay open, and the end of a stream is held like its bytes. Bytes
// sent after Stall has returned are held for certain; bytes already on their
// way may still arrive. Stalling a stalled direction changes nothing.
func (p *Proxy) Stall(directions ...Direction) {
	directions = orBoth(directions)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, dir := range directions {
		if p.stalled[dir] == nil {
			p.stalled[dir] = make(chan struct{})
		}
	}
}

// Resume ends a stall of the given directions, or of both if none is given:
// what was held is delivered in order. Resuming a direction that is not
// stalled changes nothing.
func (p *Proxy) Resume(directions ...Direction) {
	directions = orBoth(directions)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, dir := range directions {
		if p.stalled[dir] != nil {
			close(p.stalled[dir])
			p.stalled[dir] = nil
		}
	}
}

func orBoth(directions []Direction) []Direction {
	if len(directions) == 0 {
		return []Direction{Up, Down}
	}
	for _, dir := range directions {
		dir.mustBeKnown()
	}
	return directions
}

// stall returns nil while bytes of dir flow, and otherwise a channel that is
// closed when they may flow again.
func (p *Proxy) stall(dir Direction) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stalled[dir]
}

package tdstest

import "slices"

// logLimit bounds what is kept, so that a long test does not gather without
// end.
const logLimit = 10_000

// Connection tells of one connection.
type Connection struct {
	// ID numbers the connections from 1 in the order in which they came.
	ID int
	// Session is @@SPID, 0 before the login.
	Session int
	// RoundTrips counts the batches, RPCs and transaction manager's requests
	// that arrived, whatever became of their replies. The login does not count.
	RoundTrips int
	// Attentions counts the attentions.
	Attentions int
	// Open is whether the connection is still served.
	Open bool
	// Err is why it ended: io.EOF for a client that left in good order.
	Err error
}

// Requests returns the requests that have arrived since the start or the last
// Forget, oldest first; of very many, the last ten thousand.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Connections returns the connections, oldest first.
func (s *Server) Connections() []Connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Connection, len(s.connections))
	for i, c := range s.connections {
		list[i] = *c
	}
	return list
}

// RoundTrips returns the round trips of all connections since the start or the
// last Forget.
func (s *Server) RoundTrips() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.roundTrips
}

// Forget empties the log of requests, drops closed connections from the list
// and sets every count to zero. Rules stay.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests, s.roundTrips = nil, 0
	s.connections = slices.DeleteFunc(s.connections, func(c *Connection) bool { return !c.Open })
	for _, c := range s.connections {
		c.RoundTrips, c.Attentions = 0, 0
	}
}

func (s *Server) observe(stats *Connection, r Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = appendBounded(s.requests, r)
	if r.Kind == KindAttention {
		stats.Attentions++
		return
	}
	stats.RoundTrips++
	s.roundTrips++
}

func appendBounded[T any](list []T, entry T) []T {
	if len(list) == logLimit {
		list = list[1:]
	}
	return append(list, entry)
}

package faultproxy

import "slices"

// historyLimit bounds the statement log and the list of connections, so that
// a long test does not gather them without end.
const historyLimit = 10_000

// ConnectionStats are the counters of one connection since it was opened or
// since the last [Proxy.Reset], whichever is later.
type ConnectionStats struct {
	// ID numbers the connections from 1 in the order in which they were
	// accepted; Reset does not restart it.
	ID int
	// RoundTrips is counted as in [Proxy.RoundTrips].
	RoundTrips int
	// BytesUp and BytesDown are counted as in [Proxy.BytesUp] and
	// [Proxy.BytesDown].
	BytesUp, BytesDown int64
	// Cancel tells a connection that carried a PostgreSQL CancelRequest.
	Cancel bool
	// Open is whether the proxy still serves the connection.
	Open bool
	// Err is why the server could not be reached, or nil.
	Err error
}

// Statement is one entry of the statement log.
type Statement struct {
	// Connection is the [ConnectionStats] ID of its connection.
	Connection int
	// Type is the type of its [Message]: 'Q' for Query or 'P' for Parse in
	// PostgreSQL; [TDSBatch], [TDSRPC] or [TDSTransaction].
	Type byte
	// SQL is the text of its Message, which may hold several statements.
	SQL string
}

// ledger holds all that is counted and recorded. The proxy's mutex guards it.
type ledger struct {
	total      ConnectionStats // over all connections; only the counters are used
	accepted   int
	cancels    int
	refused    int
	history    []*ConnectionStats
	statements []Statement
}

func (l *ledger) open(id int) *ConnectionStats {
	l.accepted++
	stats := &ConnectionStats{ID: id, Open: true}
	l.history = appendBounded(l.history, stats)
	return stats
}

func (l *ledger) reset() {
	open := slices.DeleteFunc(l.history, func(s *ConnectionStats) bool { return !s.Open })
	for _, s := range open {
		s.RoundTrips, s.BytesUp, s.BytesDown = 0, 0, 0
	}
	*l = ledger{history: open}
}

func appendBounded[T any](entries []T, entry T) []T {
	if len(entries) == historyLimit {
		entries = entries[1:]
	}
	return append(entries, entry)
}

// Reset sets all counters to zero and empties the statement log and the list
// of closed connections. Rules, cuts, delays and stalls stay as they are. It is
// meant for a moment at which no request is under way: the reply to one that is
// counts after Reset.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ledger.reset()
}

// RoundTrips returns the number of round trips on all connections since Start
// or Reset. A round trip is a burst of client bytes followed by a server byte
// that is delivered to the client; it counts just before that byte is written,
// so a client that has any part of a reply finds it counted. However many
// pieces a burst or a reply is split into, it counts once. A burst without a
// delivered reply, such as PostgreSQL's Terminate message or a COMMIT whose
// reply is dropped, does not count. Connection set-up counts as any other
// exchange.
//
// The proxy sees the order of bytes, not their meaning, hence one limit: a burst
// still being sent while server bytes are delivered counts twice. That takes an
// asynchronous message (such as PostgreSQL's NotificationResponse) in its
// middle, or a server that answers the first part of a long pipeline before the
// proxy has read the rest. [Proxy.SetRTT] makes the latter unlikely, for replies
// are held back while the rest is read. An asynchronous message at any other
// moment does not change the count.
//
// On a TDS connection it is each message and its reply, however split, that
// count as one, when the first byte of the reply is delivered. An attention and
// its acknowledgement are no round trip of their own; [Proxy.Cancels] counts
// them.
func (p *Proxy) RoundTrips() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ledger.total.RoundTrips
}

// BytesUp returns the number of bytes passed on to the server on all
// connections since Start or Reset. Bytes count just before they are written;
// bytes held or dropped do not count.
func (p *Proxy) BytesUp() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ledger.total.BytesUp
}

// BytesDown returns the number of bytes passed on to clients on all
// connections since Start or Reset. Bytes count just before they are written;
// bytes held or dropped do not count.
func (p *Proxy) BytesDown() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ledger.total.BytesDown
}

// Connections returns the number of connections accepted since Start or Reset,
// whether or not they are still open, including those of CancelRequests and
// those whose server could not be reached, but not those refused.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ledger.accepted
}

// Refused returns the number of connections reset because of [Proxy.Refuse]
// since Start or Reset.
func (p *Proxy) Refused() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ledger.refused
}

// Cancels returns the number of PostgreSQL CancelRequests and TDS attentions
// since Start or Reset. One counts just before it is passed on, or would be.
func (p *Proxy) Cancels() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ledger.cancels
}

// ConnectionStats returns the counters of each connection in the order of
// their IDs: those accepted since Start or Reset and those that were open at
// Reset. At most the last 10,000 are kept.
func (p *Proxy) ConnectionStats() []ConnectionStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	stats := make([]ConnectionStats, len(p.ledger.history))
	for i, s := range p.ledger.history {
		stats[i] = *s
	}
	return stats
}

// Statements returns the SQL text of the statements seen on all connections
// since Start or Reset, oldest first; at most the last 10,000 are kept. A
// message is recorded before it is passed on, also if a rule then keeps it from
// the server. A statement prepared earlier and executed by name does not appear
// again.
func (p *Proxy) Statements() []string {
	log := p.StatementLog()
	texts := make([]string, len(log))
	for i, s := range log {
		texts[i] = s.SQL
	}
	return texts
}

// StatementLog returns what [Proxy.Statements] does, with the connection and
// the message type of each.
func (p *Proxy) StatementLog() []Statement {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.ledger.statements)
}

// observe records one client message before it is passed on.
func (p *Proxy) observe(c *connection, m Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.pair(m)
	switch m.kind {
	case cancelPacket:
		c.stats.Cancel = true
		p.ledger.cancels++
	case attentionMessage:
		p.ledger.cancels++
	case statementMessage:
		s := Statement{Connection: c.stats.ID, Type: m.Type, SQL: m.SQL}
		p.ledger.statements = appendBounded(p.ledger.statements, s)
	}
}

// pair notes which reply will count where that is told by messages. The caller
// holds the proxy's mutex.
func (c *connection) pair(m Message) {
	was := c.paired
	c.paired = c.requests.paired()
	if (was || c.paired) && m.kind != attentionMessage {
		c.unanswered = true
	}
}

// markBurst notes that the client has sent bytes for which no reply has been
// delivered.
func (p *Proxy) markBurst(c *connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !c.paired {
		c.unanswered = true
	}
}

// count counts n bytes about to be written in direction dir, and a round trip
// if they are the first of a reply. The caller holds the mutex.
func (l *ledger) count(c *connection, dir Direction, n int) {
	c.stats.add(c, dir, n)
	if !c.stats.Cancel {
		l.total.add(c, dir, n)
	}
	if dir == Down {
		c.unanswered = false
	}
}

func (s *ConnectionStats) add(c *connection, dir Direction, n int) {
	if dir == Up {
		s.BytesUp += int64(n)
		return
	}
	s.BytesDown += int64(n)
	if c.unanswered {
		s.RoundTrips++
	}
}

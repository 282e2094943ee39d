// Package faultproxy is a TCP proxy for tests. It stands between a database
// driver and a real server, counts the round trips the driver makes, adds
// latency, and breaks connections at a chosen byte or message.
//
// # The model
//
// Bytes of one direction of a connection pass these stations, in order:
//
//  1. they are read from the sender and stamped with the moment at which the
//     latency set by [Proxy.SetRTT] has passed;
//  2. they wait for that moment, and then for as long as [Proxy.Stall] holds
//     the direction;
//  3. client bytes are split into messages, recorded, and matched with the
//     rules set by [Proxy.Rule];
//  4. byte cuts set by [Proxy.CutAfter] are applied;
//  5. the bytes are counted and then written to the receiver.
//
// The end of a stream passes the same stations, so a client that gives up
// while the network is silent is not noticed by the server until it speaks
// again.
//
// # Protocols
//
// The proxy is agnostic of the protocol, but understands enough of
// PostgreSQL's (version 3) and of TDS (7.2 and later, SQL Server's), both
// without encryption, to know one message from the next. The first byte of a
// connection says which may be spoken. A connection whose first packet is a
// PostgreSQL start-up packet or a TDS PRELOGIN is split into messages; an
// incomplete message is withheld from the server until the rest arrives. Every
// other connection is opaque: what was read at once, at most 32 KiB, stands for
// a message. Up to seven leading bytes of a connection may be withheld while
// they could still be the beginning of such a packet.
//
// A connection that changes to encryption is opaque from there on: bytes pass
// and byte cuts work, but no rule sees a statement. SQL Server encrypts the
// login even where neither side demands encryption, so its clients must switch
// it off, by encrypt=disable in go-mssqldb, for their messages to be known.
//
// A connection that carries a PostgreSQL CancelRequest is subject to latency,
// stalls, [Proxy.Refuse] and [Proxy.CutAll] as any other, but is left alone by
// rules and byte cuts. It appears in [Proxy.Connections] and [Proxy.Cancels]
// and in no other total. A TDS attention is a message of its connection like
// any other; it appears in [Proxy.Cancels] and is no round trip.
package faultproxy

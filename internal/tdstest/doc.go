// Package tdstest is a simulator of SQL Server for tests: a server that the
// unmodified go-mssqldb driver talks to over TDS, in the process of the test.
//
// # What it proves
//
// It is for the cases that a real server cannot be made to show on demand: a
// reply that is lost after COMMIT, a deadlock's victim, an attention in the
// middle of a lock wait, a transaction descriptor gone stale. It proves that a
// client handles what the simulator sends. It proves nothing about a real SQL
// Server, and a test that passed on it has not been run on SQL Server.
//
// This package is the protocol; package engine beneath it is the behaviour.
//
// # Captured, documented, inferred
//
// Captured from a real server: the replies to a login and to an attention
// during a request (the request's own reply, with the error bit and without an
// error, then a message that is the acknowledgement alone), the byte forms of
// ENVCHANGE 8, 9 and 10, and that BEGIN and COMMIT in T-SQL send them too.
//
// Documented in MS-TDS: the forms of packets, tokens and types, the reset bits,
// and that a request taken back by the ignore bit is answered by a DONE with
// the error bit.
//
// Seen with the real driver, or inferred, and to be checked on a real server
// before anything is built on it: the texts and states of 3989, 3926 and 3971
// and that these end the request and not the transaction; that a reset which
// rolls back sends ENVCHANGE 18 and no 10; that the connection of a killed
// session which is idle drops without an error; the order of ENVCHANGE 10 and
// the error in the reply to a fault with Rollback. Error 50000 is the
// simulator's own: it tells of what is not simulated, or of a reply of the
// engine that cannot be encoded.
//
// # Use
//
//	server, err := tdstest.Start()
//	db, err := sql.Open("sqlserver", server.URL("sa", "any", "master"))
//	server.Inject(
//		tdstest.Match{Operation: tdstest.OperationCommit},
//		tdstest.Fault{Cut: tdstest.CutBeforeReply},
//	)
//
// # What it does not do
//
// There is no TLS, no MARS, no bulk load, no integrated or federated login, no
// cursors, and no text, image, xml, sql_variant or table-valued parameters.
// What is well formed and not simulated is refused by an error that says so;
// what is malformed ends the connection.
package tdstest

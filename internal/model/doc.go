// Package model is the library's argument as a state machine, small enough to
// be searched as a whole: the gates and pools of several processes, the units
// that go through them, a server with sessions, transactions and a lock queue,
// and what may break between them. Search visits every state that some order
// of events leads to and reports the first that must not be, with the events
// that led there.
//
// What is modelled of the library is how it behaves by its code: the gate
// (which a test holds against package gate itself, operation by operation), the
// order in which a unit takes gates, connection and locks and gives them back,
// what it makes of each failure, Retry, Resolve, and the count of connections
// that RequiresNew keeps. The server's part is what the manuals promise: locks
// in order of arrival, an end of a transaction that frees them after its work
// is seen, a session that lives until the server notices that its client has
// gone. A Mutant breaks one of these rules; the tests show that each is found.
//
// The model leaves out time (a limit that passes is a cancel), the text of
// statements, savepoints, locks that are acquired later, and holds.
package model

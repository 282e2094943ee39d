// Package filelock keeps named locks as files of one directory, for the
// processes of one host.
//
// What excludes is the operating system's lock (flock) on a name's files, which
// ends with the process that holds it: one file for shared and exclusive, one
// beside it for update. A script takes the same lock with flock(1).
//
// Beside these each holder or waiter keeps a record, a file that it has locked
// for as long as it lives, so that a record whose file can be locked is a dead
// one's. Records say who holds and who waits, since when, and for what: from
// them come the order of waiting, the discovery of deadlocks and the answers to
// questions. Records are read and written under one short lock for all of the
// directory. A wrong record can make somebody wait or fail, but never lets two
// in that exclude each other.
package filelock

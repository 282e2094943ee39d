// Package sqlite is the dialect of SQLite, on modernc.org/sqlite, which needs no
// C compiler.
//
// Named locks are locks of files beside the database, in the directory
// <database>.locks: SQLite has none. They are held until the transaction has
// ended, and end with the process. A database is meant for the processes of one
// host; network file systems are refused.
//
// SQLite lets one transaction write at a time. A unit begins IMMEDIATE with its
// first statement, so that it waits there and its later statements cannot fail
// for another writer. A unit that only holds locks begins nothing, and a
// ReadOnly unit begins DEFERRED and is refused writes by the engine.
//
// A database must be opened by Open: the dialect has to see what the driver's
// connection does, and every connection needs the same settings.
package sqlite

// Package chaos holds what units of work and locks promise against a real
// server while everything around them breaks. Worker processes run a seeded mix
// of units, a nemesis breaks processes, connections, sessions and the server
// under them, and a checker then holds what the workers were told against what
// the database has. [Main] is the program, which make chaos runs.
//
// # What a worker leaves
//
// A worker writes its history to a file of its own, each line by one write
// before what it announces is done: that a unit begins; its vote, which lists
// every row that the unit has written, before COMMIT can be sent; the outcome
// that the library reported; and what Resolve made of a doubt. A process that is
// killed leaves a history that ends early, never one that lies.
//
// Every row of the table effects carries the id of its unit and the number of
// the run, so that nothing can be there twice or by halves unseen.
//
// # Mutual exclusion
//
// No clock of a client and no witness beside the transaction is trusted, for
// neither dies with it. The evidence is the server's own, of two kinds.
//
// Fences. Under the exclusive lock of a name a unit reads the greatest number of
// that name in effects and adds a row with the next one. No constraint forbids
// equal numbers. Two units that were inside at once, or one that read what was
// older than its lock, have left one number twice; a lost unit leaves a gap.
// Counters and balances are read, changed in the client and written back, so
// that they lose updates where locks exclude nobody.
//
// Ticks. While it believes to hold locks, a unit asks within its transaction for
// the server's log position, which never goes back while the server runs. Between
// its first and its last tick the unit was inside without doubt, for what answered
// was its open, unfailed transaction, whose locks have no earlier end. What it
// believes to hold is what applock.Held says, so that the library's books are on
// trial as well. A trigger draws one more tick during COMMIT. Two such intervals of
// one name and of modes that exclude each other must not overlap, whatever became
// of the units. A killed process needs no judgement: its interval ends with its
// last tick. Log positions are compared within one run of the server alone, for a
// crash may take unflushed ones back; no lock survives it either.
//
// With every third tick the server is also asked whether the session holds, in
// pg_locks, the locks that the library says it does.
//
// # Other databases
//
// A target is what the package needs to know of a product: how it is opened, its
// tables, its levels and ticks, and how sessions are found and ended. What a
// target cannot do, its nemesis leaves out.
//
// On the simulator of SQL Server a tick is the identity of a row that the
// transaction adds to a table: identities are given out in order, and not given
// back. No tick is drawn during COMMIT there.
//
// SQLite has no server. What all processes have in common is the kernel: a tick is
// its monotonic clock, which the engine is asked for within the transaction. A unit
// that has begun to write excludes all other writers whatever its locks do, so a
// unit also ticks before its first statement, and some units that may not write
// hold exclusive locks. Whether a lock is held is asked of the kernel as well, by
// trying to lock its file.
package chaos

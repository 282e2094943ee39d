// Package dialect is the contract between a unit of work and a database
// engine: how a transaction is begun with its locks, how it is ended, and what
// the engine's errors mean. It imports the standard library only.
//
// Applications use packages uow and applock and one implementation, such as
// dialect/postgres. This package is for those who write an implementation;
// package dialecttest holds the suite that every implementation passes.
//
// # Obligations of an implementation
//
//   - A transaction never runs a statement outside itself. After the server has
//     aborted it, every statement must fail until it is rolled back.
//   - Commit reports Committed or RolledBack only when the server said so.
//   - A lock lives from its grant to the end of its transaction, and there is
//     no other way to give it back.
//   - Errors are told apart in one place, Classify.
package dialect

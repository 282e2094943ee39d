// Package uow runs units of work: code that writes to a database in one
// transaction on one connection, however many functions take part.
//
// A Manager begins units on one database. Do runs a function in a unit and
// commits when it returns nil; a Do inside it, on the same Manager, joins. Begin
// is for code that writes its own end. The unit travels in the context.
//
//	err := m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
//		if err := orders.Save(ctx, order); err != nil { // joins through ctx
//			return err
//		}
//		_, err := u.ExecContext(ctx, "update stock set …")
//		return err
//	})
//
// # What may commit
//
// Only a function that returned nil votes for the commit. An error, a panic,
// runtime.Goexit and a ctx that ended vote against it. A vote against by a
// joined function dooms the whole unit even if the function around it swallows
// the error: the outermost Do then returns *UnexpectedRollbackError.
//
// # What is true
//
// Do returns nil only when the server acknowledged COMMIT. When COMMIT was sent
// and its answer was lost, it returns *InDoubtError, whose Resolve asks the
// server. Such a unit is never run again by Retry.
//
// # Connections
//
// A unit takes its connection with its first statement and gives it back when it
// ends, or discards it when it is not known to be clean. Named locks, from
// package applock, end with the transaction.
package uow

// Package mssql is the dialect of Microsoft SQL Server and Azure SQL, on
// github.com/microsoft/go-mssqldb.
//
// Named locks are those of sp_getapplock with the transaction as their owner:
// they end with it. Every transaction is begun with an explicit isolation, by
// the driver's own request, which makes the driver refuse whatever would run
// after the server has ended the transaction. Statements run under
// SET XACT_ABORT ON, those of Nested scopes under OFF, so that a savepoint can
// recover from their errors.
//
// A database must be opened by Open or OpenConfig: the dialect has to see what
// the driver's connection does.
package mssql

// Package postgres is the dialect of PostgreSQL 13 and later, on pgx's
// database/sql driver.
//
// It works on any *sqlx.DB opened with driver "pgx"; Open sets what a careful
// user would. Where *sql.Conn.Raw yields the driver's own connection, BEGIN
// travels with the locks or with the first statement in one message; behind a
// driver wrapper that hides it, every statement is a round trip of its own.
package postgres

package main

import (
	"context"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/dialect/mssql"
	"github.com/lockstep-go/lockstep/dialect/postgres"
	"github.com/lockstep-go/lockstep/dialect/sqlite"
)

// product is what the program knows of a database product. An application that
// runs on one needs no more of this than open and dialect.
type product struct {
	name    string
	open    func(dsn string) (*sqlx.DB, error)
	dialect dialect.Dialect

	// settle makes a place of that name for the story's tables, and returns the
	// connection string that leads to it, and what removes it with all that is
	// in it.
	settle func(ctx context.Context, dsn, name string) (place string, remove func(context.Context) error, err error)

	serial string // the type of a column that numbers rows as they come
	// writers counts the transactions that wrote orders and stock; empty where
	// the server does not keep which transaction wrote a row.
	writers string
}

// productOf tells the product that a connection string is for. Without one it is
// SQLite, which needs no server.
func productOf(dsn string) product {
	switch {
	case dsn == "" || strings.HasPrefix(dsn, fileScheme):
		return product{
			name:    "SQLite, in a temporary file",
			open:    func(dsn string) (*sqlx.DB, error) { return sqlite.Open(dsn) },
			dialect: sqlite.Dialect(),
			settle:  settleInFiles,
			serial:  "integer primary key",
		}
	case strings.HasPrefix(dsn, "sqlserver:"):
		return product{
			name:    "SQL Server",
			open:    mssql.Open,
			dialect: mssql.Dialect(),
			settle: server{
				open:    mssql.Open,
				create:  "create database ",
				drop:    []string{"alter database %[1]s set single_user with rollback immediate; drop database %[1]s", "drop database %s"},
				setting: "database",
			}.settle,
			serial: "int identity",
		}
	}
	return product{
		name:    "PostgreSQL",
		open:    postgres.Open,
		dialect: postgres.Dialect(),
		settle: server{
			open:    postgres.Open,
			create:  "create schema ",
			drop:    []string{"drop schema %s cascade"},
			setting: "search_path",
		}.settle,
		serial: "int generated always as identity",
		writers: `select count(distinct writer) from (
			select xmin::text as writer from orders union all select xmin::text from stock) writers`,
	}
}

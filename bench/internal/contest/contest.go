// Package contest holds the contestants: each does the same work on the same
// tables in the way its own documentation tells users to.
package contest

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/lockstep-go/lockstep/dialect/postgres"
)

// PoolSize is how many connections each contestant may have, and keeps.
const PoolSize = 8

// The statements that all contestants run, in the placeholders of PostgreSQL.
const (
	insertOrder = "insert into orders (article, quantity) values ($1, $2)"
	takeStock   = "update stock set quantity = quantity - $2 where article = $1"
	readStock   = "select quantity from stock where article = $1"
)

// The same for libraries that have placeholders of their own.
const (
	markedInsert = "insert into orders (article, quantity) values (?, ?)"
	markedTake   = "update stock set quantity = quantity - ? where article = ?"
	markedRead   = "select quantity from stock where article = ?"
)

// All locks of a transaction are taken by one statement: the server works from
// left to right.
const (
	lockInTx        = "pg_advisory_xact_lock"
	lockInSession   = "pg_advisory_lock"
	unlockInSession = "pg_advisory_unlock"
)

// calls is a statement that calls a function of a lock for so many locks.
func calls(function string, n int) string {
	text := "select " + function + "($1)"
	for i := 2; i <= n; i++ {
		text += ", " + function + "($" + strconv.Itoa(i) + ")"
	}
	return text
}

// markedCalls is calls with placeholders of other libraries.
func markedCalls(function string, n int) string {
	return "select " + function + "(?)" + strings.Repeat(", "+function+"(?)", n-1)
}

// keys are the arguments of calls.
func keys(names []string) []any {
	all := make([]any, len(names))
	for i, name := range names {
		all[i] = postgres.Key(name)
	}
	return all
}

// Schema makes the tables. Articles are numbered from 1 to Articles.
const Schema = `
	create table orders (id bigint generated always as identity primary key, article int not null, quantity int not null);
	create table stock (article int primary key, quantity bigint not null);
	insert into stock select n, 1000000000 from generate_series(1, 1000) n;`

// Articles is how many rows the table of stock has, and Stock how much there is of
// each.
const (
	Articles = 1000
	Stock    = 1_000_000_000
)

// Order is what is saved.
type Order struct{ Article, Quantity int }

// A Contestant does the work of the benchmarks on a pool of its own. A nil
// function is work that it has no way to do.
type Contestant struct {
	Name string // short, for tables
	Note string // what it is and which version

	// Save inserts one row in a transaction.
	Save func(ctx context.Context, o Order) error
	// SaveLocked inserts one row in a transaction that holds the named locks
	// from before the insert to its end.
	SaveLocked func(ctx context.Context, o Order, names ...string) error
	// Cycle takes a lock and gives it back.
	Cycle func(ctx context.Context, name string) error
	// SaveNested saves through two repositories, each of which would open a
	// transaction by itself, in one transaction.
	SaveNested func(ctx context.Context, o Order) error
	// Read reads one row in a read-only transaction.
	Read func(ctx context.Context, article int) (int64, error)

	Close func() error
}

// The contestants' names.
const (
	Lockstep   = "Lockstep"
	SqlxByHand = "sqlx by hand"
	SqlxOurs   = "sqlx by hand, our handle"
	PgxByHand  = "pgxpool by hand"
	Avito      = "avito trm"
	Gorm       = "gorm"
	Bun        = "bun"
	Session    = "session lock"
	Autocommit = "autocommit"
)

// makers open the contestants, in the order of tables.
var makers = []struct {
	name string
	open func(ctx context.Context, url string) (*Contestant, error)
}{
	{Lockstep, openLockstep},
	{SqlxByHand, openSqlx},
	{SqlxOurs, openSqlxOurs},
	{PgxByHand, openPgx},
	{Avito, openAvito},
	{Gorm, openGorm},
	{Bun, openBun},
	{Session, openSession},
	{Autocommit, openAutocommit},
}

// Names are those of all contestants, in the order of tables, ours first.
func Names() []string {
	names := make([]string, len(makers))
	for i, m := range makers {
		names[i] = m.name
	}
	return names
}

// Open opens all contestants that want approves of, on the database at url.
// Close each of them.
func Open(ctx context.Context, url string, want func(name string) bool) ([]*Contestant, error) {
	var all []*Contestant
	for _, m := range makers {
		if !want(m.name) {
			continue
		}
		c, err := m.open(ctx, url)
		if err != nil {
			CloseAll(all)
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
		c.Name = m.name
		all = append(all, c)
	}
	return all, nil
}

// CloseAll closes contestants whose work is done; what their pools say to that
// tells nothing.
func CloseAll(all []*Contestant) {
	for _, c := range all {
		_ = c.Close()
	}
}

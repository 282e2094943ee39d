// Package exampledb gives every runnable Example of this module a database of
// its own.
package exampledb

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect/postgres"
	"github.com/lockstep-go/lockstep/integration/servers"
)

// patience bounds the making and the dropping of a database.
const patience = 30 * time.Second

// Open makes a database on the server that the package's TestMain has found,
// runs statements in it, and returns a pool on it with the function that closes
// the pool and drops the database. Examples cannot fail softly, so it panics
// where it cannot do that.
func Open(statements ...string) (*sqlx.DB, func()) {
	dsn, drop := New()
	db, err := postgres.Open(dsn)
	if err != nil {
		panic(err)
	}
	execute(db, statements...)
	return db, func() {
		if err := db.Close(); err != nil {
			panic(err)
		}
		drop()
	}
}

// New makes an empty database and returns its URL with the function that drops
// it. It panics where it cannot.
func New() (dsn string, drop func()) {
	server, err := url.Parse(os.Getenv(servers.EnvPostgresURL))
	if err != nil || server.Host == "" {
		panic(errors.New("exampledb: " + servers.EnvPostgresURL + " must be a URL; TestMain sets it"))
	}
	name := "lockstep_example_" + strings.ToLower(rand.Text())
	administer(server, "create database "+name+" template template0")
	own := *server
	own.Path = "/" + name
	return own.String(), func() { administer(server, "drop database "+name+" with (force)") }
}

// administer runs one statement in the server's own database.
func administer(server *url.URL, statement string) {
	db, err := postgres.Open(server.String())
	if err != nil {
		panic(err)
	}
	defer db.Close()
	execute(db, statement)
}

func execute(db *sqlx.DB, statements ...string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, statement := range statements {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			panic(err)
		}
	}
}

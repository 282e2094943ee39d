// Package anydb opens the database that a user of the examples has named. A
// program that runs on one database needs only the two lines of its case.
package anydb

import (
	"errors"
	"path/filepath"
	"strings"

	"github.com/lockstep-go/lockstep/dialect/postgres"
	"github.com/lockstep-go/lockstep/dialect/sqlite"
	"github.com/lockstep-go/lockstep/uow"
)

// Open returns the Manager of a PostgreSQL database by its URL, or of a SQLite
// database by the path of its file, which is made if need be. It connects to
// none yet; the caller closes the Manager's DB. Errors repeat no password.
func Open(address string) (*uow.Manager, error) {
	scheme, _, isURL := strings.Cut(address, "://")
	switch {
	case scheme == "postgres" || scheme == "postgresql":
		db, err := postgres.Open(address)
		if err != nil {
			return nil, err
		}
		return uow.New(db, postgres.Dialect()), nil
	case address == "" || isURL:
		return nil, errors.New("not a database: want postgres://… or the path of a SQLite file")
	}
	db, err := sqlite.Open(filepath.Clean(address))
	if err != nil {
		return nil, err
	}
	return uow.New(db, sqlite.Dialect()), nil
}

// Package database knows the databases that can hold locks, by their URLs. Each
// is an entry of one table.
package database

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/uow"
)

// A Product is a kind of database.
type Product struct {
	ID   string // as the library calls it
	Name string // as everybody calls it

	schemes []string
	isPath  func(address string) bool // of what has no scheme; nil if it needs one
	open    func(address string) (*sqlx.DB, error)
	dialect func() dialect.Dialect
	recipe  func(address, name string, mode applock.Mode) (Recipe, error)
	end     func(ctx context.Context, db *sqlx.DB, name string, holder applock.Session) error
}

// A Recipe tells how a program in another language takes a lock.
type Recipe struct {
	Product string `json:"product"`
	What    string `json:"what"` // what Key is: a key, a resource, a file
	Key     string `json:"key"`
	Code    string `json:"code"` // takes the lock
}

// products is the table.
func products() []Product {
	return []Product{postgresProduct(), mssqlProduct(), sqliteProduct()}
}

// Schemes are the schemes of the URLs of all products.
func Schemes() (all []string) {
	for _, p := range products() {
		all = append(all, p.schemes...)
	}
	return all
}

// Recipes tell how the lock is taken on each product: in the database of that
// URL, if it is one of the product's, or else in one opened by default. A product
// that has no default for this user is left out. Nothing is made.
func Recipes(address, name string, mode applock.Mode) ([]Recipe, error) {
	chosen, err := Choose(address)
	if err != nil {
		return nil, err
	}
	var all []Recipe
	for _, p := range products() {
		address := ""
		if p.ID == chosen.ID {
			address = chosen.address
		}
		r, err := p.recipe(address, name, mode)
		if errors.Is(err, ErrNone) && p.ID != chosen.ID {
			continue // it has no place for this user
		}
		if err != nil {
			return nil, err
		}
		r.Product = p.Name
		all = append(all, r)
	}
	return all, nil
}

// ErrAddress is returned for what cannot be the URL of a database. Its text
// never repeats that, which may hold a password.
var ErrAddress = errors.New("not a database")

// ErrNone is returned where no database was named and there is no default.
var ErrNone = errors.New("no database: name one by --db or " + Variable)

// Variable is the environment's variable that names the database.
const Variable = "LOCKSTEP_DB"

// A Database is one that was named.
type Database struct {
	Product
	address string
	own     bool // the default, whose folder may be missing
}

// Choose finds the database of that URL; the default for the empty one.
func Choose(address string) (Database, error) {
	own := address == ""
	if own {
		var err error
		if address, err = Default(); err != nil {
			return Database{}, err
		}
	}
	scheme, _, found := strings.Cut(address, ":")
	for _, p := range products() {
		matches := func(s string) bool { return found && strings.EqualFold(s, scheme) }
		if slices.ContainsFunc(p.schemes, matches) || p.isPath != nil && p.isPath(address) {
			return Database{p, address, own}, nil
		}
	}
	return Database{}, fmt.Errorf("%w: want the path of a SQLite file, or a URL of one of the schemes %s", ErrAddress, strings.Join(Schemes(), ", "))
}

// Open returns a Manager of the database, and what closes it. It connects to
// none; of the default it makes the folder. An address that cannot be read is
// ErrAddress; what cannot be used has a dialect.Kind.
func (d Database) Open() (m *uow.Manager, closing func(), err error) {
	if d.own {
		if err := makeFolder(filepath.Dir(d.address)); err != nil {
			return nil, nil, noPlace(err)
		}
	}
	db, err := d.open(d.address)
	if err != nil {
		return nil, nil, Hide(notOpened(err), d.address)
	}
	return uow.New(db, d.dialect()), func() { _ = db.Close() }, nil
}

// notOpened tells addresses that cannot be read from what they lead to.
func notOpened(err error) error {
	var file *fs.PathError // of a certificate, for example
	switch {
	case errors.Is(err, ErrAddress), dialect.KindOf(err) != dialect.Unknown:
		return err
	case errors.As(err, &file):
		return &dialect.Error{Kind: dialect.Unavailable, Err: err}
	}
	return fmt.Errorf("%w: %w", ErrAddress, err)
}

// ErrCannotEnd is returned by End on a product that cannot end a session.
var ErrCannotEnd = errors.New("cannot end who holds a lock")

// ErrNotPermitted is returned by End when the role may not end the session.
var ErrNotPermitted = errors.New("not permitted")

// End ends the session that holds the named lock, if it still does.
func (d Database) End(ctx context.Context, m *uow.Manager, name string, holder applock.Session) error {
	return Hide(d.end(ctx, m.DB(), name, holder), d.address)
}

// Hide returns err with what is secret in the database's URL left out.
func (d Database) Hide(err error) error { return Hide(err, d.address) }

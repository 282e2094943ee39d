package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/examples/internal/anydb"
	"github.com/lockstep-go/lockstep/uow"
)

//go:embed steps/*.sql
var files embed.FS

// A tenant has tables of its own: in a file on SQLite, in a schema on PostgreSQL.
type tenant struct {
	name    string
	m       *uow.Manager
	dialect goose.Dialect
	schema  string // to be made; empty on SQLite
}

var tenantName = regexp.MustCompile(`^[a-z0-9_]{1,40}$`)

// openTenant opens the tables of one tenant: address is the URL of a PostgreSQL,
// or a folder of SQLite files. The caller closes the Manager's DB.
func openTenant(address, name string) (*tenant, error) {
	if !tenantName.MatchString(name) {
		return nil, fmt.Errorf("tenant %q: want letters a to z, digits and underscores", name)
	}
	t := &tenant{name: name, dialect: goose.DialectSQLite3}
	own := filepath.Join(address, name+".db")
	if strings.Contains(address, "://") {
		t.dialect, t.schema = goose.DialectPostgres, "tenant_"+name
		parsed, err := url.Parse(address)
		if err != nil {
			return nil, errors.New("not the URL of a database") // which may hold a password
		}
		query := parsed.Query()
		query.Set("search_path", t.schema)
		parsed.RawQuery = query.Encode()
		own = parsed.String()
	}
	m, err := anydb.Open(own)
	if err != nil {
		return nil, err
	}
	t.m = m.With(uow.Label("migrate"))
	return t, nil
}

// patience is how long to wait for another runner of the same tenant.
const patience = 10 * time.Minute

// upgradeLock is held by whoever upgrades the tenant.
func (t *tenant) upgradeLock() applock.Lock {
	return applock.Exclusive("tenant:" + t.name + ":upgrade").Wait(patience)
}

// upgrade applies the steps that are missing. Any number of processes may do so
// at once: one works, and the others wait and find nothing left to do.
func (t *tenant) upgrade(ctx context.Context, opts ...goose.ProviderOption) ([]*goose.MigrationResult, error) {
	if err := t.createSchema(ctx); err != nil {
		return nil, err
	}
	steps, err := fs.Sub(files, "steps")
	if err != nil {
		return nil, err
	}
	// What goose does must end when the lock is lost.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	opts = append(opts, goose.WithSessionLocker(NewLocker(t.m, t.upgradeLock(), cancel)), goose.WithDisableGlobalRegistry(true))
	provider, err := goose.NewProvider(t.dialect, t.m.DB().DB, steps, opts...)
	if err != nil {
		return nil, err
	}
	return provider.Up(ctx)
}

// createSchema makes the place of the tenant's tables if there is none. That
// needs no waiting for a runner who may take long.
func (t *tenant) createSchema(ctx context.Context) error {
	if t.schema == "" {
		return nil
	}
	return t.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		_, err := u.ExecContext(ctx, "create schema if not exists "+t.schema)
		return err
	}, applock.With(applock.Exclusive("tenant:"+t.name+":schema")))
}

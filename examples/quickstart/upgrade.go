package main

import (
	"context"
	"fmt"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/uow"
)

// steps bring a tenant's schema from one version to the next. None of them can
// be run twice. PostgreSQL, SQL Server and SQLite read them alike.
var steps = []string{
	"create table invoice (id bigint primary key)",
	"alter table invoice add customer varchar(100) not null default ''",
	"alter table invoice add total numeric(12, 2) not null default 0",
	"alter table invoice add currency varchar(3) not null default 'EUR'",
	"create table payment (id bigint primary key, invoice bigint not null references invoice)",
	"alter table payment add amount numeric(12, 2) not null default 0",
	"create index payment_invoice on payment (invoice)",
	"alter table invoice add settled int not null default 0",
}

// Upgrades upgrades the schema of one tenant.
type Upgrades struct {
	m      *uow.Manager
	tenant int
	inside func(step int) error // called inside every step, before its commit
}

// lockName is the name of the lock that whoever upgrades the tenant holds.
func lockName(tenant int) string { return fmt.Sprintf("tenant:%d:upgrade", tenant) }

// All applies every step that is missing. Any number of workers may do so at
// once, in any number of processes: the lock lets one apply one step at a time.
func (p Upgrades) All(ctx context.Context, worker string) error {
	for {
		applied, err := p.next(ctx, worker)
		if err != nil || !applied {
			return err
		}
	}
}

// next applies the next step, in one transaction with the new version, and
// reports whether there was one.
func (p Upgrades) next(ctx context.Context, worker string) (bool, error) {
	lock := applock.Exclusive(lockName(p.tenant))
	return uow.Value(ctx, p.m, func(ctx context.Context, u *uow.UnitOfWork) (bool, error) {
		var version int
		err := u.GetContext(ctx, &version, u.Rebind("select version from tenant where id = ?"), p.tenant)
		if err != nil || version == len(steps) {
			return false, err
		}
		if err := apply(ctx, u, p.tenant, version+1, worker); err != nil {
			return false, fmt.Errorf("step %d: %w", version+1, err)
		}
		return true, p.inside(version + 1)
	}, applock.With(lock), uow.Label(worker))
}

func apply(ctx context.Context, u *uow.UnitOfWork, tenant, step int, worker string) error {
	if _, err := u.ExecContext(ctx, steps[step-1]); err != nil {
		return err
	}
	const note = "update tenant set version = ? where id = ?"
	if _, err := u.ExecContext(ctx, u.Rebind(note), step, tenant); err != nil {
		return err
	}
	const log = "insert into upgrade_log (step, worker) values (?, ?)"
	_, err := u.ExecContext(ctx, u.Rebind(log), step, worker)
	return err
}

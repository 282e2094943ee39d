package applock_test

import (
	"os"
	"testing"

	"github.com/lockstep-go/lockstep/dialect/postgres"
	"github.com/lockstep-go/lockstep/integration/servers/serverstest"
	"github.com/lockstep-go/lockstep/internal/docs/exampledb"
	"github.com/lockstep-go/lockstep/uow"
)

func TestMain(m *testing.M) { os.Exit(serverstest.Main(m)) }

// openTenants returns a Manager on a database of tenants, of which number 42
// has schema version 0, and the function that drops it.
func openTenants() (*uow.Manager, func()) {
	db, drop := exampledb.Open(
		"create table tenant (id int primary key, version int not null)",
		"create table account (id int primary key, tenant int not null references tenant, balance int not null)",
		"insert into tenant values (42, 0)",
		"insert into account values (1, 42, 100), (2, 42, 0)",
	)
	return uow.New(db, postgres.Dialect()), drop
}

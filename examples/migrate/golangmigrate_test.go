package main

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	"github.com/golang-migrate/migrate/v4/database/pgx/v5"
	"github.com/golang-migrate/migrate/v4/database/sqlite"
	"github.com/golang-migrate/migrate/v4/source/iofs"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/examples/internal/anydb"
	"github.com/lockstep-go/lockstep/examples/internal/anydb/anydbtest"
	"github.com/lockstep-go/lockstep/integration/servers/serverstest"
	"github.com/lockstep-go/lockstep/uow"
)

// UpgradeByMigrate applies what is missing by golang-migrate, under a lock.
func UpgradeByMigrate(ctx context.Context, m *uow.Manager, tool *migrate.Migrate, lock applock.Lock) error {
	return applock.Hold(ctx, m, func(ctx context.Context) error {
		// It takes no ctx. When that ends, for want of the lock or otherwise, it
		// stops after the step that is under way.
		stop := context.AfterFunc(ctx, func() { tool.GracefulStop <- true })
		defer stop()
		if err := tool.Up(); err != nil && !errors.Is(err, migrate.ErrNoChange) {
			return err
		}
		return context.Cause(ctx)
	}, lock)
}

// migrateTool opens the tool on the tenant's tables, on connections of its own.
func migrateTool(t *testing.T, address string) (*migrate.Migrate, *uow.Manager) {
	t.Helper()
	m := anydbtest.Open(t, address)
	own, err := anydb.Open(address) // the tool closes what it is given
	if err != nil {
		t.Fatal(err)
	}
	var driver database.Driver
	if own.DB().DriverName() == "pgx" {
		driver, err = pgx.WithInstance(own.DB().DB, &pgx.Config{})
	} else {
		driver, err = sqlite.WithInstance(own.DB().DB, &sqlite.Config{})
	}
	if err != nil {
		t.Fatal(err)
	}
	source, err := iofs.New(fstest.MapFS{
		"1_invoice.up.sql": {Data: []byte("create table invoice (id int primary key, total int not null)")},
		"2_first.up.sql":   {Data: []byte("insert into invoice values (1, 25)")},
		"3_cents.up.sql":   {Data: []byte("update invoice set total = total * 100")},
	}, ".")
	if err != nil {
		t.Fatal(err)
	}
	tool, err := migrate.NewWithInstance("iofs", source, own.DB().DriverName(), driver)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(tool.Close()); err != nil {
			t.Error(err)
		}
	})
	return tool, m
}

func TestUpgradeByMigrate(t *testing.T) {
	t.Parallel()
	anydbtest.Each(t, func(t *testing.T, address string) {
		lock := applock.Exclusive("tenant:42:upgrade")
		var runners sync.WaitGroup
		for range 3 {
			tool, m := migrateTool(t, address)
			runners.Go(func() {
				if err := UpgradeByMigrate(t.Context(), m, tool, lock); err != nil {
					t.Error(err)
				}
			})
		}
		runners.Wait()
		_, m := migrateTool(t, address)
		if total := anydbtest.Int(t, m, "select total from invoice"); total != 2500 {
			t.Errorf("total %d, want 2500", total)
		}
		tool, m := migrateTool(t, address)
		err := applock.Hold(t.Context(), m, func(context.Context) error {
			return UpgradeByMigrate(t.Context(), m, tool, lock.NoWait())
		}, lock)
		if !errors.Is(err, applock.ErrTimeout) {
			t.Errorf("while another holds the lock: %v", err)
		}
	})
}

// What docs/migrations.md says of the tool's own lock: after its time-out the
// statement goes on waiting, and is granted the lock that nobody wants any more.
func TestMigrateLeavesAWaiterBehind(t *testing.T) {
	t.Parallel()
	address := serverstest.PostgresDatabase(t)
	m := anydbtest.Open(t, address)
	holder, err := pgx.WithInstance(anydbtest.Open(t, address).DB().DB, &pgx.Config{})
	if err != nil {
		t.Fatal(err)
	}
	tool, _ := migrateTool(t, address)
	tool.LockTimeout = time.Millisecond
	if err := holder.Lock(); err != nil {
		t.Fatal(err)
	}
	if err := tool.Up(); !errors.Is(err, migrate.ErrLockTimeout) {
		t.Errorf("error %v, want a time-out", err)
	}
	locks := func(granted bool) int {
		const count = "select count(*) from pg_locks where locktype = 'advisory' and granted = ? and database = (select oid from pg_database where datname = current_database())"
		return anydbtest.Int(t, m, count, granted)
	}
	anydbtest.Eventually(t, "a statement waits", func() bool { return locks(false) == 1 })
	if err := holder.Unlock(); err != nil {
		t.Fatal(err)
	}
	anydbtest.Eventually(t, "it was granted the lock", func() bool { return locks(false) == 0 })
	if n := locks(true); n != 1 {
		t.Errorf("%d locks are held, want that of the tool which gave up", n)
	}
}

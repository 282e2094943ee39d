package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect/sqlite"
	"github.com/lockstep-go/lockstep/examples/internal/anydb/anydbtest"
	"github.com/lockstep-go/lockstep/integration/servers/serverstest"
	"github.com/lockstep-go/lockstep/internal/pooltest"
	"github.com/lockstep-go/lockstep/uow"
)

// asProgram makes the test binary the program itself.
const asProgram = "MIGRATE_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(serverstest.Main(m))
}

// each runs a test with an address for tenants on every database.
func each(t *testing.T, test func(t *testing.T, address string)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		test(t, t.TempDir())
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		test(t, serverstest.PostgresDatabase(t))
	})
}

// open opens a tenant until the test ends.
func open(t *testing.T, address, name string) *tenant {
	t.Helper()
	own, err := openTenant(address, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := own.m.DB().Close(); err != nil {
			t.Error(err)
		}
	})
	return own
}

// wantUpgraded checks that every step was applied to the tenant, once.
func (t *tenant) wantUpgraded(tb testing.TB, steps int) {
	tb.Helper()
	if n := anydbtest.Int(tb, t.m, "select count(*) from goose_db_version where version_id > 0"); n != steps {
		tb.Errorf("tenant %s: %d steps are recorded, want %d", t.name, n, steps)
	}
	if total := anydbtest.Int(tb, t.m, "select total from invoice"); total != 2500 {
		tb.Errorf("tenant %s: total %d, want 2500", t.name, total)
	}
	pooltest.WantAllBack(tb, t.m.DB())
}

// Four processes of the program upgrade the same two tenants at once.
func TestProcessesApplyEveryStepOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, address string) {
		var programs [4]*exec.Cmd
		var all string
		var outs [len(programs)]bytes.Buffer
		for i := range programs {
			programs[i] = exec.CommandContext(t.Context(), os.Args[0], "-db", address, "42", "43")
			programs[i].Env = append(os.Environ(), asProgram+"=1")
			programs[i].Stdout, programs[i].Stderr = &outs[i], &outs[i]
			if err := programs[i].Start(); err != nil {
				t.Fatal(err)
			}
		}
		for i := range programs {
			if err := programs[i].Wait(); err != nil {
				t.Errorf("%v: %s", err, &outs[i])
			}
			all += outs[i].String()
		}
		for _, name := range []string{"42", "43"} {
			open(t, address, name).wantUpgraded(t, 3)
			if n := strings.Count(all, "tenant "+name+": 3 steps applied\n"); n != 1 {
				t.Errorf("%d processes have upgraded tenant %s, want 1:\n%s", n, name, all)
			}
		}
	})
}

// goStep is a fourth step, written in Go.
func goStep(run func(ctx context.Context, tx *sql.Tx) error) goose.ProviderOption {
	return goose.WithGoMigrations(goose.NewGoMigration(4, &goose.GoFunc{RunTx: run}, nil))
}

// upgradeInBackground upgrades a tenant with a fourth step.
func upgradeInBackground(ctx context.Context, t *tenant, step func(context.Context, *sql.Tx) error) <-chan error {
	ended := make(chan error, 1)
	go func() {
		_, err := t.upgrade(ctx, goStep(step))
		ended <- err
	}()
	return ended
}

// Each tenant's step waits until the other's has begun.
func TestTenantsAreUpgradedAtOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, address string) {
		begun := [2]chan struct{}{make(chan struct{}), make(chan struct{})}
		var ended [2]<-chan error
		var tenants [2]*tenant
		for i := range tenants {
			tenants[i] = open(t, address, strconv.Itoa(i))
			ended[i] = upgradeInBackground(t.Context(), tenants[i], func(ctx context.Context, _ *sql.Tx) error {
				close(begun[i])
				select {
				case <-begun[1-i]:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			})
		}
		for i := range tenants {
			if err := <-ended[i]; err != nil {
				t.Error(err)
			}
			tenants[i].wantUpgraded(t, 4)
		}
	})
}

// Two runners of one tenant are never inside together, and the second finds
// nothing to do; whoever else wants the lock by its name is kept out meanwhile.
func TestLockExcludes(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, address string) {
		first, second := open(t, address, "42"), open(t, address, "42")
		var applied atomic.Int32
		inside, proceed := make(chan struct{}), make(chan struct{})
		step := func(context.Context, *sql.Tx) error {
			if applied.Add(1) == 1 {
				close(inside)
			}
			<-proceed
			return nil
		}
		one := upgradeInBackground(t.Context(), first, step)
		<-inside
		two := upgradeInBackground(t.Context(), second, step)

		err := second.m.Do(t.Context(), func(context.Context, *uow.UnitOfWork) error {
			t.Error("a unit of work got the lock")
			return nil
		}, applock.With(first.upgradeLock().NoWait()))
		var timeout *applock.TimeoutError
		if !errors.As(err, &timeout) || len(timeout.Holders) != 1 || timeout.Holders[0].Label != "migrate" {
			t.Errorf("the unit of work got %v", err)
		}
		close(proceed)
		for _, ended := range []<-chan error{one, two} {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		if n := applied.Load(); n != 1 {
			t.Errorf("the step ran %d times", n)
		}
		first.wantUpgraded(t, 4)
		second.wantUpgraded(t, 4)
	})
}

// lose takes the lock from whoever upgrades the tenant: the session is ended, or
// the file that is the lock is removed.
func (t *tenant) lose(tb testing.TB, address string) {
	tb.Helper()
	name := t.upgradeLock().Name()
	if t.schema == "" {
		if err := os.Remove(sqlite.LockFile(address+"/"+t.name+".db", name)); err != nil {
			tb.Error(err)
		}
		return
	}
	status, err := applock.Inspect(tb.Context(), t.m, name)
	if err != nil || len(status[0].Holders) != 1 {
		tb.Errorf("holders %v, error %v", status, err)
		return
	}
	pid, err := strconv.Atoi(status[0].Holders[0].ID)
	if err != nil {
		tb.Error(err)
	}
	if n := anydbtest.Int(tb, t.m, "select count(*) from (select pg_terminate_backend(?)) ended", pid); n != 1 {
		tb.Errorf("%d sessions ended", n)
	}
}

// The loss of the lock ends the step that is under way, which is undone.
func TestLossEndsTheUpgrade(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, address string) {
		own, other := open(t, address, "42"), open(t, address, "42")
		ended := upgradeInBackground(t.Context(), own, func(ctx context.Context, tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, "update invoice set total = 0"); err != nil {
				return err
			}
			other.lose(t, address)
			<-ctx.Done()
			return context.Cause(ctx)
		})
		err := <-ended
		var lost *applock.LostError
		if !errors.Is(err, applock.ErrLost) || !errors.As(err, &lost) {
			t.Errorf("error %v, want that the lock was lost", err)
		}
		own.wantUpgraded(t, 3)
		if _, err := other.upgrade(t.Context(), goStep(func(context.Context, *sql.Tx) error { return nil })); err != nil {
			t.Errorf("the next runner: %v", err)
		}
		other.wantUpgraded(t, 4)
	})
}

// Whoever lost the lock and did not notice cannot record a step a second time.
func TestVersionsAreRecordedOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, address string) {
		own := open(t, address, "42")
		if _, err := own.upgrade(t.Context()); err != nil {
			t.Fatal(err)
		}
		const again = "insert into goose_db_version (version_id, is_applied) values (3, true)"
		if _, err := own.m.DB().ExecContext(t.Context(), again); err == nil {
			t.Error("step 3 is recorded twice")
		}
	})
}

func TestWaitCanBeInterrupted(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, address string) {
		first, second := open(t, address, "42"), open(t, address, "42")
		err := applock.Hold(t.Context(), first.m, func(context.Context) error {
			ctx, interrupt := context.WithCancelCause(t.Context())
			enough := errors.New("enough")
			ended := upgradeInBackground(ctx, second, nil)
			anydbtest.Eventually(t, "the runner waits with goose's connection", func() bool {
				return second.m.DB().Stats().InUse > 0
			})
			interrupt(enough)
			if err := <-ended; !errors.Is(err, enough) && !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
			return nil
		}, first.upgradeLock())
		if err != nil {
			t.Error(err)
		}
		pooltest.WantAllBack(t, second.m.DB())
	})
}

func TestPoolOfOneIsRefused(t *testing.T) {
	t.Parallel()
	own := open(t, t.TempDir(), "42")
	own.m.DB().SetMaxOpenConns(1)
	if _, err := own.upgrade(t.Context()); !errors.Is(err, errOneConnection) {
		t.Errorf("error %v", err)
	}
}

func TestBadArguments(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"../escape"}, {"a b"}, {"-db", "mysql://u:secret@h/db", "42"}, {"-db", "postgres://u:secret@h:port/db", "42"}} {
		err := run(t.Context(), args, &bytes.Buffer{})
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v: error %v", args, err)
		}
	}
}

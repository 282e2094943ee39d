package chaos

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect/postgres"
	"github.com/lockstep-go/lockstep/integration/servers"
	"github.com/lockstep-go/lockstep/internal/faultproxy"
	"github.com/lockstep-go/lockstep/uow"
)

// TestResolveAfterCrash is the shortest form of what TestFaults and
// TestFailoverSynchronous met: a crash takes back ids that were given out since
// the log was last flushed, and gives them to others, so that the id alone does
// not name the transaction any more.
func TestResolveAfterCrash(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cluster, err := servers.StartPostgresCluster(ctx)
	if servers.MaySkip(err, servers.RequirePostgres) {
		t.Skip(servers.OneLine(err))
	}
	check(t, err)
	defer cluster.Stop()
	host, err := hostOf(cluster.URL)
	check(t, err)
	proxy, err := faultproxy.Start(host)
	check(t, err)
	defer proxy.Close()

	direct, err := postgres.Open(cluster.URL)
	check(t, err)
	defer direct.Close()
	through, err := postgres.Open(strings.Replace(cluster.URL, host, proxy.Addr(), 1))
	check(t, err)
	defer through.Close()
	execute(ctx, t, direct, "create table written (by text)")
	execute(ctx, t, direct, "checkpoint")

	// COMMIT never arrives, and the crash comes before anything flushed the log.
	proxy.Rule(isCommit, faultproxy.CutBefore)
	err = uow.New(through, postgres.Dialect()).Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		_, err := u.ExecContext(ctx, "insert into written values ('the unit in doubt')")
		return err
	})
	var doubt *uow.InDoubtError
	if !errors.As(err, &doubt) {
		t.Fatalf("got %v, want a doubt", err)
	}
	check(t, cluster.Crash())
	check(t, cluster.Restart(ctx))
	direct.SetMaxIdleConns(0) // the pooled ones are dead
	execute(ctx, t, direct, "insert into written values ('another')")

	outcome, err := doubt.Resolve(ctx)
	if outcome == uow.Committed {
		t.Errorf("Resolve told %v of transaction %s, which the crash has undone", outcome, doubt.TransactionID())
	}
	t.Logf("%v, %v", outcome, err)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func execute(ctx context.Context, t *testing.T, db *sqlx.DB, statement string) {
	t.Helper()
	_, err := db.ExecContext(ctx, statement)
	check(t, err)
}

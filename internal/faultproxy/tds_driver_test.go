package faultproxy_test

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"testing"
	"time"

	mssql "github.com/microsoft/go-mssqldb"
	"github.com/microsoft/go-mssqldb/msdsn"

	"github.com/lockstep-go/lockstep/internal/faultproxy"
	"github.com/lockstep-go/lockstep/internal/tdstest"
)

// simulated is the real driver, the proxy, and the simulator of SQL Server.
func simulated(t *testing.T) (*faultproxy.Proxy, *sql.DB) {
	t.Helper()
	server, err := tdstest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	proxy, err := faultproxy.Start(server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	config, err := msdsn.Parse("sqlserver://sa:secret@" + proxy.Addr() + "?encrypt=disable")
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(mssql.NewConnectorConfig(config))
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	if err := db.PingContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	proxy.Reset()
	return proxy, db
}

// begin opens a transaction in the driver's own way.
func begin(t *testing.T, db *sql.DB) *sql.Tx {
	t.Helper()
	tx, err := db.BeginTx(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

func TestDriversMessages(t *testing.T) {
	t.Parallel()
	proxy, db := simulated(t)
	tx := begin(t, db)
	var one, two int
	if err := tx.QueryRow("SELECT 1").Scan(&one); err != nil {
		t.Fatal(err)
	}
	if err := tx.QueryRow("SELECT @p1", 2).Scan(&two); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	want := []string{"BEGIN TRANSACTION", "SELECT 1", "SELECT @p1", "COMMIT TRANSACTION"}
	if got := proxy.Statements(); !slices.Equal(got, want) {
		t.Errorf("statements %q, want %q", got, want)
	}
	if proxy.RoundTrips() != len(want) || proxy.Cancels() != 0 {
		t.Errorf("%d round trips, %d cancels", proxy.RoundTrips(), proxy.Cancels())
	}
}

func TestDriversCommitWithoutReply(t *testing.T) {
	t.Parallel()
	proxy, db := simulated(t)
	tx := begin(t, db)
	rule := proxy.Rule(faultproxy.Query("commit"), faultproxy.CutAfter)
	if err := tx.Commit(); err == nil {
		t.Error("a commit without a reply succeeded")
	}
	<-rule.Answered()
}

func TestDriversAttention(t *testing.T) {
	t.Parallel()
	proxy, db := simulated(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	attention := proxy.Rule(faultproxy.MessageType(faultproxy.TDSAttention), faultproxy.Hold)
	attention.Release()
	waits := proxy.Rule(faultproxy.Query("waitfor"), faultproxy.Hold)
	go func() {
		<-waits.Fired()
		waits.Release()
		cancel()
	}()
	if _, err := db.ExecContext(ctx, "WAITFOR DELAY '00:00:30'"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	select {
	case <-attention.Answered():
	case <-time.After(20 * time.Second):
		t.Error("no attention was acknowledged")
	}
	if proxy.RoundTrips() != 1 || proxy.Cancels() != 1 {
		t.Errorf("%d round trips, %d cancels; want 1 and 1", proxy.RoundTrips(), proxy.Cancels())
	}
}

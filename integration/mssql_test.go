package integration

import (
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/dialect/dialecttest"
	"github.com/lockstep-go/lockstep/dialect/mssql"
	"github.com/lockstep-go/lockstep/integration/servers"
	"github.com/lockstep-go/lockstep/integration/servers/serverstest"
	"github.com/lockstep-go/lockstep/internal/faultproxy"
)

// mssqlHarness runs the suite on SQL Server, or on what stands in for it.
type mssqlHarness struct{ byURL }

func TestSQLServer(t *testing.T) {
	serverstest.MSSQLURL(t)
	server, err := servers.FromURL(t.Context(), servers.MSSQL)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("on %v", server)
	dialecttest.Run(t, mssqlHarness{})
}

// recordedHarness is the same with an outcome table.
type recordedHarness struct{ mssqlHarness }

// TestSQLServerWithOutcomeTable runs the suite where doubts can be resolved; its
// short form is the topics that tell of them.
func TestSQLServerWithOutcomeTable(t *testing.T) {
	dialecttest.Run(t, recordedHarness{}, shortly(t, "Outcome", "Context", "Faults", "Hygiene")...)
}

func (recordedHarness) Dialect() dialect.Dialect {
	return mssql.Dialect(mssql.WithOutcomeTable("dbo.outcome"))
}

func (h recordedHarness) NewDatabase(tb testing.TB) string {
	dsn := h.mssqlHarness.NewDatabase(tb)
	db := h.Open(tb, dsn, "")
	defer db.Close()
	if err := mssql.CreateOutcomeTable(tb.Context(), db, "dbo.outcome"); err != nil {
		tb.Fatal(err)
	}
	return dsn
}

// RoundTrips implements dialecttest.Budget: who writes leaves a row as well.
func (h recordedHarness) RoundTrips() map[string]int {
	budget := h.mssqlHarness.RoundTrips()
	for unit := range budget {
		if strings.Contains(unit, "statement") {
			budget[unit]++
		}
	}
	return budget
}

func (mssqlHarness) Dialect() dialect.Dialect { return mssql.Dialect() }

func (mssqlHarness) NewDatabase(tb testing.TB) string { return serverstest.MSSQLDatabase(tb) }

func (h mssqlHarness) Address(tb testing.TB, dsn string) string {
	address := h.byURL.Address(tb, dsn)
	if host, port, _ := net.SplitHostPort(address); port == "" {
		return net.JoinHostPort(host, "1433")
	}
	return address
}

func (h mssqlHarness) Open(tb testing.TB, dsn, address string) *sqlx.DB {
	u, err := url.Parse(h.dsnAt(tb, dsn, address))
	if err != nil {
		tb.Fatal(err)
	}
	if address != "" { // the proxy reads what is not encrypted
		query := u.Query()
		query.Set("encrypt", "disable")
		u.RawQuery = query.Encode()
	}
	db, err := mssql.Open(u.String())
	if err != nil {
		tb.Fatal(err)
	}
	return db
}

// Kill implements dialecttest.Killer.
func (mssqlHarness) Kill(tb testing.TB, admin *sqlx.DB, session string) {
	id, err := strconv.Atoi(session)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := admin.ExecContext(tb.Context(), "KILL "+strconv.Itoa(id)); err != nil {
		tb.Fatal(err)
	}
}

// MatchCommit implements dialecttest.CommitMatcher.
func (mssqlHarness) MatchCommit() faultproxy.Matcher {
	return func(m faultproxy.Message) bool {
		return m.Type == faultproxy.TDSTransaction && strings.HasPrefix(m.SQL, "COMMIT")
	}
}

// KeepsStrength implements dialecttest.StrengthKeeper: conversions stay.
func (mssqlHarness) KeepsStrength() {}

// Waiting implements dialecttest.WaitObserver.
func (mssqlHarness) Waiting(tb testing.TB, admin *sqlx.DB) (n int) {
	tb.Helper()
	err := admin.GetContext(tb.Context(), &n,
		"SELECT COUNT(*) FROM sys.dm_exec_requests WHERE blocking_session_id <> 0 AND database_id = DB_ID()")
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// RoundTrips implements dialecttest.Budget: one each for begin, all declared
// locks, each statement and commit, and one for a label without locks.
func (mssqlHarness) RoundTrips() map[string]int {
	return map[string]int{
		"empty":                                                    0,
		"one statement":                                            3,
		"one statement, labelled":                                  4,
		"one statement, serializable":                              3,
		"three statements":                                         5,
		"one query":                                                3,
		"one lock":                                                 3,
		"one lock and three statements":                            6,
		"one lock and three queries":                               6,
		"one lock, acquired again":                                 3,
		"several locks":                                            3,
		"several locks and three statements":                       6,
		"locks with a wait limit and one statement":                4,
		"locks without waiting and one statement":                  4,
		"several locks, repeatable read, and one statement":        4,
		"several locks, serializable, and one statement":           4,
		"locks with a wait limit, serializable, and one statement": 4,
	}
}

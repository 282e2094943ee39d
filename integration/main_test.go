package integration

import (
	"os"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect/dialecttest"
	"github.com/lockstep-go/lockstep/integration/servers"
	"github.com/lockstep-go/lockstep/integration/servers/serverstest"
)

func TestMain(m *testing.M) {
	dialecttest.Child(&childHarness{Harness: postgresHarness{}})
	os.Exit(serverstest.Main(m, servers.Postgres, servers.MSSQL))
}

// childHarness is that of a process which the suite has started: the product
// is told by the DSN alone.
type childHarness struct{ dialecttest.Harness }

func (h *childHarness) Open(tb testing.TB, dsn, address string) *sqlx.DB {
	switch {
	case strings.HasPrefix(dsn, "sqlserver:"):
		h.Harness = mssqlHarness{}
	case strings.HasPrefix(dsn, "file:"):
		h.Harness = sqliteHarness{}
	}
	return h.Harness.Open(tb, dsn, address)
}

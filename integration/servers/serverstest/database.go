package serverstest

import (
	"crypto/rand"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-go/lockstep/integration/servers"
)

// serverURL is the address of the product's server that [Main] found. Where
// there is none it skips tb with the reason, or fails it where LOCKSTEP_REQUIRE
// names the server.
func serverURL(tb testing.TB, p servers.Product) string {
	tb.Helper()
	envURL, _, envNone := p.Variables()
	if address := os.Getenv(envURL); address != "" {
		return address
	}
	reason := os.Getenv(envNone)
	if reason == "" {
		tb.Fatalf("no %s was looked for: TestMain must call serverstest.Main for it", p)
	}
	for _, what := range p.Requirements() {
		if servers.Require(what) {
			tb.Fatalf("%s is required: %s", what, reason)
		}
	}
	tb.Skipf("no %s: %s", p, reason)
	return ""
}

// newName is a name for a database or a schema, which needs no quoting.
func newName() string {
	return "lockstep_" + strings.ToLower(rand.Text())
}

// edit changes a server's URL.
func edit(tb testing.TB, server string, change func(*url.URL)) string {
	tb.Helper()
	parsed, err := url.Parse(server)
	if err != nil {
		tb.Fatalf("the server's address must be a URL: %v", err)
	}
	change(parsed)
	return parsed.String()
}

// executeTimeout bounds one administrative statement. It does not depend on
// the test's context, which has ended when a test cleans up.
const executeTimeout = 30 * time.Second

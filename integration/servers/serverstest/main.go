package serverstest

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lockstep-go/lockstep/integration/servers"
)

// Main runs a package's tests against servers of the products, PostgreSQL if
// none is given, that it finds or starts as [servers.Find] does, and returns the
// code to exit with. It prints a line for each that says which server that is.
//
// Where there is none it prints why, and the tests that need one are skipped;
// so are all Examples of the package, which cannot be skipped one by one. Where
// the server is required, or a URL in the environment names one that does not
// answer, it runs nothing and returns 1.
//
// After tests that passed it stops the servers and fails when goroutines are
// left over. A test that looks for leaks itself must allow for those that keep
// the servers alive, by [FindLeaks] with [goleak.IgnoreCurrent].
func Main(m *testing.M, products ...servers.Product) int {
	if !flag.Parsed() {
		flag.Parse()
	}
	if flag.Lookup("test.list").Value.String() != "" {
		return m.Run()
	}
	if len(products) == 0 {
		products = []servers.Product{servers.Postgres}
	}
	var started []*servers.Server
	complete := true
	for _, p := range products {
		server, err := provide(p)
		switch {
		case err != nil:
			fmt.Fprintf(os.Stderr, "lockstep: %s\n", servers.OneLine(err))
			return stop(started, 1)
		case server == nil:
			complete = false
		default:
			started = append(started, server)
		}
	}
	run := m.Run
	if !complete {
		run = func() int { return runWithoutExamples(m) }
	}
	code := run()
	if code = stop(started, code); code == 0 && len(started) > 0 {
		if err := FindLeaks(); err != nil {
			fmt.Fprintf(os.Stderr, "lockstep: after all tests: %v\n", err)
			code = 1
		}
	}
	return code
}

// provide finds or starts a server of the product, tells which, and names it in
// the environment. It returns nil where there is none and none is required.
func provide(p servers.Product) (*servers.Server, error) {
	server, err := servers.Find(context.Background(), p)
	if err != nil && !servers.MaySkip(err, p.Requirements()...) {
		return nil, err
	}
	if err := export(servers.Environment(p, server, err)); err != nil {
		return nil, err
	}
	if err != nil {
		fmt.Printf("lockstep: tests that need %s and Examples are skipped: %s\n", p, servers.OneLine(err))
		return nil, nil
	}
	fmt.Printf("lockstep: %v\n", server)
	return server, nil
}

// export sets variables of this process.
func export(variables []string) error {
	for _, variable := range variables {
		name, value, _ := strings.Cut(variable, "=")
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return nil
}

// runWithoutExamples adds the Examples to what the caller wants skipped.
func runWithoutExamples(m *testing.M) int {
	const examples = "^Example"
	skip := flag.Lookup("test.skip").Value
	pattern := examples
	if given := skip.String(); given != "" {
		pattern = given + "|" + examples
	}
	if err := skip.Set(pattern); err != nil {
		fmt.Fprintf(os.Stderr, "lockstep: %v\n", err)
		return 1
	}
	return m.Run()
}

// stop stops servers and returns the code, or 1 where that failed.
func stop(started []*servers.Server, code int) int {
	for _, server := range started {
		if err := server.Stop(); err != nil {
			fmt.Fprintf(os.Stderr, "lockstep: stopping %v: %v\n", server, err)
			code = 1
		}
	}
	return code
}

// FindLeaks returns an error that names the goroutines that were left behind. It is
// goleak.Find with patience: a driver may take 15 seconds to close a connection that
// does not answer, where goleak gives up in half a second.
func FindLeaks(options ...goleak.Option) error {
	// After a query that panicked, database/sql lets nobody close the connection.
	options = append(options, goleak.IgnoreAnyFunction("github.com/lockstep-go/lockstep/uow.(*core).discardNow"))
	for deadline := time.Now().Add(20 * time.Second); ; {
		err := goleak.Find(options...)
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

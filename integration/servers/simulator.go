package servers

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/lockstep-go/lockstep/internal/tdstest"
)

// simulatorTitle is what a simulator's lines begin with. It must never read as
// the product's own name.
const simulatorTitle = "SQL Server simulator (internal/tdstest), NOT SQL Server"

// MSSQLSimulator starts the simulator of internal/tdstest in this process, at
// a random port of 127.0.0.1. It is not SQL Server, and [Server.String] says so.
func MSSQLSimulator(ctx context.Context) (*Server, error) {
	simulator, err := tdstest.Start()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	server, err := newServer(ctx, mssqlTraits(), simulator.URL("sa", newPassword(), "master"))
	if err != nil {
		return nil, errors.Join(err, simulator.Close())
	}
	server.Source, server.stop = simulatorTitle, simulator.Close
	return server, nil
}

// Simulated reports whether the server is a simulator of its product.
func (s *Server) Simulated() bool {
	return s.Source == simulatorTitle || strings.Contains(strings.ToLower(s.title), "simulator")
}

// checkSimulated refuses a server that is not what LOCKSTEP_REQUIRE names.
func checkSimulated(p Product, s *Server) error {
	switch {
	case p != MSSQL:
	case s.Simulated() && Require(RequireMSSQL):
		return fmt.Errorf("a simulator, but %s names %s", EnvRequire, RequireMSSQL)
	case !s.Simulated() && Require(RequireMSSQLSimulator):
		return fmt.Errorf("no simulator, but %s names %s", EnvRequire, RequireMSSQLSimulator)
	}
	return nil
}

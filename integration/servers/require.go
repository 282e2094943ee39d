package servers

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// Names of the variables that this package reads and integration/cmd/with-servers
// sets; the package's documentation says what each means.
const (
	EnvPostgresURL    = "LOCKSTEP_POSTGRES_URL"
	EnvPostgresSource = "LOCKSTEP_POSTGRES_SOURCE"
	EnvPostgresImage  = "LOCKSTEP_POSTGRES_IMAGE"
	EnvPostgresNone   = "LOCKSTEP_POSTGRES_NONE"
	EnvPgBouncerURL   = "LOCKSTEP_PGBOUNCER_URL"
	EnvMSSQLURL       = "LOCKSTEP_MSSQL_URL"
	EnvMSSQLSource    = "LOCKSTEP_MSSQL_SOURCE"
	EnvMSSQLImage     = "LOCKSTEP_MSSQL_IMAGE"
	EnvMSSQLNone      = "LOCKSTEP_MSSQL_NONE"
	EnvRequire        = "LOCKSTEP_REQUIRE"
)

// What LOCKSTEP_REQUIRE may name.
const (
	RequirePostgres  = "postgres"
	RequireDocker    = "docker" // PostgreSQL in Docker
	RequirePgBouncer = "pgbouncer"
	RequireMSSQL     = "mssql" // no simulator
	// RequireMSSQLSimulator wants the simulator and nothing else.
	RequireMSSQLSimulator = "mssql-simulator"
)

// Require reports whether LOCKSTEP_REQUIRE names what, which is one of the
// Require constants. A test that needs what and cannot have it must then fail
// instead of being skipped; continuous integration sets the variable so that a
// machine that lost a server is not taken for one that passed.
func Require(what string) bool {
	return slices.Contains(required(), what)
}

// MaySkip reports whether a test that got err from this package may be
// skipped: err matches [ErrNone], and LOCKSTEP_REQUIRE names none of what the
// test needs. Where it is false and err is not nil, the test must fail.
func MaySkip(err error, needs ...string) bool {
	return errors.Is(err, ErrNone) && !slices.ContainsFunc(needs, Require)
}

// required is the list that LOCKSTEP_REQUIRE holds.
func required() []string {
	return strings.FieldsFunc(os.Getenv(EnvRequire), func(r rune) bool {
		return r == ',' || r == ' '
	})
}

// checkRequired refuses a list that names something unknown, which would
// otherwise never be enforced, and one that nothing can meet.
func checkRequired() error {
	for _, what := range required() {
		switch what {
		case RequirePostgres, RequireDocker, RequirePgBouncer, RequireMSSQL, RequireMSSQLSimulator:
		default:
			return fmt.Errorf("%s: unknown requirement %q", EnvRequire, what)
		}
	}
	if Require(RequireMSSQL) && Require(RequireMSSQLSimulator) {
		return fmt.Errorf("%s: %s and %s exclude each other", EnvRequire, RequireMSSQL, RequireMSSQLSimulator)
	}
	return nil
}

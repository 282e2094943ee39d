package servers

import (
	"context"
	"fmt"

	"github.com/ory/dockertest/v3/docker"
)

// Product is a database product that tests run on.
type Product string

// The products.
const (
	Postgres Product = "PostgreSQL"
	MSSQL    Product = "SQL Server"
)

// Requirements are what LOCKSTEP_REQUIRE may name so that tests may not be
// skipped for want of the product; see [MaySkip].
func (p Product) Requirements() []string { return p.traits().requirements }

// Variables are the names of the environment variables that tell of the
// product's server: its URL, where it came from, and why there is none.
func (p Product) Variables() (url, source, none string) {
	t := p.traits()
	return t.envURL, t.envSource, t.envNone
}

// traits are what differs between products.
type traits struct {
	envURL, envSource, envImage, envNone string
	requirements                         []string
	image                                imageTraits
	sources                              []source
	howToGet                             string // ends the line that says no server was found
	ask                                  func(ctx context.Context, url string) (identity, error)
	address                              func(url string) (hostPort string, err error)
}

// imageTraits are how a product's Docker image is run.
type imageTraits struct {
	label       string
	preset      string // the image that is run unless another is named
	port        docker.Port
	environment func(password string) []string
	command     []string // nil for the image's own
	signal      string   // ends the server at once, or as fast as it can
	url         func(password, hostPort string) string
}

// A source is where a server may come from, when no URL names one.
type source struct {
	name  string
	start func(context.Context) (*Server, error)
	// fails are requirements that the source does not meet. It is left out
	// where LOCKSTEP_REQUIRE names one of them.
	fails []string
	// standsIn says that what it starts is not the product.
	standsIn bool
}

// An identity is what a server tells of itself.
type identity struct {
	title   string // its product's name, such as "PostgreSQL"
	version string
}

func (p Product) traits() traits {
	switch p {
	case Postgres:
		return postgresTraits()
	case MSSQL:
		return mssqlTraits()
	}
	panic(fmt.Sprintf("servers: unknown product %q", string(p)))
}

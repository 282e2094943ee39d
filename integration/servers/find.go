package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// ErrNone is returned when a server is not to be had on this machine. The
// error that wraps it is one line that names what was tried.
var ErrNone = errors.New("no server found")

// Find finds or starts a server of the product, in the order that the package's
// documentation gives. ctx governs the search and the start alone; the caller
// ends the server with [Server.Stop].
//
// When no source has a server, the error matches [ErrNone] and says in one line
// why each failed; [MaySkip] says whether a test may then be skipped. When ctx
// ends during the search, the error is its cause and does not match. Where
// LOCKSTEP_REQUIRE names docker, PostgreSQL's programs do not stand in for it,
// nor does the simulator where it names mssql. A server that is named by URL
// and does not answer, or is not what LOCKSTEP_REQUIRE names, is an error that
// does not match ErrNone, and so is a LOCKSTEP_REQUIRE that names something
// unknown.
func Find(ctx context.Context, p Product) (*Server, error) {
	if err := checkRequired(); err != nil {
		return nil, err
	}
	t := p.traits()
	if os.Getenv(t.envURL) != "" {
		return FromURL(ctx, p)
	}
	if reason := os.Getenv(t.envNone); reason != "" {
		return nil, fmt.Errorf("%w: %s", ErrNone, reason)
	}
	failures := []string{t.envURL + " is not set"}
	for _, source := range t.sources {
		server, err := source.try(ctx)
		if err == nil {
			source.introduce(p, failures)
			return server, nil
		}
		if ctx.Err() != nil {
			// A search that was broken off found nothing, but says nothing either.
			return nil, fmt.Errorf("looking for %s: %w", p, context.Cause(ctx))
		}
		failures = append(failures, source.name+": "+reason(err))
	}
	return nil, none(t, failures)
}

// try starts the source's server, unless that would not be what is required.
func (s source) try(ctx context.Context) (*Server, error) {
	if i := slices.IndexFunc(s.fails, Require); i >= 0 {
		return nil, fmt.Errorf("%w: not wanted, %s names %s", ErrNone, EnvRequire, s.fails[i])
	}
	return s.start(ctx)
}

// introduce says why a server is not the product itself.
func (s source) introduce(p Product, failures []string) {
	if s.standsIn {
		fmt.Fprintf(os.Stderr, "lockstep: no %s: %s\n", p, strings.Join(failures, "; "))
	}
}

// none tells in one line why no source gave a server.
func none(t traits, failures []string) error {
	return fmt.Errorf("%w: %s; %s", ErrNone, strings.Join(failures, "; "), t.howToGet)
}

// OneLine is err's text with its line breaks removed, as it is printed for
// people; connection errors have one line for each address that was tried.
func OneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}

// reason is err in one line, without ErrNone's text at its beginning.
func reason(err error) string {
	return strings.TrimPrefix(OneLine(err), ErrNone.Error()+": ")
}

// Environment is what another process needs in its environment to take the
// server that this one found, as name=value. It is made for the results of
// [Find], whatever they are: from an error the other process learns that there
// is no server, and why, without a search of its own.
func Environment(p Product, server *Server, err error) []string {
	t := p.traits()
	if err != nil {
		return []string{t.envNone + "=" + reason(err)}
	}
	return []string{t.envURL + "=" + server.URL, t.envSource + "=" + server.Source}
}

// FromURL takes the server that the product's variable names, such as
// LOCKSTEP_POSTGRES_URL, after asking it for its version. Its Stop leaves the
// server running. The error matches [ErrNone] only when the variable is not
// set.
func FromURL(ctx context.Context, p Product) (*Server, error) {
	t := p.traits()
	url := os.Getenv(t.envURL)
	if url == "" {
		return nil, fmt.Errorf("%w: %s is not set", ErrNone, t.envURL)
	}
	server, err := newServer(ctx, t, url)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.envURL, err)
	}
	server.Source = t.envURL
	if source := os.Getenv(t.envSource); source != "" {
		server.Source = source
	}
	if err := checkSimulated(p, server); err != nil {
		return nil, fmt.Errorf("%s: %w", t.envURL, err)
	}
	return server, nil
}

// newServer asks the server at url what it is.
func newServer(ctx context.Context, t traits, url string) (*Server, error) {
	address, err := t.address(url)
	if err != nil {
		return nil, err
	}
	is, err := t.ask(ctx, url)
	if err != nil {
		return nil, err
	}
	return &Server{URL: url, Version: is.version, title: is.title, address: address}, nil
}

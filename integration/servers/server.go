package servers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Server is a database server that tests may use. It must not be copied.
type Server struct {
	// URL connects to the server, as a user that may create databases, in the
	// form postgres://user:password@host:port/database or
	// sqlserver://user:password@host:port?database=name. A URL that was found in
	// the environment is as it was found.
	URL string

	// Source says in words where the server came from, such as
	// "Docker image postgres:17-alpine".
	Source string

	// Version is the server's own version, such as "15.18".
	Version string

	title   string       // its product's name
	address string       // where it listens
	stop    func() error // nil for a server that was not started here
	once    sync.Once
	stopErr error
}

// Stop ends a server that was started here and removes what it left on this
// machine, its data included. It waits until that is done. A server that was
// only found, by its URL in the environment, is left running. Stop may be
// called more than once and from several goroutines; every call returns what
// the first one found.
func (s *Server) Stop() error {
	s.once.Do(func() {
		if s.stop != nil {
			s.stopErr = s.stop()
		}
	})
	return s.stopErr
}

// String describes the server in one line without its password, such as
// "PostgreSQL 15.18 from Docker image postgres:15 (127.0.0.1:32768)".
func (s *Server) String() string {
	if s.Simulated() {
		return fmt.Sprintf("%s (%s)", simulatorTitle, s.address)
	}
	return fmt.Sprintf("%s from %s (%s)", strings.TrimSpace(s.title+" "+s.Version), s.Source, s.address)
}

const (
	readyTimeout  = 2 * time.Minute // SQL Server's first start is slow
	readyInterval = 50 * time.Millisecond
)

// errEnded is returned when a server's last process ended while it was still
// awaited.
var errEnded = errors.New("the server ended while it started")

// awaitReady asks a server until it answers, and returns the answer. It gives
// up when ctx ends, after readyTimeout, or when ended is closed, which says that
// no server will come.
func awaitReady[T any](ctx context.Context, ended <-chan struct{}, ask func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	var zero T
	for {
		answer, err := ask(ctx)
		if err == nil {
			return answer, nil
		}
		select {
		case <-ended:
			return zero, errEnded
		case <-ctx.Done():
			return zero, fmt.Errorf("not ready: %w (last attempt: %w)", context.Cause(ctx), err)
		case <-time.After(readyInterval):
		}
	}
}

// awaitServer waits until the server that was started at url answers.
func awaitServer(ctx context.Context, ended <-chan struct{}, p Product, url string) (*Server, error) {
	t := p.traits()
	return awaitReady(ctx, ended, func(ctx context.Context) (*Server, error) { return newServer(ctx, t, url) })
}

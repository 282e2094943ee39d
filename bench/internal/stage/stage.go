// Package stage is where the contestants meet: a database of its own on the
// server, and links that make the way there longer.
package stage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lockstep-go/lockstep/bench/internal/contest"
	"github.com/lockstep-go/lockstep/bench/internal/link"
	"github.com/lockstep-go/lockstep/bench/internal/race"
	"github.com/lockstep-go/lockstep/internal/faultproxy"
)

// A Stage is one database. Close drops it.
type Stage struct {
	server string // the URL that was found
	name   string // of the database
	direct *url.URL
	admin  *pgx.Conn // in the database
	links  map[time.Duration]*line
}

// A line is a link and what was measured of it.
type line struct {
	process *link.Process
	added   time.Duration
}

// Open makes a database on the server at address, a URL, with the tables of the
// contestants.
func Open(ctx context.Context, address string) (*Stage, error) {
	direct, err := url.Parse(address)
	if err != nil || !strings.HasPrefix(direct.Scheme, "postgres") {
		return nil, errors.New("the server must be named by a URL, as postgres://…")
	}
	s := &Stage{server: address, name: "lockstep_bench_" + strings.ToLower(rand.Text()[:8]), direct: direct,
		links: map[time.Duration]*line{}}
	if err := s.command(ctx, "create database "+s.name); err != nil {
		return nil, err
	}
	direct.Path = "/" + s.name
	if s.admin, err = pgx.Connect(ctx, direct.String()); err == nil {
		_, err = s.admin.Exec(ctx, contest.Schema)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close(ctx))
	}
	return s, nil
}

// command runs a statement in the server's own database.
func (s *Stage) command(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, s.server)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

// Close drops the database and ends the links.
func (s *Stage) Close(ctx context.Context) error {
	var errs []error
	for _, l := range s.links {
		errs = append(errs, l.process.Close())
	}
	if s.admin != nil {
		errs = append(errs, s.admin.Close(ctx))
	}
	return errors.Join(append(errs, s.command(ctx, "drop database "+s.name+" with (force)"))...)
}

// Orders counts what the contestants have saved, and empties the table.
func (s *Stage) Orders(ctx context.Context) (n int, err error) {
	if err = s.admin.QueryRow(ctx, "select count(*) from orders").Scan(&n); err == nil {
		_, err = s.admin.Exec(ctx, "truncate orders")
	}
	if err == nil {
		_, err = s.admin.Exec(ctx, "vacuum stock")
	}
	return n, err
}

// Taken is how much the contestants have taken from the stock so far.
func (s *Stage) Taken(ctx context.Context) (n int, err error) {
	err = s.admin.QueryRow(ctx, "select sum($1 - quantity)::bigint from stock", contest.Stock).Scan(&n)
	return n, err
}

// Setting is a setting of the server, as it shows it.
func (s *Stage) Setting(ctx context.Context, name string) (value string, err error) {
	err = s.admin.QueryRow(ctx, "select current_setting($1)", name).Scan(&value)
	return value, err
}

// URL is the way to the database with so much longer round trips, for sessions
// with synchronous_commit on or off.
func (s *Stage) URL(ctx context.Context, delay time.Duration, synchronous bool) (string, error) {
	address := *s.direct
	if delay > 0 {
		l, err := s.line(ctx, delay)
		if err != nil {
			return "", err
		}
		address = via(address, l.process.Addr)
	}
	query := address.Query()
	query.Set("synchronous_commit", map[bool]string{true: "on", false: "off"}[synchronous])
	address.RawQuery = query.Encode()
	return address.String(), nil
}

// via leads an address over another host.
func via(address url.URL, host string) url.URL {
	address.Host = host
	query := address.Query()
	query.Del("host")
	query.Del("port")
	address.RawQuery = query.Encode()
	return address
}

// Added is by how much longer round trips really are where delay was asked for.
func (s *Stage) Added(delay time.Duration) time.Duration {
	if l := s.links[delay]; l != nil {
		return l.added
	}
	return 0
}

// line returns the link for a delay. What sockets and the clock of the link
// take beyond the delay is measured and taken off it.
func (s *Stage) line(ctx context.Context, delay time.Duration) (*line, error) {
	if l := s.links[delay]; l != nil {
		return l, nil
	}
	base, err := roundTrip(ctx, s.direct.String())
	if err != nil {
		return nil, err
	}
	var best *line
	each := delay / 2
	for range 3 {
		l, err := s.tryLine(ctx, each, base)
		if err != nil {
			return nil, err
		}
		each = max(0, each-(l.added-delay)/2)
		worse := l
		if best == nil || (l.added-delay).Abs() < (best.added-delay).Abs() {
			worse, best = best, l
		}
		if worse != nil {
			if err := worse.process.Close(); err != nil {
				return nil, err
			}
		}
	}
	s.links[delay] = best
	return best, nil
}

// tryLine starts a link and measures it.
func (s *Stage) tryLine(ctx context.Context, each, base time.Duration) (*line, error) {
	network, address, err := s.Target()
	if err != nil {
		return nil, err
	}
	process, err := link.Start(link.Arguments(network, address, each)...)
	if err != nil {
		return nil, err
	}
	through := via(*s.direct, process.Addr)
	measured, err := roundTrip(ctx, through.String())
	if err != nil {
		return nil, errors.Join(err, process.Close())
	}
	return &line{process: process, added: measured - base}, nil
}

// Target is where the server listens.
func (s *Stage) Target() (network, address string, err error) {
	config, err := pgconn.ParseConfig(s.direct.String())
	if err != nil {
		return "", "", err
	}
	network, address = pgconn.NetworkAddress(config.Host, config.Port)
	return network, address, nil
}

// Counted leads to the database through a proxy that counts round trips. Close
// the proxy.
func (s *Stage) Counted() (*faultproxy.Proxy, string, error) {
	_, address, err := s.Target()
	if err != nil {
		return nil, "", err
	}
	proxy, err := faultproxy.Start(address)
	if err != nil {
		return nil, "", err
	}
	counted := via(*s.direct, proxy.Addr())
	return proxy, counted.String(), nil
}

// roundTrip is the median time that the server needs for a statement that is
// empty.
func roundTrip(ctx context.Context, address string) (time.Duration, error) {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	var all []float64
	for range 300 {
		began := time.Now()
		if err := conn.Ping(ctx); err != nil {
			return 0, err
		}
		all = append(all, float64(time.Since(began)))
	}
	return time.Duration(race.SpreadOf(all).Median), nil
}

// Find is the server that the environment names.
func Find() (address string, err error) {
	const variable = "LOCKSTEP_POSTGRES_URL"
	if address = os.Getenv(variable); address == "" {
		return "", errors.New(variable + " names no server; `make bench` finds or starts one")
	}
	return address, nil
}

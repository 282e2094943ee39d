package servers

import (
	"context"
	"crypto/rand"
	"net"
	"net/url"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// DefaultPostgresImage is the Docker image of PostgreSQL that is run where
// LOCKSTEP_POSTGRES_IMAGE names no other.
const DefaultPostgresImage = "postgres:17-alpine"

func postgresTraits() traits {
	return traits{
		envURL: EnvPostgresURL, envSource: EnvPostgresSource, envImage: EnvPostgresImage, envNone: EnvPostgresNone,
		requirements: []string{RequirePostgres, RequireDocker},
		image: imageTraits{
			label:  "postgres",
			preset: DefaultPostgresImage,
			port:   "5432/tcp",
			environment: func(password string) []string {
				return []string{"POSTGRES_USER=" + superuser, "POSTGRES_PASSWORD=" + password, "POSTGRES_DB=postgres"}
			},
			command: append([]string{"postgres"}, postgresSettings()...),
			signal:  "INT", // PostgreSQL's fast shutdown
			url: func(password, hostPort string) string {
				return newURL(superuser, password, hostPort, "postgres")
			},
		},
		sources: []source{
			{name: "Docker", start: PostgresInDocker},
			{name: "binaries", start: PostgresFromBinaries, fails: []string{RequireDocker}},
		},
		howToGet: "install Docker, or PostgreSQL (apt-get install postgresql, brew install postgresql), or set " +
			EnvPostgresURL,
		ask:     askPostgres,
		address: postgresAddress,
	}
}

// PostgresInDocker runs a PostgreSQL server in a container of the Docker
// engine on this machine, published at a random port of 127.0.0.1. The image
// is the official postgres image or one that reads the same variables; when
// the engine does not have it, it is pulled, and a line on standard error says
// so.
//
// The container is removed by Stop, and by itself as soon as this process is
// gone. The error matches [ErrNone] when no engine answers or the image is not
// to be had.
func PostgresInDocker(ctx context.Context) (*Server, error) { return inDocker(ctx, Postgres) }

// postgresSettings are for a server whose data nobody keeps: it may lose
// everything when the machine stops, and has connections for many tests at
// once. synchronous_commit stays on, so that a COMMIT takes the same path
// through the server as in production.
func postgresSettings() []string {
	return []string{"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=200"}
}

// superuser is the user that a server started here has.
const superuser = "postgres"

// newURL is the address of a server started here.
func newURL(user, password, hostPort, database string) string {
	address := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(user, password),
		Host:     hostPort,
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	if password == "" {
		address.User = url.User(user)
	}
	return address.String()
}

// newPassword is unguessable: other users of this machine reach its loopback
// addresses too, and a superuser of PostgreSQL can run any program. SQL Server
// wants letters of both cases.
func newPassword() string { return rand.Text() + "a1" }

// freePort finds a port that nothing listens on. Another process may take it
// before the server does, so whoever starts a server must be ready to retry.
func freePort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	return port, err
}

// postgresAddress is where the server at url listens.
func postgresAddress(url string) (string, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))), nil
}

// askPostgres connects to the server at url once and asks for its version.
func askPostgres(ctx context.Context, url string) (identity, error) {
	is := identity{title: string(Postgres)}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return is, err
	}
	defer closeConn(ctx, conn)
	// server_version is "15.18" or "15.18 (Debian 15.18-0+deb12u1)".
	const query = "SELECT split_part(current_setting('server_version'), ' ', 1)"
	err = conn.QueryRow(ctx, query, pgx.QueryExecModeSimpleProtocol).Scan(&is.version)
	return is, err
}

// closeConn says goodbye to the server, which is a courtesy: what went wrong
// with the connection was reported by its last use.
func closeConn(ctx context.Context, conn *pgx.Conn) {
	_ = conn.Close(ctx)
}

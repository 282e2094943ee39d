package servers

import (
	"context"
	"errors"
	"os"
	"path/filepath"
)

// A cluster is a throwaway one, in a folder of its own.
type cluster struct {
	bin      string // the folder of PostgreSQL's programs
	dir      string
	password string
	role     clusterRole
}

// A clusterRole is what the script below makes of a cluster.
type clusterRole string

const (
	primary clusterRole = "primary"
	standby clusterRole = "standby"
)

// PostgresFromBinaries makes a throwaway cluster in a temporary folder with
// the PostgreSQL programs installed on this machine and starts a server on it,
// at a random port of 127.0.0.1 and with no Unix socket. Where this process is
// root the server runs as the user postgres or, failing that, nobody.
//
// The programs are looked for on PATH, where pg_config says, and where
// Debian's and PostgreSQL's own packages, Homebrew and Postgres.app put them.
// The error matches [ErrNone] when there are none.
func PostgresFromBinaries(ctx context.Context) (*Server, error) {
	return fromBinaries(ctx, primary)
}

// StandbyFromBinaries is [PostgresFromBinaries] for a server in hot standby,
// which answers queries and refuses everything that writes. It follows no
// primary, so it holds nothing but the empty database postgres.
func StandbyFromBinaries(ctx context.Context) (*Server, error) {
	return fromBinaries(ctx, standby)
}

// fromBinaries makes and starts a throwaway cluster.
func fromBinaries(ctx context.Context, role clusterRole) (*Server, error) {
	bin, err := findPostgresBinaries(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := newDaemonDir("postgres")
	if err != nil {
		return nil, err
	}
	c := cluster{bin: bin, dir: dir, password: newPassword(), role: role}
	var server *Server
	err = writeServerFile(filepath.Join(dir, "password"), c.password+"\n")
	if err == nil {
		server, err = startOnFreePort(func(port string) (*Server, error) { return c.start(ctx, port) })
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return server, nil
}

// clusterScript makes a cluster in the current folder unless there is one, and
// becomes its server. Both are one program, so that both end with this process.
// The C locale is the one that every machine has.
const clusterScript = `
bin=$1 role=$2
shift 2
if [ ! -s data/PG_VERSION ]; then
	"$bin/initdb" --pgdata=data --username=` + superuser + ` --pwfile=password \
		--auth=scram-sha-256 --encoding=UTF8 --locale=C --no-sync || exit 1
	rm -f password
	[ "$role" = primary ] || touch data/standby.signal
fi
exec "$bin/postgres" -D data "$@"
`

// start starts the cluster, which is made if need be, and waits until it takes
// connections.
func (c *cluster) start(ctx context.Context, port string) (*Server, error) {
	argv := append([]string{"/bin/sh", "-c", clusterScript, "lockstep-postgres", c.bin, string(c.role),
		"-c", "listen_addresses=127.0.0.1", "-c", "port=" + port, "-c", "unix_socket_directories="},
		postgresSettings()...)
	// SIGQUIT is PostgreSQL's immediate shutdown: it writes nothing more.
	process, err := startDaemon(c.dir, "QUIT", argv...)
	if err != nil {
		return nil, err
	}
	address := newURL(superuser, c.password, "127.0.0.1:"+port, "postgres")
	server, err := awaitServer(ctx, process.ended, Postgres, address)
	if err != nil {
		err = process.explain(err)
		return nil, errors.Join(err, process.pause())
	}
	server.Source, server.stop = "binaries in "+c.bin, process.stop
	return server, nil
}

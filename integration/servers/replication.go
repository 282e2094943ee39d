package servers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"github.com/jackc/pgx/v5"
)

// A PostgresCluster is a throwaway PostgreSQL server, made with this machine's
// programs, that can be crashed and started again, followed by a standby, and
// promoted. It must not be copied.
type PostgresCluster struct {
	*Server

	bin, dir string
	argv     []string

	mu      sync.Mutex
	process *daemon // nil while it does not run
	stopped bool
}

// StartPostgresCluster is [PostgresFromBinaries] for a server that is to be
// crashed. Settings, as name=value, come after the usual ones and override them.
// Its Stop removes it, whether it runs or not.
func StartPostgresCluster(ctx context.Context, settings ...string) (*PostgresCluster, error) {
	bin, err := findPostgresBinaries(ctx)
	if err != nil {
		return nil, err
	}
	password := newPassword()
	return newPostgresCluster(ctx, bin, password, clusterScript, []string{bin, string(primary)}, settings)
}

// newPostgresCluster starts a server by a shell script that makes the cluster
// if there is none and becomes its server. The script's arguments are followed
// by the server's own.
func newPostgresCluster(ctx context.Context, bin, password, script string, arguments, settings []string) (*PostgresCluster, error) {
	dir, err := newDaemonDir("postgres")
	if err != nil {
		return nil, err
	}
	c := &PostgresCluster{bin: bin, dir: dir}
	if err = writeServerFile(filepath.Join(dir, "password"), password+"\n"); err == nil {
		c, err = startOnFreePort(func(port string) (*PostgresCluster, error) {
			c.argv = append([]string{"/bin/sh", "-c", script, "lockstep-postgres"}, arguments...)
			c.argv = append(c.argv, "-c", "listen_addresses=127.0.0.1", "-c", "port="+port, "-c", "unix_socket_directories=")
			c.argv = append(c.argv, postgresSettings()...)
			for _, setting := range settings {
				c.argv = append(c.argv, "-c", setting)
			}
			address := newURL(superuser, password, net.JoinHostPort("127.0.0.1", port), "postgres")
			return c, c.run(ctx, address)
		})
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return c, nil
}

// run starts the server and waits until it takes connections.
func (c *PostgresCluster) run(ctx context.Context, address string) error {
	process, err := startDaemon(c.dir, "QUIT", c.argv...)
	if err != nil {
		return err
	}
	server, err := awaitServer(ctx, process.ended, Postgres, address)
	if err != nil {
		err = process.explain(err)
		return errors.Join(err, process.pause())
	}
	c.process = process
	if c.Server == nil {
		server.Source, server.stop = "binaries in "+c.bin, c.end
		c.Server = server
	}
	return nil
}

// Crash ends the server at once, as pg_ctl's immediate mode does: it writes
// nothing more, and every connection breaks. It returns when the server's last
// process is gone. A server that does not run is left alone.
func (c *PostgresCluster) Crash() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	process := c.process
	c.process = nil
	if process == nil {
		return nil
	}
	return process.pause()
}

// Restart starts a server that was crashed, at the same port. It returns when
// connections are taken again.
func (c *PostgresCluster) Restart(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.stopped:
		return fmt.Errorf("postgres: %w", errStopped)
	case c.process != nil:
		return nil
	}
	return c.run(ctx, c.URL)
}

// end stops the server for good.
func (c *PostgresCluster) end() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	process := c.process
	c.process, c.stopped = nil, true
	if process == nil {
		return os.RemoveAll(c.dir)
	}
	return process.stop()
}

// standbyScript copies a primary into the current folder unless that has been
// done, and becomes its standby.
const standbyScript = `
bin=$1 primary=$2
shift 2
rm -f password
if [ ! -s data/PG_VERSION ]; then
	"$bin/pg_basebackup" --pgdata=data --write-recovery-conf --checkpoint=fast --no-sync --dbname="$primary" || exit 1
fi
exec "$bin/postgres" -D data "$@"
`

// StartStandby starts a hot standby that follows c by streaming replication,
// under the application name given, which is what synchronous_standby_names of
// c may ask for. It reaches c at the address through, such as a proxy's, or
// directly if that is empty. Its settings are as those of StartPostgresCluster;
// some must not be smaller than c's, max_connections among them.
func (c *PostgresCluster) StartStandby(ctx context.Context, name, through string, settings ...string) (*PostgresCluster, error) {
	primary, err := url.Parse(c.URL)
	if err != nil {
		return nil, err
	}
	password, _ := primary.User.Password()
	query := primary.Query()
	query.Set("application_name", name)
	if through != "" {
		primary.Host = through
	}
	primary.Path, primary.RawQuery = "/", query.Encode()
	return newPostgresCluster(ctx, c.bin, password, standbyScript, []string{c.bin, primary.String()}, settings)
}

// Promote makes a standby a server that takes writes, and waits until it does.
func (c *PostgresCluster) Promote(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, c.URL)
	if err != nil {
		return err
	}
	defer closeConn(ctx, conn)
	var promoted bool
	err = conn.QueryRow(ctx, "select pg_catalog.pg_promote(true, 60)").Scan(&promoted)
	if err == nil && !promoted {
		err = errors.New("postgres: the standby was not promoted in time")
	}
	return err
}

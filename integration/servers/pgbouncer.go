package servers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
)

// PgBouncerPoolSize is how many connections to the server a PgBouncer that was
// started here holds for each pair of user and database: few, so that tests
// meet its limits.
const PgBouncerPoolSize = 8

// PgBouncer is a PgBouncer in transaction pooling mode in front of a
// PostgreSQL server. It must not be copied. Stop and Restart return an error
// when it had ended by itself, as versions 1.18 to 1.20.0 can do when a cancel
// request crosses the end of its statement
// (https://github.com/pgbouncer/pgbouncer/pull/927).
type PgBouncer struct {
	*Server

	program string
	dir     string
	admin   string // the URL of its own console

	mu      sync.Mutex
	process *daemon // nil once stopped
}

// PoolCounts is what PgBouncer's console says of one pool, which is one pair
// of user and database.
type PoolCounts struct {
	Database, User string
	// ClientsActive are clients that hold a server connection or could have
	// one at once; ClientsWaiting wait for one.
	ClientsActive, ClientsWaiting int
	// ServersActive are server connections in a transaction; ServersIdle are
	// ready for the next one.
	ServersActive, ServersIdle int
}

// StartPgBouncer starts the program pgbouncer, found on PATH or where Debian's
// package puts it, in front of the server at postgresURL, at a random port of
// 127.0.0.1. It serves every database of that server; its URL names the one
// that postgresURL names, with the same user and password and with none of its
// parameters, which PgBouncer would refuse. Whether that server answers shows
// when the first client connects. Where this process is root, it runs
// as the user postgres or, failing that, nobody.
//
// The error matches [ErrNone] when there is no such program.
func StartPgBouncer(ctx context.Context, postgresURL string) (*PgBouncer, error) {
	program, err := findPgBouncer()
	if err != nil {
		return nil, err
	}
	target, err := pgx.ParseConfig(postgresURL)
	if err != nil {
		return nil, err
	}
	dir, err := newDaemonDir("pgbouncer")
	if err != nil {
		return nil, err
	}
	bouncer, err := startOnFreePort(func(port string) (*PgBouncer, error) {
		return startPgBouncer(ctx, program, dir, port, target)
	})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return bouncer, nil
}

// findPgBouncer finds the program.
func findPgBouncer() (string, error) {
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w: the program pgbouncer is neither on PATH nor in /usr/sbin", ErrNone)
}

// startPgBouncer starts the program at the given port.
func startPgBouncer(ctx context.Context, program, dir, port string, target *pgx.ConnConfig) (*PgBouncer, error) {
	if err := writePgBouncerFiles(dir, port, target); err != nil {
		return nil, err
	}
	hostPort := net.JoinHostPort("127.0.0.1", port)
	b := &PgBouncer{
		Server: &Server{
			URL:     newURL(target.User, target.Password, hostPort, target.Database),
			Source:  program + " in transaction pooling mode",
			title:   "PgBouncer",
			address: hostPort,
		},
		program: program, dir: dir,
		admin: newURL(target.User, target.Password, hostPort, "pgbouncer"),
	}
	if err := b.start(ctx); err != nil {
		return nil, err
	}
	b.Server.stop = b.end
	return b, nil
}

// writePgBouncerFiles writes the configuration and the list of users.
func writePgBouncerFiles(dir, port string, target *pgx.ConnConfig) error {
	users := fmt.Sprintf("%s %s\n", quoteUser(target.User), quoteUser(target.Password))
	if err := writeServerFile(filepath.Join(dir, "users"), users); err != nil {
		return err
	}
	return writeServerFile(filepath.Join(dir, "pgbouncer.ini"), pgBouncerConfig(dir, port, target))
}

// quoteUser writes a word as PgBouncer's list of users has it.
func quoteUser(word string) string {
	return `"` + strings.ReplaceAll(word, `"`, `""`) + `"`
}

// pgBouncerConfig is the configuration file.
func pgBouncerConfig(dir, port string, target *pgx.ConnConfig) string {
	authentication := "scram-sha-256"
	if target.Password == "" {
		authentication = "trust"
	}
	return strings.Join([]string{
		"[databases]",
		fmt.Sprintf("* = host=%s port=%d", target.Host, target.Port),
		"[pgbouncer]",
		"listen_addr = 127.0.0.1",
		"listen_port = " + port,
		"unix_socket_dir =",
		"auth_type = " + authentication,
		"auth_file = " + filepath.Join(dir, "users"),
		"admin_users = " + target.User,
		"pool_mode = transaction",
		"default_pool_size = " + strconv.Itoa(PgBouncerPoolSize),
		"max_client_conn = 500",
		"ignore_startup_parameters = extra_float_digits",
		"",
	}, "\n")
}

// start runs the program and waits until its console answers. It does not ask
// for more, so that no connection to the server is open before a test's own.
func (b *PgBouncer) start(ctx context.Context) error {
	// SIGQUIT makes every version leave at once: from 1.23 on, SIGTERM waits
	// for the clients.
	process, err := startDaemon(b.dir, "QUIT", b.program, filepath.Join(b.dir, "pgbouncer.ini"))
	if err != nil {
		return err
	}
	b.Version, err = awaitReady(ctx, process.ended, b.askVersion)
	if err != nil {
		err = process.explain(err)
		return errors.Join(err, process.pause())
	}
	b.process = process
	return nil
}

// end stops the program for good. It is what Stop calls.
func (b *PgBouncer) end() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	process := b.process
	b.process = nil
	if process == nil { // a Restart failed half-way
		return os.RemoveAll(b.dir)
	}
	err := process.crash()
	return errors.Join(err, process.stop())
}

// errStopped is returned when a server that was stopped is used.
var errStopped = errors.New("stopped already")

// Restart ends the program at once, which breaks every connection through it,
// and starts it again at the same port. It returns when connections are taken
// again. After an error nothing runs, and only Stop is of use.
func (b *PgBouncer) Restart(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.process == nil {
		return fmt.Errorf("pgbouncer: %w", errStopped)
	}
	process := b.process
	b.process = nil
	if err := errors.Join(process.crash(), process.pause()); err != nil {
		return err
	}
	return b.start(ctx)
}

// Revive starts a program that has ended by itself again, at the same port, and
// reports whether it had. After an error nothing runs, and only Stop is of use.
func (b *PgBouncer) Revive(ctx context.Context) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.process == nil || b.process.crash() == nil {
		return false, nil
	}
	process := b.process
	b.process = nil
	if err := process.pause(); err != nil {
		return true, err
	}
	return true, b.start(ctx)
}

// Pools reads SHOW POOLS from PgBouncer's console: one element for each pair
// of user and database that was used, without the console's own.
func (b *PgBouncer) Pools(ctx context.Context) ([]PoolCounts, error) {
	conn, err := b.console(ctx)
	if err != nil {
		return nil, err
	}
	defer closeConn(ctx, conn)
	rows, err := conn.Query(ctx, "SHOW POOLS")
	if err != nil {
		return nil, err
	}
	// The columns differ between versions, so they are found by name.
	pools, err := pgx.CollectRows(rows, pgx.RowToMap)
	if err != nil {
		return nil, err
	}
	var counts []PoolCounts
	for _, pool := range pools {
		if pool["database"] != "pgbouncer" {
			counts = append(counts, poolCounts(pool))
		}
	}
	return counts, nil
}

// poolCounts picks the columns that PoolCounts has.
func poolCounts(pool map[string]any) PoolCounts {
	count := func(column string) int {
		n, err := strconv.Atoi(fmt.Sprint(pool[column]))
		if err != nil {
			return 0
		}
		return n
	}
	return PoolCounts{
		Database:       fmt.Sprint(pool["database"]),
		User:           fmt.Sprint(pool["user"]),
		ClientsActive:  count("cl_active"),
		ClientsWaiting: count("cl_waiting"),
		ServersActive:  count("sv_active"),
		ServersIdle:    count("sv_idle"),
	}
}

// askVersion asks PgBouncer for its version, which it gives as "PgBouncer 1.18.0".
func (b *PgBouncer) askVersion(ctx context.Context) (string, error) {
	conn, err := b.console(ctx)
	if err != nil {
		return "", err
	}
	defer closeConn(ctx, conn)
	var version string
	if err := conn.QueryRow(ctx, "SHOW VERSION").Scan(&version); err != nil {
		return "", err
	}
	return strings.TrimPrefix(version, "PgBouncer "), nil
}

// console connects to PgBouncer's own database, which knows the simple query
// protocol only.
func (b *PgBouncer) console(ctx context.Context) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(b.admin)
	if err != nil {
		return nil, err
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	return pgx.ConnectConfig(ctx, config)
}

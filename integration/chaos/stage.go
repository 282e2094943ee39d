package chaos

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/lockstep-go/lockstep/integration/servers"
)

// stage is what a run takes place on.
type stage struct {
	adminURL  string
	grants    []string // statements that let workers at the tables
	upstreams []string // addresses that each worker's proxies lead to
	workerURL func(proxies []string) string
	nemeses   []nemesis
	ready     func(context.Context, *world) error // waits until the stage is as it must be; may be nil
	turn      func(context.Context, *world) error // what happens once, at half time; may be nil
	watch     func(context.Context, *world) error // runs along with the load; may be nil
	pooler    *servers.PgBouncer
	cancel    int  // of 100 units, how many get a ctx that may end early; 0 means 18
	lossy     bool // acknowledged units may be lost, by the database's own rules
	title     string
	stop      func()
}

// The stages.
const (
	StageCalm          = "calm"           // one PostgreSQL, and no nemesis
	StageFaults        = "faults"         // one PostgreSQL, every fault
	StageFailoverSync  = "failover-sync"  // primary and synchronous standby; the primary dies
	StageFailoverAsync = "failover-async" // the same, not synchronous
	StagePgBouncer     = "pgbouncer"      // PgBouncer in transaction pooling, restarted under load
	StageMSSQL         = "mssql"          // a simulator of SQL Server, and faults of the wire and of processes
	StageSQLite        = "sqlite"         // SQLite, and faults of processes
)

// Stages are the values of Config.Stage.
func Stages() []string {
	return []string{StageCalm, StageFaults, StageFailoverSync, StageFailoverAsync, StagePgBouncer, StageMSSQL, StageSQLite}
}

func setStage(ctx context.Context, w *world) (*stage, error) {
	switch w.Stage {
	case StageCalm:
		s, err := setFaults(ctx, w)
		if err == nil {
			s.nemeses = nil
		}
		return s, err
	case StageFaults:
		return setFaults(ctx, w)
	case StageFailoverSync, StageFailoverAsync:
		return setFailover(ctx, w)
	case StagePgBouncer:
		return setPgBouncer(ctx, w)
	case StageMSSQL:
		return setMSSQL(ctx, w)
	case StageSQLite:
		return setSQLite(ctx, w)
	}
	return nil, fmt.Errorf("chaos: no stage %q; there are %s", w.Stage, strings.Join(Stages(), ", "))
}

// serverSettings make faults come soon: little memory for locks, deadlocks found
// fast, and an end for units whose client has gone silent.
func serverSettings() []string {
	return []string{
		"max_connections=80", "max_locks_per_transaction=10", "deadlock_timeout=50ms",
		"idle_in_transaction_session_timeout=800ms", "client_connection_check_interval=500ms",
	}
}

// workersMay make the workers' role and let it at the tables.
func workersMay() []string {
	return []string{
		fmt.Sprintf("create role %s login password '%s'", workerRole, workerPassword),
		"grant select, insert, update on all tables in schema public to " + workerRole,
	}
}

func setFaults(ctx context.Context, w *world) (*stage, error) {
	cluster, err := servers.StartPostgresCluster(ctx, serverSettings()...)
	if err != nil {
		return nil, err
	}
	w.server = cluster
	host, err := hostOf(cluster.URL)
	if err != nil {
		return nil, err
	}
	crashes := nemesis{kind: faultCrash, every: min(20*time.Second, w.Duration/2), do: crash}
	crowds := nemesis{kind: faultCrowd, every: 5 * time.Second, do: tell(sayCrowd)}
	return &stage{
		title:     cluster.String(),
		adminURL:  cluster.URL,
		grants:    workersMay(),
		upstreams: []string{host},
		workerURL: workerURL(""),
		nemeses:   concat(wireNemeses(), processNemeses(), sessionNemeses(postgresTarget{}), []nemesis{crashes, crowds}),
		stop:      func() { _ = cluster.Stop() },
	}, nil
}

func concat(groups ...[]nemesis) []nemesis {
	var all []nemesis
	for _, g := range groups {
		all = append(all, g...)
	}
	return all
}

// workerURL is the URL of workers, with parameters, through their proxies.
func workerURL(parameters string) func([]string) string {
	return func(proxies []string) string {
		address := url.URL{
			Scheme: "postgres", User: url.UserPassword(workerRole, workerPassword),
			Host: strings.Join(proxies, ","), Path: "/postgres",
			RawQuery: "sslmode=disable&connect_timeout=2" + parameters,
		}
		return address.String()
	}
}

func hostOf(address string) (string, error) {
	parsed, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	return parsed.Host, nil
}

// setPgBouncer puts PgBouncer between the workers and the server. It keeps
// sessions of its own, so no process of the server belongs to a worker. They are
// few, so each fault meets more than without it, and faults are half as frequent.
func setPgBouncer(ctx context.Context, w *world) (*stage, error) {
	cluster, err := servers.StartPostgresCluster(ctx, serverSettings()...)
	if err != nil {
		return nil, err
	}
	through, err := url.Parse(cluster.URL)
	if err != nil {
		return nil, errors.Join(err, cluster.Stop())
	}
	through.User = url.UserPassword(workerRole, workerPassword)
	bouncer, err := servers.StartPgBouncer(ctx, through.String())
	if err != nil {
		return nil, errors.Join(err, cluster.Stop())
	}
	host, err := hostOf(bouncer.URL)
	if err != nil {
		return nil, errors.Join(err, bouncer.Stop(), cluster.Stop())
	}
	return &stage{
		title:     fmt.Sprintf("%v in front of %v", bouncer, cluster),
		adminURL:  cluster.URL,
		grants:    workersMay(),
		upstreams: []string{host},
		workerURL: workerURL("&default_query_exec_mode=exec"),
		nemeses:   slower(2, concat(wireNemeses(), processNemeses(), sessionNemeses(postgresTarget{}))),
		turn:      restartPooler,
		watch:     revivePooler,
		pooler:    bouncer,
		stop:      func() { _, _ = bouncer.Stop(), cluster.Stop() },
	}, nil
}

func restartPooler(ctx context.Context, w *world) error {
	if err := revive(ctx, w); err != nil {
		return err
	}
	f := fault{kind: faultPooler, from: time.Now()}
	err := w.stage.pooler.Restart(ctx)
	f.to = time.Now()
	w.ledger.add(f)
	return err
}

// revivePooler starts PgBouncer again where it has ended by itself, as 1.18 to
// 1.20.0 do when a cancel request crosses the end of its statement: a fault of its
// own, and one more for units to survive.
func revivePooler(ctx context.Context, w *world) error {
	for sleep(ctx, 50*time.Millisecond) {
		if err := revive(context.WithoutCancel(ctx), w); err != nil {
			return err
		}
	}
	return nil
}

func revive(ctx context.Context, w *world) error {
	f := fault{kind: faultPoolerDown, from: time.Now()}
	down, err := w.stage.pooler.Revive(ctx)
	if f.to = time.Now(); down && err == nil {
		w.ledger.add(f)
	}
	return err
}

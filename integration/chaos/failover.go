package chaos

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lockstep-go/lockstep/integration/servers"
	"github.com/lockstep-go/lockstep/internal/faultproxy"
)

// standbyName is how the standby shows itself to its primary.
const standbyName = "chaos_standby"

// lag is for how long the standby hears nothing before the primary dies, so that
// there is something to lose.
const lag = 400 * time.Millisecond

// pair is a primary with a standby that follows it through a proxy.
type pair struct {
	primary, standby *servers.PostgresCluster
	link             *faultproxy.Proxy
}

func startPair(ctx context.Context) (*pair, error) {
	primary, err := servers.StartPostgresCluster(ctx, serverSettings()...)
	if err != nil {
		return nil, err
	}
	p := &pair{primary: primary}
	host, err := hostOf(primary.URL)
	if err == nil {
		p.link, err = faultproxy.Start(host)
	}
	if err == nil {
		p.standby, err = primary.StartStandby(ctx, standbyName, p.link.Addr(), serverSettings()...)
	}
	if err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func (p *pair) stop() {
	if p.standby != nil {
		_ = p.standby.Stop()
	}
	if p.link != nil {
		_ = p.link.Close()
	}
	_ = p.primary.Stop()
}

// fail cuts the standby off for a while, crashes the primary, and promotes.
func (p *pair) fail(ctx context.Context, w *world) error {
	p.link.Stall()
	sleep(ctx, lag)
	f := fault{kind: faultFailover, from: time.Now()}
	err := p.primary.Crash()
	err = errors.Join(err, p.link.Close()) // what the standby has not got by now is lost
	if err == nil {
		err = p.standby.Promote(ctx)
	}
	f.to = time.Now()
	w.ledger.add(f)
	return errors.Join(err, w.moveTo(p.standby.URL))
}

// setFailover makes a primary and a standby. Workers name both and ask for the
// one that takes writes.
func setFailover(ctx context.Context, w *world) (*stage, error) {
	p, err := startPair(ctx)
	if err != nil {
		return nil, err
	}
	first, err := hostOf(p.primary.URL)
	second, err2 := hostOf(p.standby.URL)
	if err = errors.Join(err, err2); err != nil {
		p.stop()
		return nil, err
	}
	grants, ready := workersMay(), awaitStandby("async")
	if w.Stage == StageFailoverSync {
		grants = append(grants, "alter system set synchronous_standby_names = '"+standbyName+"'", "select pg_reload_conf()")
		ready = awaitStandby("sync")
	}
	return &stage{
		title:     fmt.Sprintf("%v and a standby", p.primary),
		adminURL:  p.primary.URL,
		grants:    grants,
		upstreams: []string{first, second},
		workerURL: workerURL("&target_session_attrs=read-write"),
		nemeses:   failoverNemeses(),
		ready:     ready,
		lossy:     w.Stage == StageFailoverAsync,
		turn:      p.fail,
		stop:      p.stop,
	}, nil
}

// failoverNemeses go on at a slower pace, so that most of what is in flight when
// the primary dies is hit by that alone. Statements are not cancelled by an
// administrator: a COMMIT that waits for the standby is acknowledged then, with
// no more than a warning, by PostgreSQL's own rules.
func failoverNemeses() []nemesis {
	nemeses := concat(wireNemeses(), processNemeses())
	for _, n := range sessionNemeses(postgresTarget{}) {
		if n.kind != faultInterrupt {
			nemeses = append(nemeses, n)
		}
	}
	return slower(4, nemeses)
}

// awaitStandby waits until the primary says that the standby follows it so.
func awaitStandby(how string) func(context.Context, *world) error {
	return func(ctx context.Context, w *world) error {
		for limit := time.Now().Add(30 * time.Second); time.Now().Before(limit); {
			var found int
			err := w.db.GetContext(ctx, &found, `select count(*) from pg_stat_replication
				where application_name = $1 and state = 'streaming' and sync_state = $2`, standbyName, how)
			if err != nil || found > 0 {
				return err
			}
			sleep(ctx, 50*time.Millisecond)
		}
		return fmt.Errorf("chaos: the standby does not follow in mode %s", how)
	}
}

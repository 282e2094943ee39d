package chaos

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lockstep-go/lockstep/dialect/mssql"
	"github.com/lockstep-go/lockstep/internal/tdstest"
	"github.com/lockstep-go/lockstep/internal/tdstest/engine"
)

// setMSSQL starts the simulator of SQL Server in this process; workers come to
// it over TCP.
func setMSSQL(_ context.Context, w *world) (*stage, error) {
	simulator, err := tdstest.Start()
	if err != nil {
		return nil, err
	}
	w.simulator = simulator
	return &stage{
		title: "SQL Server simulator (internal/tdstest), NOT SQL Server: " +
			"what it proves of the library holds for what the simulator does",
		adminURL: simulator.URL("sa", "any", "master"),
		grants: []string{
			fmt.Sprintf("create login %s with password = '%s'", workerRole, workerPassword),
			fmt.Sprintf("create user %s for login %s", workerRole, workerRole),
		},
		upstreams: []string{simulator.Addr().String()},
		workerURL: mssqlURL,
		nemeses:   concat(wireNemeses(), processNemeses(), sessionNemeses(mssqlTarget{}), simulatorNemeses()),
		ready: func(ctx context.Context, w *world) error {
			return mssql.CreateOutcomeTable(ctx, w.db, outcomeTable)
		},
		stop: func() { _ = simulator.Close() },
	}, nil
}

// mssqlURL is the URL of workers. The proxy reads what is not encrypted.
func mssqlURL(proxies []string) string {
	address := url.URL{
		Scheme: "sqlserver", User: url.UserPassword(workerRole, workerPassword), Host: proxies[0],
		RawQuery: "database=master&encrypt=disable&dial+timeout=2",
	}
	return address.String()
}

// simulatorNemeses have the server end transactions for reasons of its own.
func simulatorNemeses() []nemesis {
	victim := engine.Message{Number: 1205, Class: 13, State: 1,
		Text: "Transaction was deadlocked with another process and has been chosen as the deadlock victim."}
	memory := engine.Message{Number: 1204, Class: 19, State: 1, Text: "The server cannot obtain a LOCK resource at this time."}
	return []nemesis{
		{kind: faultVictim, every: 500 * time.Millisecond, do: inject("effects", victim)},
		{kind: faultLockMemory, every: time.Second, do: inject("sp_getapplock", memory)},
	}
}

// inject has the server answer a request of some worker with an error, and roll
// its transaction back.
func inject(text string, answer engine.Message) func(context.Context, *world, *rand.Rand) (fault, error) {
	return func(ctx context.Context, w *world, r *rand.Rand) (fault, error) {
		var left, met atomic.Int64
		var label atomic.Pointer[string]
		left.Store(1 + r.Int64N(10))
		rule := w.simulator.Inject(tdstest.Match{Where: func(request tdstest.Request) bool {
			if !strings.Contains(request.Text, text) || request.Descriptor == 0 || left.Add(-1) != 0 {
				return false
			}
			met.Store(int64(request.Session))
			label.Store(labelIn(request.Text))
			return true
		}}, tdstest.Fault{Errors: []engine.Message{answer}, Rollback: true})
		defer rule.Remove()
		limit, cancel := context.WithTimeout(ctx, armed)
		defer cancel()
		select {
		case <-rule.Fired():
		case <-limit.Done():
			if rule.Count() == 0 {
				return fault{}, errMissed
			}
		}
		if unit := label.Load(); unit != nil {
			return fault{unit: *unit}, nil
		}
		return fault{unit: w.unitOf(ctx, met.Load())}, nil
	}
}

// setsLabel is how the library labels a session in the batch that takes locks.
var setsLabel = regexp.MustCompile(`SET CONTEXT_INFO 0x([0-9a-f]+);`)

// labelIn is the label that a request is about to set; nil if it sets none.
func labelIn(text string) *string {
	found := setsLabel.FindStringSubmatch(text)
	if found == nil {
		return nil
	}
	label, err := hex.DecodeString(found[1])
	if err != nil {
		return nil
	}
	unit := string(label)
	return &unit
}

// unitOf finds the unit that a session runs, or ran last, by its label.
func (w *world) unitOf(ctx context.Context, id int64) string {
	var label []byte
	err := w.admin().GetContext(ctx, &label, "select context_info from sys.dm_exec_sessions where session_id = @p1", id)
	if err != nil {
		return ""
	}
	return string(bytes.TrimRight(label, "\x00"))
}

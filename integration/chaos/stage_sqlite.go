package chaos

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/jmoiron/sqlx"
)

// setSQLite has the workers share a file. There is no wire, so what breaks is
// processes.
func setSQLite(ctx context.Context, w *world) (*stage, error) {
	url := "file://" + filepath.Join(w.dir, "chaos.db")
	version, err := versionOfSQLite(ctx, url)
	if err != nil {
		return nil, err
	}
	return &stage{
		title:     "SQLite " + version + ", in the workers' own processes",
		adminURL:  url,
		workerURL: func([]string) string { return url },
		nemeses:   hardProcessNemeses(),
		cancel:    25,
		stop:      func() {},
	}, nil
}

func versionOfSQLite(ctx context.Context, url string) (version string, err error) {
	var db *sqlx.DB
	if db, err = newSQLiteTarget(url).open(url); err != nil {
		return "", err
	}
	defer db.Close()
	err = db.GetContext(ctx, &version, "select sqlite_version()")
	return version, err
}

// hardProcessNemeses are for stages where nothing else breaks.
func hardProcessNemeses() []nemesis {
	return []nemesis{
		{kind: faultKill, every: 3 * time.Second, do: killWorker},
		{kind: faultKillAtCommit, every: 2 * time.Second, do: killWorkerAtCommit},
		{kind: faultFreeze, every: time.Second, do: freezeWorker},
		{kind: faultStarve, every: 2 * time.Second, do: tell(sayStarve)},
	}
}

// killWorkerAtCommit has a worker end itself by SIGKILL about when a unit's
// COMMIT is sent.
func killWorkerAtCommit(_ context.Context, w *world, r *rand.Rand) (fault, error) {
	slot := w.anySlot(r)
	killed, itself, err := slot.replaceAtCommit(time.Second)
	if err == nil && !itself {
		w.ledger.add(fault{kind: faultKill, worker: slot.number, process: killed, from: time.Now(), to: time.Now()})
		return fault{}, errMissed // nothing was committed in time
	}
	return fault{worker: slot.number, process: killed}, err
}

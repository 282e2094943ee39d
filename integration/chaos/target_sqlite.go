package chaos

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/jmoiron/sqlx"
	"golang.org/x/sys/unix"
	engine "modernc.org/sqlite"

	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/dialect/sqlite"
)

// sqliteTarget is SQLite, which has no server: what all processes have in common
// is the kernel. Its locks are the evidence for locks, and its monotonic clock,
// which is one for all processes, is the tick.
type sqliteTarget struct{ database string }

func newSQLiteTarget(url string) sqliteTarget {
	return sqliteTarget{strings.TrimPrefix(url, "file://")}
}

func (sqliteTarget) dialect() dialect.Dialect { return sqlite.Dialect() }

func (t sqliteTarget) open(url string) (*sqlx.DB, error) {
	if err := functionsOfSQLite(); err != nil {
		return nil, err
	}
	return sqlite.Open(url)
}

// functionsOfSQLite lets the engine answer ticks, so that what answers is the
// transaction that asks.
var functionsOfSQLite = sync.OnceValue(func() error {
	return errors.Join(
		engine.RegisterScalarFunction("chaos_tick", 0, func(*engine.FunctionContext, []driver.Value) (driver.Value, error) {
			return monotonic()
		}),
		engine.RegisterScalarFunction("chaos_locked", 2, func(_ *engine.FunctionContext, args []driver.Value) (driver.Value, error) {
			locked, err := isLocked(fmt.Sprint(args[0]), fmt.Sprint(args[1]) == "fully")
			if locked {
				return int64(1), err
			}
			return int64(0), err
		}),
	)
})

// monotonic is the kernel's clock in nanoseconds.
func monotonic() (int64, error) {
	var now unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return now.Nano(), err
}

// isLocked reports whether the kernel refuses a lock of a file because of others:
// any lock, if they are to hold it fully, else the exclusive one.
func isLocked(path string, fully bool) (bool, error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer file.Close()
	how := unix.LOCK_EX
	if fully {
		how = unix.LOCK_SH
	}
	err = unix.Flock(int(file.Fd()), how|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

func (sqliteTarget) clock() (int64, string, error) {
	tick, err := monotonic()
	return tick, "", err
}

func (sqliteTarget) tick() string { return "select chaos_tick(), ''" }

func (sqliteTarget) seals() string { return "" }

// levels: SQLite's transactions are all serializable, but one that begins to read
// before it writes fails for what others wrote, so few do. A unit that writes in another
// that writes is refused.
func (sqliteTarget) levels(of reach) []isolation {
	snapshot := isolation{level: sql.LevelSnapshot, snapshot: true}
	plainly := []isolation{{level: sql.LevelDefault}}
	switch of {
	case declare:
		return append(plainly, isolation{level: sql.LevelDefault}, isolation{level: sql.LevelReadCommitted},
			isolation{level: sql.LevelSerializable}, snapshot)
	case read:
		return append(plainly, snapshot, isolation{readOnly: true}, isolation{readOnly: true}, isolation{readOnly: true})
	case twice:
		return nil
	}
	return plainly
}

func (sqliteTarget) schema() []string {
	return []string{
		`create table effects (unit text, attempt int, seq int, lockname text, n bigint, counted boolean, account int, delta bigint, linger real)`,
		`create index effects_lock on effects (lockname, n)`,
		`create index effects_unit on effects (unit)`,
		`create table counters (lockname text primary key, n bigint)`,
		`create table accounts (id int primary key, balance bigint)`,
		`create table taken (id int primary key)`,
	}
}

// held asks the kernel whether the lock's files are locked as they must be.
func (t sqliteTarget) held(name string, mode dialect.Mode) (string, []any) {
	path := sqlite.LockFile(t.database, name)
	switch mode {
	case dialect.Exclusive:
		return "select chaos_locked(?, 'fully')", []any{path}
	case dialect.Update:
		return "select min(chaos_locked(?, 'partly'), chaos_locked(?, 'fully'))", []any{path, path + ".update"}
	}
	return "select chaos_locked(?, 'partly')", []any{path}
}

func (sqliteTarget) returning(insert, column string) string { return insert + " returning " + column }

// leftovers are locks of files, and damage to the database.
func (t sqliteTarget) leftovers(ctx context.Context, admin *sqlx.DB, _ bool) ([]string, error) {
	var found []string
	for _, pattern := range []string{"*", filepath.Join("sessions", "*")} {
		files, err := filepath.Glob(filepath.Join(filepath.Dir(sqlite.LockFile(t.database, "any")), pattern))
		if err != nil {
			return nil, err
		}
		for _, path := range files {
			if locked, err := isLocked(path, false); err != nil || locked {
				found = append(found, fmt.Sprintf("the lock of %s, %v", filepath.Base(path), err))
			}
		}
	}
	var damage []string
	if err := admin.SelectContext(ctx, &damage, "pragma integrity_check"); err != nil {
		return found, err
	}
	if len(damage) != 1 || damage[0] != "ok" {
		found = append(found, damage...)
	}
	return found, nil
}

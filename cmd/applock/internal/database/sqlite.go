package database

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/dialect/sqlite"
)

func sqliteProduct() Product {
	return Product{
		ID: "sqlite", Name: "SQLite", schemes: []string{"sqlite", "file"}, isPath: isSQLiteFile,
		open:    openSQLite,
		dialect: func() dialect.Dialect { return sqlite.Dialect() },
		recipe:  sqliteRecipe, end: endSQLite,
	}
}

// sqliteDSN turns an address into what the dialect opens: a path or a file: URI.
func sqliteDSN(address string) string {
	rest, found := strings.CutPrefix(address, "sqlite:")
	switch {
	case !found:
		return address
	case strings.HasPrefix(rest, "//"):
		return "file:" + rest
	}
	return rest
}

// openSQLite opens the file, which is made for whom its directory is for: it has
// nothing in it, and SQLite would make it for whoever comes first.
func openSQLite(address string) (*sqlx.DB, error) {
	if err := checkParameters(address); err != nil {
		return nil, err
	}
	return sqlite.Open(sqliteDSN(address), sqlite.ShareWithDirectory())
}

// parameters are those of the driver, and those that the dialect refuses with
// its own reason.
var parameters = []string{
	"mode", "vfs", "cache", "nolock", "immutable",
	"_pragma", "_txlock", "_dqs", "_defensive", "_error_rc", "_query_only",
	"_busy_timeout", "_timeout", "_auto_vacuum", "_vacuum", "_foreign_keys", "_fk",
	"_journal_mode", "_journal", "_synchronous", "_sync",
	"_time_format", "_time_integer_format", "_timezone", "_inttotime", "_texttotime",
}

// checkParameters refuses what would be dropped: of a path with a question mark
// in it, SQLite would open what comes before that.
func checkParameters(address string) error {
	_, query, found := strings.Cut(address, "?")
	switch {
	case !found:
		return nil
	case !strings.HasPrefix(address, "sqlite:") && !strings.HasPrefix(address, "file:"):
		return fmt.Errorf("%w: a path with a question mark; write file: before the path, and %%3F for the question mark", ErrAddress)
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return fmt.Errorf("%w: the parameters cannot be read: %w", ErrAddress, err)
	}
	for name := range values {
		if !slices.Contains(parameters, name) {
			return fmt.Errorf("%w: SQLite has no parameter %q; in a path, write file: before it, and %%3F for a question mark", ErrAddress, name)
		}
	}
	return nil
}

// isSQLiteFile reports whether an address without a scheme is meant as a file's
// path. Strings of keywords, which may hold passwords, are none.
func isSQLiteFile(address string) bool {
	for _, start := range []string{"/", "./", "../"} {
		if strings.HasPrefix(filepath.ToSlash(address), start) {
			return true
		}
	}
	switch filepath.Ext(address) {
	case ".db", ".sqlite", ".sqlite3":
		return filepath.VolumeName(address) != "" || !strings.ContainsAny(address, "=:")
	}
	return false
}

// Default returns the database that is used where none was named: a file of this
// user on this host. Its directory may be missing.
func Default() (address string, err error) {
	folder, err := stateFolder()
	if err != nil {
		return "", noPlace(err)
	}
	return filepath.Join(folder, "lockstep", "applock.db"), nil
}

// noPlace says that there is no default, and why.
func noPlace(err error) error {
	return fmt.Errorf("%w, and this user has no place for a file: %w", ErrNone, err)
}

// stateFolder is where programs of this user keep what must survive a restart.
func stateFolder() (string, error) {
	switch runtime.GOOS {
	case "windows":
		return os.UserCacheDir() // %LocalAppData%, which stays on the host
	case "darwin", "ios":
		return os.UserConfigDir()
	}
	if folder := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(folder) {
		return folder, nil
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".local", "state"), err
}

func sqliteRecipe(address, name string, mode applock.Mode) (Recipe, error) {
	place, err := Default()
	own := address == "" || address == place
	if own {
		if err != nil {
			return Recipe{}, err
		}
		address = place
	}
	flag := "--exclusive"
	if mode == applock.ModeShared {
		flag = "--shared"
	}
	file, err := lockFile(address, name, own)
	if err != nil {
		return Recipe{}, err
	}
	quoted := "'" + strings.ReplaceAll(file, "'", `'\''`) + "'"
	return Recipe{What: "file", Key: file, Code: "flock " + flag + " " + quoted + " command"}, nil
}

// lockFile is the file of a lock. The folder of the user's own database need not
// be there yet.
func lockFile(address, name string, own bool) (string, error) {
	below := ""
	if own {
		folder := filepath.Dir(address)
		there := folder
		for _, err := os.Stat(there); errors.Is(err, fs.ErrNotExist) && filepath.Dir(there) != there; _, err = os.Stat(there) {
			there = filepath.Dir(there)
		}
		below, _ = filepath.Rel(there, folder)
		address = filepath.Join(there, filepath.Base(address))
	}
	db, err := openSQLite(address) // tells what is wrong with it
	if err != nil {
		return "", notOpened(err)
	}
	if err := db.Close(); err != nil {
		return "", err
	}
	file := sqlite.LockFile(sqliteDSN(address), name)
	locks := filepath.Dir(file)
	return filepath.Join(filepath.Dir(locks), below, filepath.Base(locks), filepath.Base(file)), nil
}

// endSQLite ends nothing: the holder is a process that may do other work too,
// and no server can take its transaction away from it.
func endSQLite(_ context.Context, _ *sqlx.DB, _ string, holder applock.Session) error {
	pid, _, _ := strings.Cut(holder.ID, "-")
	return fmt.Errorf("SQLite %w: it has no server; if the whole process may end, kill %s", ErrCannotEnd, pid)
}

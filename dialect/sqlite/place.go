package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/dialect/sqlite/internal/filelock"
)

// locksExt is what the name of the directory of a database's locks adds to the
// database's own.
const locksExt = ".locks"

// LockFile returns the file whose lock is the named lock of a database, which is
// given as to Open. The file need not exist. Whoever locks it by flock(2), as
// the program flock(1) does, holds the lock. For a database that Open refuses it
// is empty.
func LockFile(database, name string) string {
	path, _, err := parse(database)
	if err != nil {
		return ""
	}
	return newPlace(path).locks.File(name)
}

// place is where a database and its locks are. All connections of a pool share
// it.
type place struct {
	database string
	locks    filelock.Dir
	owner    func() filelock.Owner
	writer   atomic.Pointer[unit] // who of this pool writes
}

func newPlace(database string) *place {
	return &place{
		database: database,
		locks:    filelock.Dir(database + locksExt),
		owner:    sync.OnceValue(thisProcess),
	}
}

// thisProcess is how others are shown this process.
func thisProcess() (o filelock.Owner) {
	o.Host, _ = os.Hostname()
	o.User = strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil {
		o.User = u.Username
	}
	return o
}

// parse takes a data source name apart: the database's file, with every link
// followed, and the parameters. It asks for no file's content.
func parse(dsn string) (path string, params url.Values, err error) {
	path, query, _ := strings.Cut(dsn, "?")
	if params, err = url.ParseQuery(query); err != nil {
		return "", nil, fmt.Errorf("sqlite: the parameters of the data source name cannot be read: %w", err)
	}
	if rest, ok := strings.CutPrefix(path, "file:"); ok {
		if path, err = pathOfURI(rest); err != nil {
			return "", nil, err
		}
	}
	if path == "" || path == ":memory:" || params.Get("mode") == "memory" || params.Get("vfs") == "memdb" {
		return "", nil, unsupported("a database in memory has no place for lock files; name a file, in a temporary directory for example")
	}
	for _, p := range []string{"vfs", "cache", "nolock", "immutable"} {
		if params.Has(p) {
			return "", nil, unsupported("parameter " + p + " changes how SQLite locks")
		}
	}
	path, err = follow(path)
	return path, params, err
}

// pathOfURI returns the path of a URI, after its scheme.
func pathOfURI(rest string) (string, error) {
	rest, _, _ = strings.Cut(rest, "#")
	if after, ok := strings.CutPrefix(rest, "//"); ok {
		host, below, _ := strings.Cut(after, "/")
		if host != "" && host != "localhost" {
			return "", unsupported("a database of another host")
		}
		rest = "/" + below
	}
	path, err := url.PathUnescape(rest)
	if err != nil {
		return "", fmt.Errorf("sqlite: the path of the data source name cannot be read: %w", err)
	}
	return path, nil
}

// follow resolves links, so that all names of a database lead to the same locks.
// The database itself need not exist.
func follow(path string) (string, error) {
	resolved, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		resolved, err = followMissing(path)
	}
	if err != nil {
		return "", &dialect.Error{Kind: dialect.Unavailable, Detail: path, Err: err}
	}
	return filepath.Abs(resolved)
}

// errDangling is a link whose end is missing: following it later might lead to
// other locks.
var errDangling = errors.New("a link to nothing")

// followMissing resolves the path of a file that was not there a moment ago.
// Others who open the database for the first time, too, may have made it since.
func followMissing(path string) (string, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		resolved, err := filepath.EvalSymlinks(path)
		if errors.Is(err, fs.ErrNotExist) {
			return "", errDangling
		}
		return resolved, err
	}
	dir, file := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	dir, err := filepath.EvalSymlinks(dir)
	return filepath.Join(dir, file), err
}

func unsupported(detail string) error {
	return &dialect.Error{Kind: dialect.Unsupported, Detail: detail}
}

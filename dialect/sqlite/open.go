package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/jmoiron/sqlx"
	sqlite "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"github.com/lockstep-go/lockstep/dialect"
)

// OpenOption changes what Open does.
type OpenOption func(*opening)

type opening struct {
	remote func(dir string) string // names a file system whose locks are not to be relied upon
	share  bool
	trace  func(statement string)
}

// AllowNetworkFilesystem lets Open take a database on a file system whose locks
// are known or feared not to work, such as NFS, SMB or FUSE. Both SQLite's own
// locks and named locks depend on them; whoever uses this has made sure.
func AllowNetworkFilesystem() OpenOption {
	return func(o *opening) { o.remote = func(string) string { return "" } }
}

// Open returns a database for a file: a path, or a URI such as
// file:/var/lib/app/app.db?_pragma=cache_size(-8000), with the parameters of
// modernc.org/sqlite. The file and the directory of its locks are made with the
// first connection, or unit, that needs them. The caller closes the database.
//
// Every connection is opened with a write-ahead log (WAL), synchronous(full),
// foreign keys enforced, a wait of ten seconds for statements outside units that
// meet another writer, IMMEDIATE transactions for database/sql's own, and times
// written as SQLite's functions read them. Parameters override these.
//
// A database in memory, a file on a network file system, and parameters that
// change how SQLite locks are dialect.Unsupported. A file whose directory is
// missing or cannot be reached is dialect.Unavailable.
func Open(dsn string, opts ...OpenOption) (*sqlx.DB, error) {
	o := opening{remote: remote}
	for _, option := range opts {
		option(&o)
	}
	path, params, err := parse(dsn)
	if err != nil {
		return nil, err
	}
	if name := o.remote(filepath.Dir(path)); name != "" {
		return nil, unsupported(path + " is on " + name + ", whose locks may exclude nobody")
	}
	c := connector{place: newPlace(path), log: !choosesJournal(params), share: o.share && shareable(params), trace: o.trace}
	if c.Connector, err = sqlite.NewConnector(uri(path, params)); err != nil {
		return nil, err
	}
	return sqlx.NewDb(sql.OpenDB(c), "sqlite"), nil
}

// uri is the driver's name for a database, with the settings of Open where
// params do not say otherwise.
func uri(path string, params url.Values) string {
	for _, setting := range []struct{ key, alias, pragma, value string }{
		{"_busy_timeout", "_timeout", "busy_timeout", "10000"},
		{"_synchronous", "_sync", "synchronous", "FULL"},
		{"_foreign_keys", "_fk", "foreign_keys", "on"},
		{"_txlock", "", "", "immediate"},
		{"_time_format", "_time_integer_format", "", "sqlite"},
	} {
		if !params.Has(setting.key) && !params.Has(setting.alias) && !hasPragma(params, setting.pragma) {
			params.Set(setting.key, setting.value)
		}
	}
	file := url.URL{Path: filepath.ToSlash(path)}
	slash := ""
	if !strings.HasPrefix(file.Path, "/") {
		slash = "/" // a drive's letter
	}
	return "file:" + slash + file.EscapedPath() + "?" + params.Encode()
}

func choosesJournal(params url.Values) bool {
	return params.Has("_journal_mode") || params.Has("_journal") || hasPragma(params, "journal_mode")
}

func hasPragma(params url.Values, name string) bool {
	if name == "" {
		return false
	}
	for _, p := range params["_pragma"] {
		if strings.HasPrefix(strings.ToLower(strings.TrimSpace(p)), name) {
			return true
		}
	}
	return false
}

// connector opens the driver's connections and keeps watch on them.
type connector struct {
	driver.Connector
	place *place
	log   bool // databases are to have a write-ahead log
	share bool // a database that is missing is made here
	trace func(statement string)
}

// Connect implements driver.Connector.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	if c.share {
		if err := makeShared(c.place.database); err != nil {
			return nil, &dialect.Error{Kind: dialect.Unavailable, Detail: c.place.database + " could not be made", Err: err}
		}
	}
	inner, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, c.named(err)
	}
	conn, err := newConn(inner, c.place, c.trace)
	if err == nil && c.log {
		err = conn.startLog()
	}
	if err != nil {
		_ = inner.Close()
		return nil, c.named(err)
	}
	return conn, nil
}

// named says which file the engine's error is about, and what of it the engine
// leaves to guess.
func (c connector) named(err error) error {
	var answer *sqlite.Error
	if !errors.As(err, &answer) {
		return err
	}
	named := &dialect.Error{Kind: classify(err), Detail: c.place.database, Err: err}
	if answer.Code() == codes.SQLITE_READONLY_DIRECTORY {
		named.Kind = dialect.Unavailable
		named.Detail += ": this user cannot write its directory, where SQLite keeps files beside it"
	}
	return named
}

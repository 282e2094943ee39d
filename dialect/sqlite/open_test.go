package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// openTest opens a database of the test's own.
func openTest(t *testing.T, params string) *sqlx.DB {
	t.Helper()
	return openFile(t, "file:"+filepath.Join(t.TempDir(), "test.db")+params)
}

func openFile(t *testing.T, dsn string) *sqlx.DB {
	t.Helper()
	db, err := Open(dsn)
	check(t, err)
	t.Cleanup(func() { check(t, db.Close()) })
	return db
}

func mustExec(t *testing.T, db *sqlx.DB, statement string) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), statement)
	check(t, err)
}

// fileOf is the file of a database.
func fileOf(t *testing.T, db *sqlx.DB) (path string) {
	t.Helper()
	check(t, db.Get(&path, "select file from pragma_database_list where name = 'main'"))
	return path
}

func pragma(t *testing.T, db *sqlx.DB, name string) (value string) {
	t.Helper()
	check(t, db.Get(&value, "pragma "+name))
	return value
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for params, want := range map[string]map[string]string{
		"": {"journal_mode": "wal", "foreign_keys": "1", "synchronous": "2", "busy_timeout": "10000"},
		"?_journal_mode=delete&_pragma=busy_timeout(7)&_fk=off&_sync=normal": {
			"journal_mode": "delete", "foreign_keys": "0", "synchronous": "1", "busy_timeout": "7",
		},
	} {
		db := openTest(t, params)
		for range 3 { // on every connection
			conn, err := db.Connx(t.Context())
			check(t, err)
			defer conn.Close()
			for name, value := range want {
				var got string
				check(t, conn.GetContext(t.Context(), &got, "pragma "+name))
				if got != value {
					t.Errorf("%q: %s is %s, want %s", params, name, got, value)
				}
			}
		}
	}
}

func TestTimesAreReadable(t *testing.T) {
	t.Parallel()
	db := openTest(t, "")
	var text string
	check(t, db.Get(&text, "select strftime('%Y-%m-%d', ?)", time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)))
	if text != "2026-05-04" {
		t.Errorf("%q", text)
	}
}

func TestRefusedNames(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "test.db")
	for _, dsn := range []string{
		"", ":memory:", "file::memory:", "file:", "file:x?mode=memory", "file:" + file + "?cache=shared",
		"file:" + file + "?vfs=memdb", "file:" + file + "?nolock=1", file + "?immutable=1", "file://elsewhere" + file,
	} {
		if _, err := Open(dsn); !errors.Is(err, dialect.Unsupported) {
			t.Errorf("%q: %v", dsn, err)
		}
		if file := LockFile(dsn, "a"); file != "" {
			t.Errorf("%q has lock file %s", dsn, file)
		}
	}
	for _, dsn := range []string{filepath.Join(file, "below", "test.db"), file + "?a=%zz", "file:%zz"} {
		if _, err := Open(dsn); err == nil {
			t.Errorf("%q was taken", dsn)
		}
	}
}

func TestNamesOfOneDatabase(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	check(t, err)
	file := filepath.Join(dir, "a %23 b?.db")
	escaped := strings.NewReplacer("%", "%25", " ", "%20", "?", "%3f").Replace(file)
	db := openFile(t, "file:"+escaped)
	mustExec(t, db, "create table t (id int)")
	if got := fileOf(t, db); got != file {
		t.Errorf("opened %q, want %q", got, file)
	}
	check(t, os.Symlink(file, filepath.Join(dir, "link.db")))
	check(t, os.Symlink(dir, filepath.Join(dir, "link")))
	for _, dsn := range []string{
		"file:" + escaped, "file://" + escaped, "file://localhost" + escaped + "?_fk=1#x",
		filepath.Join(dir, "link.db"), filepath.Join(dir, "link", "link.db"), dir + "/./link/../" + filepath.Base(dir) + "/link.db",
	} {
		if got := LockFile(dsn, "tenant:42"); filepath.Dir(got) != file+".locks" {
			t.Errorf("%s has lock file %s", dsn, got)
		}
	}
	check(t, os.Symlink("nothing", filepath.Join(dir, "dangling.db")))
	if _, err := Open(filepath.Join(dir, "dangling.db")); err == nil {
		t.Error("a link to nothing was opened")
	}
}

// TestLockFileName holds what docs/sqlite.md tells scripts.
// TestNameOfWhatIsBeingMade opens databases while another makes them.
func TestNameOfWhatIsBeingMade(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 2000 {
		path := filepath.Join(dir, strconv.Itoa(i))
		made := make(chan error, 1)
		go func() { made <- os.WriteFile(path, nil, 0o600) }()
		got, err := follow(path)
		for range i % 8 {
			if err == nil {
				got, err = follow(path)
			}
		}
		if err != nil || got != path {
			t.Fatalf("%q, error %v", got, err)
		}
		if err := <-made; err != nil {
			t.Fatal(err)
		}
	}
}

func TestLockFileName(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	check(t, err)
	want := filepath.Join(dir, "app.db.locks", "4b5d4625d71bf87fe91c295af8dc728f12322e062fef76e3849661387d63ada1")
	if got := LockFile(filepath.Join(dir, "app.db"), "tenant:42"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

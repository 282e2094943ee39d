package sqlite

import (
	"path/filepath"
	"strings"
	"testing"
)

// FuzzPlace looks for a data source name of which two readings differ: the path
// that comes out must lead to itself.
func FuzzPlace(f *testing.F) {
	for _, dsn := range []string{"", "a.db", "file:a.db?mode=rwc", "file:///a%20b.db#x", ":memory:", "file://other/a", "a.db?vfs=x", "file:%zz", "./x/../a.db", "/", ".", "a\x00b", "?"} {
		f.Add(dsn)
	}
	f.Fuzz(func(t *testing.T, dsn string) {
		path, _, err := parse(dsn)
		if err != nil {
			if LockFile(dsn, "a") != "" {
				t.Errorf("%q is refused and has a lock file", dsn)
			}
			return
		}
		if !filepath.IsAbs(path) || filepath.Clean(path) != path {
			t.Errorf("%q is %q", dsn, path)
		}
		if !strings.ContainsAny(path, "?") {
			if again, _, err := parse(path); err != nil || again != path {
				t.Errorf("%q is %q, and that is %q (%v)", dsn, path, again, err)
			}
		}
		if filepath.Dir(LockFile(dsn, "a")) != path+locksExt {
			t.Errorf("%q has its locks in %s", dsn, LockFile(dsn, "a"))
		}
	})
}

package docs

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect/postgres"
	"github.com/lockstep-go/lockstep/integration/servers/serverstest"
	"github.com/lockstep-go/lockstep/uow"
)

// postgresqlPage tells other programs how to take the same locks.
const postgresqlPage = "docs/postgresql.md"

// vector is a line of the table of names and keys.
var vector = regexp.MustCompile("(?m)^\\| `(.+)` \\| (-?\\d+) \\| (-?\\d+) \\| (-?\\d+) \\|$")

func TestVectors(t *testing.T) {
	t.Parallel()
	vectors := vector.FindAllStringSubmatch(pages(t)[postgresqlPage], -1)
	if len(vectors) < 6 {
		t.Fatalf("only %d test vectors found", len(vectors))
	}
	for _, v := range vectors {
		key := postgres.Key(v[1])
		got := []string{format(key), format(key >> 32), format(int64(int32(key)))}
		for i, want := range v[2:] {
			if got[i] != want {
				t.Errorf("%q: the page has %s, the library %s", v[1], want, got[i])
			}
		}
	}
}

func format(n int64) string { return strconv.FormatInt(n, 10) }

// recipe returns the SQL of the page that the comment before it names.
func recipe(t *testing.T, name string) string {
	t.Helper()
	_, after, found := strings.Cut(pages(t)[postgresqlPage], "<!-- recipe: "+name+" -->\n```sql\n")
	sql, _, closed := strings.Cut(after, "\n```")
	if !found || !closed {
		t.Fatalf("no recipe %s", name)
	}
	return sql
}

func openDatabase(t *testing.T) *sqlx.DB {
	t.Helper()
	db, err := postgres.Open(serverstest.PostgresDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestKeyRecipe(t *testing.T) {
	t.Parallel()
	db := openDatabase(t)
	var key int64
	err := db.GetContext(t.Context(), &key, recipe(t, "key"))
	if want := postgres.Key("tenant:42"); err != nil || key != want {
		t.Errorf("key %d, want %d; error %v", key, want, err)
	}
}

// A script that follows the page and a unit of work exclude each other.
func TestScriptRecipe(t *testing.T) {
	t.Parallel()
	db := openDatabase(t)
	script, after, found := strings.Cut(recipe(t, "script"), "-- the work\n")
	if !found {
		t.Fatal("the script has no work in it")
	}
	conn, err := db.Connx(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	m := uow.New(db, postgres.Dialect())
	for _, step := range []struct {
		sql  string
		free bool
	}{{script, false}, {after, true}} {
		if _, err := conn.ExecContext(t.Context(), step.sql); err != nil {
			t.Fatal(err)
		}
		for _, lock := range []applock.Lock{applock.Exclusive("tenant:42"), applock.Shared("tenant:42"), applock.Update("tenant:42")} {
			_, scope, err := m.Begin(t.Context(), applock.With(lock.NoWait()))
			if (err == nil) != step.free {
				t.Errorf("%v after %q: error %v", lock, step.sql, err)
			}
			if err := scope.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/lockstep-go/lockstep/dialect/sqlite"
	"github.com/lockstep-go/lockstep/integration/servers"
	"github.com/lockstep-go/lockstep/integration/servers/serverstest"
)

// asProgram makes the test binary the program itself, and every process that it
// starts as well. So the program runs with the race detector where tests do.
const asProgram = "QUICKSTART_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(serverstest.Main(m, servers.Postgres, servers.MSSQL))
}

// program runs the program and returns its output and exit code.
func program(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	folder := t.TempDir()
	cmd.Env = append(os.Environ(), asProgram+"=1", "TMPDIR="+folder)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(folder, "*")); err != nil || len(left) > 0 {
		t.Errorf("files %v are left behind, error %v", left, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func TestStory(t *testing.T) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		wantStory(t, 13)
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		dsn := serverstest.PostgresDatabase(t)
		stdout := wantStory(t, 14, "--db", dsn)
		if !strings.Contains(stdout, "  ok transactions that wrote these rows: 1\n") {
			t.Error("no line that counts transactions")
		}
		wantNoneLeft(t, dsn, "select count(*) from pg_namespace where nspname like 'quickstart%'")
	})
	t.Run("SQL Server", func(t *testing.T) {
		t.Parallel()
		wantStory(t, 13, "--db", serverstest.MSSQLURL(t))
	})
}

// wantStory checks that the program tells its story to the end, with as many
// claims that hold, and returns it.
func wantStory(t *testing.T, claims int, args ...string) string {
	t.Helper()
	stdout, stderr, code := program(t, args...)
	t.Log(stdout)
	if code != 0 || stderr != "" {
		t.Fatalf("exit code %d, errors: %s", code, stderr)
	}
	if n := strings.Count(stdout, "  ok "); n != claims {
		t.Errorf("%d claims hold, want %d", n, claims)
	}
	for _, line := range []string{
		"Do returned *uow.UnexpectedRollbackError",
		"steps applied, in this order: 1 2 3 4 5 6 7 8",
		"nobody holds or wants the lock",
	} {
		if !strings.Contains(stdout, "  ok "+line+"\n") {
			t.Errorf("no line %q", line)
		}
	}
	if !regexp.MustCompile(`(?s)process [AB], which SIGKILL ends.*Process [AB] is gone: .*Process [AB] has nothing left to do`).MatchString(stdout) {
		t.Error("no process was killed, or none survived")
	}
	return stdout
}

func TestHomeIsRemoved(t *testing.T) {
	t.Parallel()
	file, err := createHome(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Dir(strings.TrimPrefix(file.dsn, fileScheme))
	if _, err := os.Stat(folder); err != nil {
		t.Error(err)
	}
	if err := file.remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(folder); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is left behind, error %v", folder, err)
	}
	dsn := serverstest.MSSQLURL(t)
	home, err := createHome(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	if err := home.remove(); err != nil {
		t.Fatal(err)
	}
	wantNoneLeft(t, dsn, "select count(*) from sys.databases where name = '"+home.place+"'")
}

// wantNoneLeft checks by a query that counts that no home is left behind.
func wantNoneLeft(t *testing.T, dsn, query string) {
	t.Helper()
	db, err := productOf(dsn).open(dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var left int
	if err := db.GetContext(t.Context(), &left, query); err != nil || left != 0 {
		t.Errorf("%d homes left behind, error %v", left, err)
	}
}

func TestBadDatabase(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, dsn, message string }{
		{"a file", "file:shop.db", "takes postgres://"},
		{"a path", "/shop.db", "takes postgres://"},
		{"another product", "mysql://me:hush@host/db", "takes postgres://"},
		{"unreachable", "postgres://127.0.0.1:1/nowhere", "connect"},
		{"unreachable SQL Server", "sqlserver://127.0.0.1:1?encrypt=disable", "connect"},
		{"malformed", "postgres://127.0.0.1:port/nowhere", "port"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, stderr, code := program(t, "--db", c.dsn)
			if code != 1 || !strings.HasPrefix(stderr, "quickstart: ") || !strings.Contains(stderr, c.message) {
				t.Errorf("exit code %d, errors: %s", code, stderr)
			}
		})
	}
}

// A temporary folder's name may have characters that a URI has a use for.
func TestHomeOfAnyName(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a b?c#d%20e")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", folder)
	home, err := createHome(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(folder, "quickstart_*", "shop.db"))
	if err != nil || len(files) != 1 {
		t.Errorf("files %v, error %v", files, err)
	}
	if err := home.remove(); err != nil {
		t.Error(err)
	}
}

// A claim that the database contradicts must fail the program.
func TestFalseClaim(t *testing.T) {
	t.Parallel()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "shop.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var out bytes.Buffer
	s := &story{ctx: context.Background(), out: &out, db: db}
	s.holds("one", "1", "select '1'")
	s.holds("two", "2", "select '3'")
	s.holds("three", "3", "select no_such_column")
	if s.end() == nil || s.failed != 2 {
		t.Errorf("%d claims failed, want 2", s.failed)
	}
	if !strings.Contains(out.String(), "  NO two: 3 (must be 2)\n") {
		t.Errorf("output: %s", out.String())
	}
}

func TestHomesDSN(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ dsn, setting, want string }{
		{"sqlserver://u:p@h:1?database=d&encrypt=disable", "database", "sqlserver://u:p@h:1?database=home&encrypt=disable"},
		{"postgres://u:p@h:1/d?sslmode=disable", "search_path", "postgres://u:p@h:1/d?search_path=home&sslmode=disable"},
		{"postgres:///d", "search_path", "postgres:///d?search_path=home"},
		{"host=h dbname=d", "search_path", "host=h dbname=d search_path=home"},
	} {
		if got := withSetting(c.dsn, c.setting, "home"); got != c.want {
			t.Errorf("%s became %s, want %s", c.dsn, got, c.want)
		}
	}
}

//go:build unix

package applockcli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/dialect/mssql"
	"github.com/lockstep-go/lockstep/dialect/postgres"
	"github.com/lockstep-go/lockstep/dialect/sqlite"
	"github.com/lockstep-go/lockstep/uow"
)

// shown is what list and status print as JSON.
type shown struct {
	Name, Key        string
	Holders, Waiters []struct {
		Session, Label, User, Mode string
		Since                      time.Time
	}
}

func TestListAndStatus(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		wantIn(t, start(t, url, "status", "a").want(0).stdout.String(), `"a" is free`)
		hold(t, url, "a", "--label", "holder 1")
		wantIn(t, start(t, url, "status", "a").want(1).stdout.String(), `"a" is held (exclusive) by holder 1 (session `, " since ")
		if c := start(t, url, "status", "-q", "a").want(1); c.stdout.String() != "" {
			t.Errorf("a quiet status prints %q", c.stdout.String())
		}
		table := start(t, url, "list", "a", "b").want(0).stdout.String()
		wantIn(t, table, "LOCK", "held", "exclusive", "holder 1", "b     free")
		wantIn(t, start(t, url, "list").want(0).stdout.String(), "held", "holder 1")

		var locks []shown
		text := start(t, url, "list", "--json", "a", "b").want(0).stdout.String()
		if err := json.Unmarshal([]byte(text), &locks); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		a, b := locks[0], locks[1]
		if a.Name != "a" || len(a.Holders) != 1 || a.Waiters == nil || b.Name != "b" || b.Holders == nil || len(b.Holders) != 0 {
			t.Fatalf("list prints %s", text)
		}
		h := a.Holders[0]
		if h.Label != "holder 1" || h.Mode != "exclusive" || h.Session == "" || time.Since(h.Since).Abs() > 5*time.Minute {
			t.Errorf("the holder is %+v", h)
		}
		var one shown
		text = start(t, url, "status", "--json", "a").want(1).stdout.String()
		if err := json.Unmarshal([]byte(text), &one); err != nil || one.Holders[0] != h {
			t.Errorf("status prints %s; error %v", text, err)
		}
	})
}

// manager is the library on the database.
func manager(t *testing.T, url string) *uow.Manager {
	t.Helper()
	var db *sqlx.DB
	var d dialect.Dialect
	var err error
	if path, isFile := strings.CutPrefix(url, "sqlite:"); isFile {
		d = sqlite.Dialect()
		db, err = sqlite.Open(path)
	} else if strings.HasPrefix(url, "sqlserver:") {
		d = mssql.Dialect()
		db, err = mssql.Open(url)
	} else {
		d = postgres.Dialect()
		db, err = postgres.Open(url)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return uow.New(db, d)
}

func TestWaitersAreListed(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		holder := hold(t, url, "a")
		m := manager(t, url)
		done := make(chan error, 1)
		go func() {
			_, scope, err := m.Begin(t.Context(), uow.Label("waits"), applock.With(applock.Exclusive("a")))
			if err == nil {
				err = scope.Close()
			}
			done <- err
		}()
		eventually(t, "the waiter is listed", func() bool {
			text := start(t, url, "list").want(0).stdout.String()
			return strings.Contains(text, "waiting") && strings.Contains(text, "waits")
		})
		holder.signal(syscall.SIGTERM)
		if err := <-done; err != nil {
			t.Error(err)
		}
		holder.want(128 + 15)
	})
}

func TestEnd(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		wantIn(t, start(t, url, "end", "--yes", "a").want(0).stdout.String(), `"a" is free`)
		// The holder of a unit of work cannot commit afterwards.
		ctx, scope, err := manager(t, url).Begin(t.Context(), applock.With(applock.Exclusive("a")), uow.Label("a unit"))
		if err != nil {
			t.Fatal(err)
		}
		wantIn(t, start(t, url, "end", "a").want(64).stderr.String(), "--yes")
		if strings.HasPrefix(url, "sqlite:") {
			wantIn(t, start(t, url, "end", "--yes", "a").want(69).stderr.String(), fmt.Sprintf("kill %d", os.Getpid()))
			if err := scope.Close(); err != nil {
				t.Error(err)
			}
			return
		}
		wantIn(t, start(t, url, "end", "--yes", "a").want(0).stdout.String(), "ended a unit (session ")
		if err := scope.Commit(ctx); err == nil {
			t.Error("the unit was committed")
		}
		start(t, url, "status", "a").want(0)
	})
}

// TestKeyTakesTheLock runs what applock key prints.
func TestKeyTakesTheLock(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		m := manager(t, url)
		product := map[string]string{"pgx": "PostgreSQL", "sqlserver": "SQL Server", "sqlite": "SQLite"}[m.DB().DriverName()]
		for _, name := range []string{"deploy", "it's", `a\b`, "käse", "two\nlines", `"`, strings.Repeat("long", 90)} {
			var recipes []struct{ Product, What, Key, Code string }
			text := start(t, url, "key", "--json", name).want(0).stdout.String()
			if err := json.Unmarshal([]byte(text), &recipes); err != nil {
				t.Fatal(err)
			}
			for _, r := range recipes {
				switch {
				case r.Product != product:
				case product == "SQLite":
					programTakesLock(t, m, name, r.Code)
				default:
					takesLock(t, m, name, r.Code)
				}
			}
		}
	})
}

// takesLock runs a recipe up to its work, where others must be refused.
func takesLock(t *testing.T, m *uow.Manager, name, code string) {
	t.Helper()
	conn, err := m.DB().Connx(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	locking, after, found := strings.Cut(code, "-- the work\n")
	if !found {
		t.Fatalf("no work in %q", code)
	}
	for _, step := range []struct {
		code string
		free bool
	}{{locking, false}, {after, true}} {
		if _, err := conn.ExecContext(t.Context(), step.code); err != nil {
			t.Fatalf("%q: %v", step.code, err)
		}
		_, scope, err := m.Begin(t.Context(), applock.With(applock.Exclusive(name).NoWait()))
		if (err == nil) != step.free {
			t.Errorf("%q after %q: error %v", name, step.code, err)
		}
		if err := scope.Close(); err != nil {
			t.Error(err)
		}
	}
}

// programTakesLock runs a recipe that is a program's, once the directory of the
// locks is there.
func programTakesLock(t *testing.T, m *uow.Manager, name, code string) {
	t.Helper()
	if _, err := exec.LookPath("flock"); err != nil {
		t.Skip(err)
	}
	free := func() error {
		_, scope, err := m.Begin(t.Context(), applock.With(applock.Exclusive(name).NoWait()))
		return errors.Join(err, scope.Close())
	}
	if err := free(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", strings.Replace(code, " command", " cat", 1))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if free() == nil {
		t.Errorf("%q is free while %s runs", name, code)
	}
	_ = in.Close()
	if err := errors.Join(cmd.Wait(), free()); err != nil {
		t.Error(err)
	}
}

const secret = "hush/h%sh"

func TestUnavailable(t *testing.T) {
	t.Parallel()
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := nobody.Addr().String()
	if err := nobody.Close(); err != nil {
		t.Fatal(err)
	}
	user := url.UserPassword("me", secret)
	for _, scheme := range []string{"postgres", "sqlserver"} {
		u := url.URL{Scheme: scheme, User: user, Host: address, Path: "/"}
		for _, args := range [][]string{{"run", "a", "--", "true"}, {"list"}, {"status", "a"}, {"end", "-y", "a"}} {
			text := start(t, u.String(), args...).want(69).stderr.String()
			if strings.Contains(text, "hush") || strings.Count(text, "\n") != 1 {
				t.Errorf("%v prints %q", args, text)
			}
		}
	}
	for _, away := range []string{"/missing/folder/locks.db", "/dev/null/locks.db"} {
		c := start(t, "", "list", "--db", away).want(69)
		wantIn(t, c.stderr.String(), "applock: database unavailable: "+away+": ")
	}
	for _, bad := range []string{
		"/a?b.db", "sqlite:/a?b.db", // which names no /a
		"mysql://me:hush@host/", "password=hush host=db", "postgres://me:hush@host:port/", "sqlserver://me:hush@host:port/",
		"postgres://me:hush%zz@host/",
	} {
		for _, c := range []*call{start(t, bad, "list"), start(t, "", "--db", bad, "list"), start(t, "", "list", "--db="+bad)} {
			text := c.want(64).stderr.String()
			if strings.Contains(text, "hush") {
				t.Errorf("%s: %q", bad, text)
			}
		}
	}
}

func TestPasswordIsNotShown(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, database string) {
		u, err := url.Parse(database)
		if err != nil {
			t.Fatal(err)
		}
		if _, set := u.User.Password(); !set {
			t.Skip("the server's URL has no password")
		}
		c := start(t, "", "run", "--db", database, "a", "--", "sh", "-c", "env; ps -o args= -p $PPID; echo held; sleep 1000")
		c.printed("held")
		password, _ := u.User.Password()
		title, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", c.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		// The environment of the tests themselves names the servers.
		inherited, _ := exec.Command("env").Output()
		for _, text := range []string{string(title), c.stdout.String(), c.stderr.String()} {
			for line := range strings.Lines(text) {
				if strings.Contains(line, password) && !strings.Contains(string(inherited), line) {
					t.Errorf("the password is in %q", line)
				}
			}
		}
	})
}

func TestLockstepDBIsInherited(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		// A second applock within needs it.
		start(t, url, "run", "a", "--", program(), "run", "b", "--", program(), "run", "--no-wait", "a", "--", "true").want(75)
	})
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"frobnicate"}, {"run"}, {"run", "a"}, {"run", "--", "true"}, {"run", "a", "--"}, {"run", "a", "true"},
		{"run", "--wait", "1s", "--no-wait", "a", "--", "true"}, {"run", "--wait", "soon", "a", "--", "true"},
		{"run", "--wait", "-1s", "a", "--", "true"}, {"run", "--on-lost", "cry", "a", "--", "true"},
		{"run", "--label", "it's", "a", "--", "true"}, {"run", "--label", strings.Repeat("x", 64), "a", "--", "true"},
		{"run", "", "--", "true"}, {"run", "a\xff", "--", "true"}, {"status"}, {"status", ""}, {"key", ""}, {"key"}, {"end", "a"},
		{"list", "--frob"}, {"run", "--label", "", "a", "--", "true"}, {"list", "--db", "(hidden)"},
		{"list", "--db", ""}, {"run", "--db=", "a", "--", "true"},
	} {
		c := start(t, "postgres://127.0.0.1:1/", args...).want(64)
		if c.stdout.String() != "" || !strings.HasPrefix(c.stderr.String(), "applock: ") {
			t.Errorf("%q prints %q and %q", args, c.stdout.String(), c.stderr.String())
		}
		if strings.Contains(c.stderr.String(), "applock: applock: ") {
			t.Errorf("%q prints %q", args, c.stderr.String())
		}
	}
	for _, args := range [][]string{{"list"}, {"key", "a"}, {"run", "a", "--", "true"}} {
		wantIn(t, start(t, "", args...).want(64).stderr.String(), "LOCKSTEP_DB is empty")
	}
}

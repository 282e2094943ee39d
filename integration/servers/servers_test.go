package servers

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestMain keeps what the surroundings offer, such as the server of
// with-servers, away from tests of the search for one.
func TestMain(m *testing.M) {
	if source := os.Getenv(envChild); source != "" {
		os.Exit(runChild(source))
	}
	for _, p := range []Product{Postgres, MSSQL} {
		url, source, none := p.Variables()
		for _, name := range []string{url, source, none} {
			os.Unsetenv(name)
		}
	}
	os.Exit(m.Run())
}

func findPostgres(ctx context.Context) (*Server, error) { return Find(ctx, Postgres) }

// started returns a server from start, and skips the test where there is none
// and LOCKSTEP_REQUIRE does not name needs.
func started(t *testing.T, start func(context.Context) (*Server, error), needs ...string) *Server {
	t.Helper()
	server, err := start(t.Context())
	if MaySkip(err, needs...) {
		t.Skip(OneLine(err))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}

func TestDocker(t *testing.T) {
	t.Parallel()
	server := started(t, PostgresInDocker, RequireDocker)
	checkServer(t, server, "Docker image "+cmp.Or(os.Getenv(EnvPostgresImage), DefaultPostgresImage))
}

func TestBinaries(t *testing.T) {
	t.Parallel()
	server := started(t, PostgresFromBinaries)
	checkServer(t, server, "binaries in /")
}

// checkServer holds what is promised of every server started here.
func checkServer(t *testing.T, server *Server, source string) {
	t.Helper()
	parsed, err := url.Parse(server.URL)
	if err != nil || parsed.Hostname() != "127.0.0.1" {
		t.Errorf("URL %s: error %v; want one on 127.0.0.1", server.URL, err)
	}
	password, _ := parsed.User.Password()
	if line := server.String(); !strings.HasPrefix(line, "PostgreSQL "+server.Version+" from "+source) ||
		!strings.HasSuffix(line, "("+parsed.Host+")") || strings.Contains(line, password) {
		t.Errorf("String() = %q; want product, version, %q, address and no password", line, source)
	}
	checkSettings(t, server)
	checkPassword(t, server, parsed)

	for range 2 {
		if err := server.Stop(); err != nil {
			t.Errorf("Stop: %v", err)
		}
	}
	if _, err := askPostgres(t.Context(), server.URL); err == nil {
		t.Error("the server answers after Stop")
	}
}

// checkSettings reads the settings back from the server.
func checkSettings(t *testing.T, server *Server) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer closeConn(t.Context(), conn)
	for setting, want := range map[string]string{
		"fsync": "off", "synchronous_commit": "on", "max_connections": "200",
	} {
		var got string
		if err := conn.QueryRow(t.Context(), "SHOW "+setting).Scan(&got); err != nil || got != want {
			t.Errorf("%s = %q, error %v; want %q", setting, got, err, want)
		}
	}
}

// checkPassword shows that the server keeps other users of the machine out.
func checkPassword(t *testing.T, server *Server, parsed *url.URL) {
	t.Helper()
	wrong := newURL(superuser, "wrong", parsed.Host, "postgres")
	if _, err := askPostgres(t.Context(), wrong); err == nil {
		t.Error("the server takes any password")
	}
}

func TestStandby(t *testing.T) {
	t.Parallel()
	conn := connect(t, started(t, StandbyFromBinaries).URL)
	var recovering bool
	if err := conn.QueryRow(t.Context(), "SELECT pg_is_in_recovery()").Scan(&recovering); err != nil || !recovering {
		t.Errorf("in recovery: %t, error %v; want a standby", recovering, err)
	}
	if _, err := conn.Exec(t.Context(), "CREATE TABLE written (n int)"); err == nil {
		t.Error("the standby takes writes")
	}
}

func TestFromURL(t *testing.T) {
	server := started(t, PostgresFromBinaries)
	t.Setenv(EnvPostgresURL, server.URL)
	for source, want := range map[string]string{"": EnvPostgresURL, "a shelf": "a shelf"} {
		t.Setenv(EnvPostgresSource, source)
		found, err := Find(t.Context(), Postgres)
		if err != nil {
			t.Fatal(err)
		}
		if found.URL != server.URL || found.Source != want || found.Version != server.Version {
			t.Errorf("found %v with source %q; want %v from %q", found, source, server, want)
		}
		if err := found.Stop(); err != nil {
			t.Error(err)
		}
	}
	if _, err := askPostgres(t.Context(), server.URL); err != nil {
		t.Errorf("after Stop of a server that was only found: %v", err)
	}
}

func TestNamedServerThatIsDownIsAnError(t *testing.T) {
	t.Setenv(EnvPostgresURL, "postgres://nobody@127.0.0.1:1/none")
	_, err := Find(t.Context(), Postgres)
	if err == nil || errors.Is(err, ErrNone) || MaySkip(err) {
		t.Errorf("error %v; want one that no test may be skipped for", err)
	}
	if line := OneLine(err); strings.Contains(line, "\n") {
		t.Errorf("OneLine has line breaks: %q", line)
	}
}

func TestSearchThatFailedIsNotRepeated(t *testing.T) {
	for _, variable := range Environment(Postgres, nil, none(Postgres.traits(), []string{"no whale", "no\nelephant"})) {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	_, err := Find(t.Context(), Postgres)
	if !MaySkip(err, RequireDocker+"-not") {
		t.Fatalf("error %v; want one that tests may be skipped for", err)
	}
	want := "no server found: no whale; no elephant; " + Postgres.traits().howToGet
	if err.Error() != want {
		t.Errorf("error %q; want %q", err, want)
	}
}

func TestBinariesWhereDockerIsMissing(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
	t.Setenv(EnvRequire, "")
	server := started(t, findPostgres)
	if !strings.HasPrefix(server.Source, "binaries") {
		t.Errorf("source %q; want binaries", server.Source)
	}
}

func TestRequiredDockerIsNotReplacedByBinaries(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
	t.Setenv(EnvRequire, "docker")
	_, err := Find(t.Context(), Postgres)
	if err == nil || MaySkip(err, RequirePostgres, RequireDocker) {
		t.Errorf("error %v; want one that no test may be skipped for", err)
	}
}

func TestInterruptedSearchIsNoReasonToSkip(t *testing.T) {
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	server, err := Find(ctx, Postgres)
	if server != nil || !errors.Is(err, cause) || MaySkip(err) {
		t.Errorf("found %v, error %v; want the context's cause", server, err)
	}
}

func TestImageThatCannotBePulled(t *testing.T) {
	t.Setenv(EnvPostgresImage, "registry.invalid/none:1")
	_, err := PostgresInDocker(t.Context())
	if !errors.Is(err, ErrNone) {
		t.Errorf("error %v; want ErrNone", err)
	}
}

func TestRequire(t *testing.T) {
	t.Setenv(EnvRequire, "postgres, pgbouncer")
	for what, want := range map[string]bool{RequirePostgres: true, RequirePgBouncer: true, RequireDocker: false} {
		if got := Require(what); got != want {
			t.Errorf("Require(%s) = %t; want %t", what, got, want)
		}
	}
	t.Setenv(EnvRequire, "postgres,postgers")
	if _, err := Find(t.Context(), Postgres); err == nil || MaySkip(err) {
		t.Errorf("a misspelt requirement gave error %v; want one that no test may be skipped for", err)
	}
}

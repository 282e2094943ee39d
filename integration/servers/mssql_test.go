package servers

import (
	"errors"
	"strings"
	"testing"
)

func TestMSSQLInDocker(t *testing.T) {
	t.Parallel()
	server := started(t, MSSQLInDocker, RequireMSSQL)
	if line := server.String(); !strings.HasPrefix(line, "Microsoft SQL Server ") || server.Simulated() {
		t.Errorf("String() = %q", line)
	}
}

func TestSimulatorNeverReadsAsSQLServer(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
	t.Setenv(EnvRequire, "")
	server, err := Find(t.Context(), MSSQL)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	wantSimulator(t, server)
	for _, variable := range Environment(MSSQL, server, nil) {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	found, err := Find(t.Context(), MSSQL)
	if err != nil {
		t.Fatal(err)
	}
	wantSimulator(t, found)
	t.Setenv(EnvMSSQLSource, "a shelf")
	if found, err = Find(t.Context(), MSSQL); err != nil {
		t.Fatal(err)
	}
	wantSimulator(t, found)
	for _, required := range []string{RequireMSSQL, RequireMSSQL + "," + RequireMSSQLSimulator} {
		t.Setenv(EnvRequire, required)
		if found, err = Find(t.Context(), MSSQL); err == nil || MaySkip(err) {
			t.Errorf("%s is required: found %v, error %v", required, found, err)
		}
	}
	t.Setenv(EnvRequire, RequireMSSQLSimulator)
	if _, err = Find(t.Context(), MSSQL); err != nil {
		t.Error(err)
	}
}

func wantSimulator(t *testing.T, server *Server) {
	t.Helper()
	line := server.String()
	if !server.Simulated() || !strings.HasPrefix(line, "SQL Server simulator (internal/tdstest), NOT SQL Server (127.0.0.1:") ||
		strings.Contains(line, "Microsoft") {
		t.Errorf("String() = %q", line)
	}
}

func TestRequiredSQLServerIsNotReplacedBySimulator(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
	t.Setenv(EnvRequire, RequireMSSQL)
	server, err := Find(t.Context(), MSSQL)
	if !errors.Is(err, ErrNone) || MaySkip(err, MSSQL.Requirements()...) {
		t.Errorf("found %v, error %v; want one that no test may be skipped for", server, err)
	}
}

func TestRequiredSimulatorIsNotSoughtInDocker(t *testing.T) {
	t.Setenv(EnvMSSQLImage, "not@an image")
	t.Setenv(EnvRequire, RequireMSSQLSimulator)
	server, err := Find(t.Context(), MSSQL)
	if err != nil {
		t.Fatal(err)
	}
	wantSimulator(t, server)
	if err := server.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := askMSSQL(t.Context(), server.URL); err == nil {
		t.Error("the simulator answers after Stop")
	}
}

func TestNamedSQLServerThatIsDownIsAnError(t *testing.T) {
	t.Setenv(EnvMSSQLURL, "sqlserver://nobody:secret@127.0.0.1:1?encrypt=disable")
	_, err := Find(t.Context(), MSSQL)
	if err == nil || MaySkip(err) || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v; want one that no test may be skipped for", err)
	}
}

func TestMSSQLIdentity(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Microsoft SQL Server 2022 (RTM-CU12) (KB5033663) - 16.0.4115.5 (X64) \n\tMar  4 2024 08:56:10 \n": "Microsoft SQL Server 2022 (RTM-CU12) (KB5033663) 16.0.4115.5 from a shelf (host:1)",
		"Microsoft SQL Azure (RTM) - 12.0.2000.8 \n\tJan 1 2025\n":                                         "Microsoft SQL Azure (RTM) 12.0.2000.8 from a shelf (host:1)",
		"Babelfish for PostgreSQL with SQL Server Compatibility - 12.0.2000.8\nOct 22 2023\n":              "Babelfish for PostgreSQL with SQL Server Compatibility 12.0.2000.8 from a shelf (host:1)",
		"something else": "something else from a shelf (host:1)",
	} {
		is := mssqlIdentity(text)
		server := &Server{title: is.title, Version: is.version, Source: "a shelf", address: "host:1"}
		if got := server.String(); got != want {
			t.Errorf("%q; want %q", got, want)
		}
	}
}

package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/lockstep-go/lockstep/integration/servers"
)

// TestMain makes this program with-servers where a test runs it as such.
func TestMain(m *testing.M) {
	if os.Getenv("LOCKSTEP_TEST_MAIN") != "" {
		main()
	}
	os.Exit(m.Run())
}

// command is with-servers with these arguments, on a machine with no server.
func command(arguments ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], arguments...)
	cmd.Env = append(os.Environ(), "LOCKSTEP_TEST_MAIN=1",
		servers.EnvPostgresURL+"=", servers.EnvPostgresNone+"=all gone fishing",
		servers.EnvMSSQLURL+"=", servers.EnvMSSQLNone+"=all gone swimming", servers.EnvRequire+"=")
	return cmd
}

// codeOf is the exit code of a program that ended with err.
func codeOf(t *testing.T, err error) int {
	t.Helper()
	var exited *exec.ExitError
	if err != nil && !errors.As(err, &exited) {
		t.Fatal(err)
	}
	if err == nil {
		return 0
	}
	return exited.ExitCode()
}

func TestExitCode(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		arguments []string
		want      int
	}{
		"the program's":         {[]string{"--", "sh", "-c", "exit 7"}, 7},
		"success":               {[]string{"--postgres", "--", "true"}, 0},
		"ended by a signal":     {[]string{"sh", "-c", "kill -TERM $$"}, 128 + int(syscall.SIGTERM)},
		"no such program":       {[]string{"./nonexistent"}, exitNotRun},
		"needed and missing":    {[]string{"--need", "--", "true"}, exitMissing},
		"no program":            {[]string{"--postgres", "--"}, exitUsage},
		"unknown flag":          {[]string{"--oracle", "true"}, exitUsage},
		"the program's own one": {[]string{"sh", "-c", `[ "$1" = --need ]`, "sh", "--need"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			output, err := command(test.arguments...).CombinedOutput()
			if got := codeOf(t, err); got != test.want {
				t.Errorf("exit code %d; want %d\n%s", got, test.want, output)
			}
		})
	}
}

func TestMissingServerIsTold(t *testing.T) {
	t.Parallel()
	output, err := command("--", "sh", "-c", "echo $"+servers.EnvPostgresNone).CombinedOutput()
	want := "lockstep: tests that need PostgreSQL are skipped: no server found: all gone fishing\nall gone fishing\n"
	if err != nil || string(output) != want {
		t.Errorf("error %v, output %q; want %q", err, output, want)
	}
	required := command("--", "echo", "ran")
	required.Env = append(required.Env, servers.EnvRequire+"=postgres")
	output, _ = required.CombinedOutput()
	if want := "lockstep: no server found: all gone fishing\n"; string(output) != want {
		t.Errorf("where it is required: output %q; want %q", output, want)
	}
	output, _ = command("--need", "--", "echo", "ran").CombinedOutput()
	if want := "lockstep: no server found: all gone fishing\n"; string(output) != want {
		t.Errorf("with --need: output %q; want %q", output, want)
	}
}

func TestEveryMissingServerIsTold(t *testing.T) {
	t.Parallel()
	for arguments, want := range map[string]string{
		"--mssql":            "SQL Server are skipped: no server found: all gone swimming\n",
		"--postgres --mssql": "PostgreSQL are skipped: no server found: all gone fishing\nSQL Server are skipped: no server found: all gone swimming\n",
	} {
		output, err := command(append(strings.Fields(arguments), "--", "true")...).CombinedOutput()
		if got := strings.ReplaceAll(string(output), "lockstep: tests that need ", ""); err != nil || got != want {
			t.Errorf("%s: error %v, output %q; want %q", arguments, err, got, want)
		}
	}
	required := command("--mssql", "--", "echo", "ran")
	required.Env = append(required.Env, servers.EnvRequire+"="+servers.RequireMSSQL)
	output, err := required.CombinedOutput()
	if want := "lockstep: no server found: all gone swimming\n"; codeOf(t, err) != exitMissing || string(output) != want {
		t.Errorf("where it is required: error %v, output %q; want %q", err, output, want)
	}
}

func TestSignalsArePassedOn(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			cmd := command("--", "sh", "-c", `trap "exit 9" INT TERM HUP QUIT; echo up; while :; do sleep 0.05; done`)
			output, err := cmd.StdoutPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			defer cmd.Process.Kill()
			text := readUntil(t, output, "up\n")
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if got := codeOf(t, cmd.Wait()); got != 9 {
				t.Errorf("exit code %d; want the program's 9\n%s", got, text)
			}
		})
	}
}

// readUntil reads output until it ends with want.
func readUntil(t *testing.T, output io.Reader, want string) string {
	t.Helper()
	var text bytes.Buffer
	for !strings.HasSuffix(text.String(), want) {
		if _, err := io.CopyN(&text, output, 1); err != nil {
			t.Fatalf("%v after %q", err, text.String())
		}
	}
	return text.String()
}

func TestProgramFindsTheServers(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0], "--need", "--pgbouncer", "--",
		"sh", "-c", "echo $"+servers.EnvPostgresURL+" $"+servers.EnvPgBouncerURL+" from $"+servers.EnvPostgresSource)
	cmd.Env = append(os.Environ(), "LOCKSTEP_TEST_MAIN=1")
	var problems bytes.Buffer
	cmd.Stderr = &problems
	output, err := cmd.Output()
	if err != nil {
		if strings.Contains(problems.String(), servers.ErrNone.Error()) && !servers.Require(servers.RequirePgBouncer) {
			t.Skip(problems.String())
		}
		t.Fatalf("%v\n%s", err, &problems)
	}
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "lockstep: PostgreSQL ") ||
		!strings.HasPrefix(lines[1], "lockstep: PgBouncer ") || strings.Count(lines[2], "postgres://") != 2 {
		t.Errorf("output %q; want a line for each server and the program's own", lines)
	}
}

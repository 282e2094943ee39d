package servers

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/ory/dockertest/v3/docker"
)

// envChild makes the test program a child that starts the servers it names,
// prints their addresses, and waits to be killed.
const envChild = "LOCKSTEP_TEST_CHILD"

// sourcesByName are what a child can be told to start.
func sourcesByName(name string) func(context.Context) (*Server, error) {
	if name == "docker" {
		return PostgresInDocker
	}
	return PostgresFromBinaries
}

// childReport is what a child prints.
type childReport struct {
	Missing   string // why there is no server
	URL       string
	PgBouncer string // empty where there is no such program
}

// runChild is the child's main function.
func runChild(source string) int {
	var report childReport
	server, err := sourcesByName(source)(context.Background())
	if err != nil {
		report.Missing = OneLine(err)
	} else {
		report.URL = server.URL
		if bouncer, err := StartPgBouncer(context.Background(), server.URL); err == nil {
			report.PgBouncer = bouncer.URL
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
		return 1
	}
	time.Sleep(time.Hour)
	return 0
}

func TestKilledProcessLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, source := range []string{"docker", "binaries"} {
		t.Run(source, func(t *testing.T) {
			t.Parallel()
			scratch := scratchFolder(t)
			child, report := startChild(t, source, scratch)
			if report.Missing != "" {
				if source == "docker" && Require(RequireDocker) {
					t.Fatal(report.Missing)
				}
				t.Skip(report.Missing)
			}
			checkAnswers(t, report.URL)
			if report.PgBouncer != "" {
				checkAnswers(t, report.PgBouncer)
			}
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = child.Wait()
			eventually(t, "the server is gone", func() error { return refused(report.URL) })
			if report.PgBouncer != "" {
				eventually(t, "PgBouncer is gone", func() error { return refused(report.PgBouncer) })
			}
			eventually(t, "the temporary folder is empty", func() error { return empty(scratch) })
			if source == "docker" {
				eventually(t, "the container is gone", func() error { return noContainer(t, report.URL) })
			}
		})
	}
}

// scratchFolder is a temporary folder that every user can enter and write to,
// as in /tmp and unlike t.TempDir: where tests run as root, servers do not.
func scratchFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "scratch-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, os.ModeSticky|0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

// startChild runs this program as a child and reads its report.
func startChild(t *testing.T, source, scratch string) (*exec.Cmd, childReport) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), envChild+"="+source, "TMPDIR="+scratch)
	child.Stderr = os.Stderr
	output, err := child.StdoutPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = child.Process.Kill() })
	line, err := bufio.NewReader(output).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var report childReport
	if err := json.Unmarshal(line, &report); err != nil {
		t.Fatal(err)
	}
	return child, report
}

// checkAnswers fails the test unless a server answers at address.
func checkAnswers(t *testing.T, address string) {
	t.Helper()
	if _, err := askPostgres(t.Context(), address); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until check finds no fault.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	err := check()
	for err != nil && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
		err = check()
	}
	if err != nil {
		t.Errorf("not seen: %s: %v", what, err)
	}
}

// refused finds fault when something listens at address.
func refused(address string) error {
	parsed, err := url.Parse(address)
	if err != nil {
		return err
	}
	conn, err := net.Dial("tcp", parsed.Host)
	if err != nil {
		return nil
	}
	conn.Close()
	return fmt.Errorf("something listens at %s", parsed.Host)
}

// empty finds fault when dir holds anything.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("%s is left", entries[0].Name())
	}
	return err
}

// noContainer finds fault when a container publishes the port of address.
func noContainer(t *testing.T, address string) error {
	parsed, err := url.Parse(address)
	if err != nil {
		return err
	}
	pool, err := dockerPool(t.Context())
	if err != nil {
		return err
	}
	containers, err := pool.Client.ListContainers(docker.ListContainersOptions{All: true})
	if err != nil {
		return err
	}
	for _, container := range containers {
		for _, port := range container.Ports {
			if strconv.FormatInt(port.PublicPort, 10) == parsed.Port() {
				return fmt.Errorf("container %s is %s", container.ID, container.Status)
			}
		}
	}
	return closeIdle(pool)
}

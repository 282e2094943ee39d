package servers

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestServerThatDoesNotStartSaysWhy(t *testing.T) {
	scratch := scratchFolder(t)
	bin := filepath.Join(scratch, "bin")
	temporary := filepath.Join(scratch, "tmp")
	for _, dir := range []string{bin, temporary} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, program := range map[string]string{
		"initdb":   "#!/bin/sh\necho initdb: the disk is made of cheese\nexit 1\n",
		"postgres": "#!/bin/sh\n",
	} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(program), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("TMPDIR", temporary)
	server, err := PostgresFromBinaries(t.Context())
	if err == nil {
		t.Fatalf("started %v", server)
	}
	if !strings.Contains(err.Error(), "made of cheese") {
		t.Errorf("error %q; want the program's last line in it", err)
	}
	if err := empty(temporary); err != nil {
		t.Error(err)
	}
}

func TestStartOnFreePort(t *testing.T) {
	t.Parallel()
	other := errors.New("other")
	for name, test := range map[string]struct {
		errs []error
		want error
	}{
		"at once":           {[]error{nil}, nil},
		"port taken once":   {[]error{errEnded, nil}, nil},
		"port always taken": {[]error{errEnded, errEnded, errEnded}, errEnded},
		"another error":     {[]error{other}, other},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var ports []string
			_, err := startOnFreePort(func(port string) (int, error) {
				ports = append(ports, port)
				return 0, test.errs[len(ports)-1]
			})
			if !errors.Is(err, test.want) || len(ports) != len(test.errs) {
				t.Errorf("error %v after ports %v; want %v after %d", err, ports, test.want, len(test.errs))
			}
		})
	}
}

func TestNewestFirst(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, version := range []string{"9.6", "15", "17"} {
		if err := os.MkdirAll(filepath.Join(root, version, "bin"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, dir := range newestFirst(filepath.Join(root, "*", "bin")) {
		got = append(got, filepath.Base(filepath.Dir(dir)))
	}
	// 9.6 counts as 6, which is as low as it should be.
	if want := []string{"17", "15", "9.6"}; !slices.Equal(got, want) {
		t.Errorf("order %v; want %v", got, want)
	}
}

func TestSplitImage(t *testing.T) {
	t.Parallel()
	for image, want := range map[string][2]string{
		"postgres":                     {"postgres", "latest"},
		"postgres:17-alpine":           {"postgres", "17-alpine"},
		"images.example:5000/team/p:1": {"images.example:5000/team/p", "1"},
		"images.example:5000/team/p":   {"images.example:5000/team/p", "latest"},
	} {
		repository, tag, err := splitImage(image)
		if got := [2]string{repository, tag}; err != nil || got != want {
			t.Errorf("splitImage(%s) = %v, error %v; want %v", image, got, err, want)
		}
	}
	if _, _, err := splitImage("postgres@sha256:00"); err == nil {
		t.Error("an image named by its digest gave no error")
	}
}

func TestCheckLocal(t *testing.T) {
	t.Parallel()
	for endpoint, want := range map[string]bool{
		"unix:///var/run/docker.sock":      true,
		"npipe:////./pipe/docker_engine":   true,
		"tcp://127.0.0.1:2375":             true,
		"http://localhost:2375":            true,
		"tcp://192.0.2.1:2376":             false,
		"https://docker.example:2376/path": false,
	} {
		if err := checkLocal(endpoint); (err == nil) != want {
			t.Errorf("checkLocal(%s) = %v; want it taken: %t", endpoint, err, want)
		}
	}
}

func TestTailKeepsTheLastLine(t *testing.T) {
	t.Parallel()
	var log tail
	cause := errors.New("cause")
	if err := log.explain(cause); err.Error() != "cause" {
		t.Errorf("an empty log explains %q", err)
	}
	for range tailSize {
		if _, err := log.Write([]byte("line\n")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := log.Write([]byte("last\n\n")); err != nil {
		t.Fatal(err)
	}
	if err := log.explain(cause); err.Error() != "cause: last" || !errors.Is(err, cause) {
		t.Errorf("explained as %q; want %q", err, "cause: last")
	}
	if len(log.kept) > tailSize {
		t.Errorf("%d bytes kept; want at most %d", len(log.kept), tailSize)
	}
}

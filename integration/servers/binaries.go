package servers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// startAttempts is how often a server is started on another port when it
// ended at once: its port may have been taken since it was found free.
const startAttempts = 3

// startOnFreePort calls start with a free port, and again with another one
// when the server that it started ended at once.
func startOnFreePort[T any](start func(port string) (T, error)) (T, error) {
	var started T
	var err error
	for range startAttempts {
		var port string
		if port, err = freePort(); err != nil {
			return started, err
		}
		if started, err = start(port); !errors.Is(err, errEnded) {
			return started, err
		}
	}
	return started, err
}

// findPostgresBinaries finds the folder with the programs initdb and postgres.
func findPostgresBinaries(ctx context.Context) (string, error) {
	candidates := candidateFolders(ctx)
	for _, dir := range candidates {
		if hasProgram(dir, "postgres") && hasProgram(dir, "initdb") {
			return dir, nil
		}
	}
	return "", fmt.Errorf("%w: neither PATH, pg_config nor the usual folders have initdb and postgres", ErrNone)
}

// candidateFolders are the folders that may have PostgreSQL's programs, the
// best first.
func candidateFolders(ctx context.Context) []string {
	var dirs []string
	if path, err := exec.LookPath("postgres"); err == nil {
		// A link on PATH leads to a folder that has initdb beside it.
		if target, err := filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(target))
		}
	}
	if output, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(output)))
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/pgsql-*/bin",
		"/usr/local/pgsql/bin",
		"/opt/homebrew/opt/postgresql*/bin",
		"/usr/local/opt/postgresql*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		dirs = append(dirs, newestFirst(pattern)...)
	}
	return dirs
}

// newestFirst expands pattern and puts the highest version number first.
func newestFirst(pattern string) []string {
	dirs, err := filepath.Glob(pattern)
	if err != nil {
		return nil
	}
	slices.SortStableFunc(dirs, func(a, b string) int {
		return cmp.Compare(versionInPath(b), versionInPath(a))
	})
	return dirs
}

var number = regexp.MustCompile(`[0-9]+`)

// versionInPath is the last whole number in path, such as 15 in
// /usr/lib/postgresql/15/bin; 0 when it has none.
func versionInPath(path string) int {
	found := number.FindAllString(path, -1)
	if len(found) == 0 {
		return 0
	}
	version, err := strconv.Atoi(found[len(found)-1])
	if err != nil {
		return 0
	}
	return version
}

// hasProgram reports whether dir holds a program of that name.
func hasProgram(dir, name string) bool {
	_, err := exec.LookPath(filepath.Join(dir, name))
	return err == nil
}

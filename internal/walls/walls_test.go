// Package walls holds the rules of this module about which package may import
// which, and against packages that change state by being imported.
package walls

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/lockstep-go/lockstep/"

// A wall says what some packages may import. Patterns are import paths, within
// this module where they have no dot in their first element; a pattern that
// ends in /... covers the path before it and everything below.
type wall struct {
	name    string
	of      string // the packages it stands around
	outside string // but for these of them
	// only are all that may be imported besides the standard library; nil sets
	// no such limit.
	only []string
	// never are what must not be imported, but for what except covers.
	never, except []string
	// tests says that test files are held to it too.
	tests bool
}

var walls = []wall{
	{
		name: "the contract stands on the standard library alone",
		of:   "dialect", only: []string{},
	},
	{
		name: "a unit of work knows no database product and no locks",
		of:   "uow/...", never: []string{"dialect/...", "applock/..."}, except: []string{"dialect"},
	},
	{
		name: "locks stand on units of work and the contract",
		of:   "applock/...", only: []string{"uow", "dialect"},
	},
	{
		name: "a dialect knows the contract and its own driver",
		of:   "dialect/postgres/...",
		only: []string{"dialect", "internal/sqltext", "github.com/jackc/pgx/v5/...", "github.com/jmoiron/sqlx"},
	},
	{
		name: "a dialect knows the contract and its own driver",
		of:   "dialect/mssql/...",
		only: []string{"dialect", "internal/sqltext", "github.com/microsoft/go-mssqldb/...", "github.com/jmoiron/sqlx"},
	},
	{
		name: "a dialect knows the contract and its own driver",
		of:   "dialect/sqlite/...",
		only: []string{"dialect", "dialect/sqlite/...", "modernc.org/sqlite/...", "github.com/gofrs/flock", "github.com/jmoiron/sqlx"},
	},
	{
		name: "lock files know no database",
		of:   "dialect/sqlite/internal/filelock", only: []string{"dialect", "github.com/gofrs/flock"},
	},
	{
		name: "the conformance suite is the same for every dialect",
		of:   "dialect/dialecttest/...", never: []string{"dialect/..."},
		except: []string{"dialect", "dialect/dialecttest/..."},
	},
	{
		name: "the gate stands on the standard library alone",
		of:   "internal/gate", only: []string{},
	},
	{
		name: "the command line is the program's alone",
		of:   "...", outside: "cmd/applock/...", never: []string{"github.com/spf13/..."}, tests: true,
	},
	{
		name: "servers are started under integration alone",
		of:   "...", outside: "integration/...", never: []string{"github.com/ory/dockertest/..."}, tests: true,
	},
}

// A goPackage is what go list tells of a package.
type goPackage struct {
	ImportPath, Name, Dir              string
	GoFiles                            []string
	Imports, TestImports, XTestImports []string
}

// covers reports whether pattern covers the import path.
func covers(pattern, path string) bool {
	if pattern == "..." {
		return true
	}
	if first, _, _ := strings.Cut(pattern, "/"); !strings.Contains(first, ".") {
		pattern = module + pattern
	}
	base, below := strings.CutSuffix(pattern, "/...")
	return path == base || below && strings.HasPrefix(path, base+"/")
}

// coversAny reports whether one of the patterns covers the import path.
func coversAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return covers(pattern, path) })
}

// standard reports whether path is in the standard library, whose first
// elements have no dot.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

// surrounds reports whether the wall stands around the package of that path.
func (w wall) surrounds(path string) bool {
	return covers(w.of, path) && (w.outside == "" || !covers(w.outside, path))
}

// permits reports whether the wall lets its packages import path.
func (w wall) permits(path string) bool {
	if w.only != nil && !standard(path) && !coversAny(w.only, path) {
		return false
	}
	return !coversAny(w.never, path) || coversAny(w.except, path)
}

// breaches are the imports of p that a wall forbids, in words.
func breaches(p goPackage) []string {
	var found []string
	for _, w := range walls {
		if !w.surrounds(p.ImportPath) {
			continue
		}
		imports := slices.Clone(p.Imports)
		if w.tests {
			imports = slices.Concat(imports, p.TestImports, p.XTestImports)
		}
		for _, path := range imports {
			if path != p.ImportPath && !w.permits(path) {
				found = append(found, fmt.Sprintf("%s imports %s, but %s", p.ImportPath, path, w.name))
			}
		}
	}
	return found
}

// list asks the go command for this module's packages.
func list(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Name,Dir,GoFiles,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = filepath.Join("..", "..")
	var problems bytes.Buffer
	cmd.Stderr = &problems
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &problems)
	}
	var packages []goPackage
	for decoder := json.NewDecoder(bytes.NewReader(output)); ; {
		var p goPackage
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

func TestWallsStand(t *testing.T) {
	t.Parallel()
	packages := list(t)
	for _, w := range walls {
		inside := func(p goPackage) bool { return w.surrounds(p.ImportPath) && len(p.GoFiles) > 0 }
		if !slices.ContainsFunc(packages, inside) {
			t.Errorf("no package stands behind the wall of %s", w.of)
		}
	}
	for _, p := range packages {
		for _, breach := range breaches(p) {
			t.Error(breach)
		}
	}
}

func TestWallsBite(t *testing.T) {
	t.Parallel()
	const dockertest = "github.com/ory/dockertest/v3/docker"
	for _, test := range []struct {
		of, imported string
		want         bool // whether it is a breach
	}{
		{"dialect", "context", false},
		{"dialect", "github.com/jmoiron/sqlx", true},
		{"dialect", module + "internal/gate", true},
		{"uow", module + "dialect", false},
		{"uow", "github.com/jmoiron/sqlx", false},
		{"uow", module + "internal/gate", false},
		{"uow", module + "dialect/postgres", true},
		{"uow", module + "dialect/dialecttest", true},
		{"uow", module + "applock", true},
		{"applock", module + "uow", false},
		{"applock", module + "dialect", false},
		{"applock", module + "dialect/postgres", true},
		{"applock", module + "internal/gate", true},
		{"applock", "github.com/jmoiron/sqlx", true},
		{"dialect/postgres", module + "dialect", false},
		{"dialect/postgres", "github.com/jackc/pgx/v5", false},
		{"dialect/postgres", "github.com/jackc/pgx/v5/stdlib", false},
		{"dialect/postgres", "github.com/jackc/pgx/v55", true},
		{"dialect/postgres", "github.com/jmoiron/sqlx", false},
		{"dialect/postgres", module + "uow", true},
		{"dialect/postgres", module + "applock", true},
		{"dialect/dialecttest", module + "uow", false},
		{"dialect/dialecttest", module + "dialect", false},
		{"dialect/dialecttest", module + "dialect/postgres", true},
		{"internal/gate", "sync", false},
		{"internal/gate", module + "dialect", true},
		{"integration/servers", dockertest, false},
		{"integration", dockertest, false},
		{"integrations", dockertest, true},
		{"cmd/applock/internal/cli", "github.com/spf13/cobra", false},
		{"applock", "github.com/spf13/pflag", true},
		{"integration", "github.com/spf13/cobra", true},
		{"examples/quickstart", dockertest, true},
	} {
		p := goPackage{ImportPath: module + test.of, Imports: []string{"fmt", test.imported}}
		if got := breaches(p); (len(got) > 0) != test.want {
			t.Errorf("%s importing %s: breaches %q; want one: %t", test.of, test.imported, got, test.want)
		}
	}
}

func TestWhichImportsOfTestsCount(t *testing.T) {
	t.Parallel()
	const dockertest = "github.com/ory/dockertest/v3"
	for _, p := range []goPackage{
		{ImportPath: module + "uow", TestImports: []string{dockertest}},
		{ImportPath: module + "uow", XTestImports: []string{dockertest}},
	} {
		if len(breaches(p)) != 1 {
			t.Errorf("a test of %s may import dockertest", p.ImportPath)
		}
	}
	p := goPackage{ImportPath: module + "uow", XTestImports: []string{module + "dialect/postgres"}}
	if got := breaches(p); len(got) > 0 {
		t.Errorf("a test may not use a dialect: %q", got)
	}
}

func TestFileNames(t *testing.T) {
	t.Parallel()
	for _, p := range list(t) {
		for _, name := range p.GoFiles {
			switch strings.TrimSuffix(name, ".go") {
			case "util", "utils", "helper", "helpers", "common", "misc":
				t.Errorf("%s/%s is named after nothing in particular", p.ImportPath, name)
			}
		}
	}
}

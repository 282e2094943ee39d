package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// link is a Markdown link to a file of this module, or to a heading.
var link = regexp.MustCompile(`\]\(([^):]*)\)`)

func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	texts := pages(t)
	for page, text := range texts {
		for _, match := range link.FindAllStringSubmatch(text, -1) {
			target, anchor, _ := strings.Cut(match[1], "#")
			file := page
			if target != "" {
				file = path.Join(path.Dir(page), target)
			}
			if _, err := os.Stat(filepath.Join(root, file)); err != nil {
				t.Errorf("%s: link to %s: %v", page, match[1], err)
			}
			if anchor != "" && !anchors(texts[file])[anchor] {
				t.Errorf("%s: link to %s: no such heading", page, match[1])
			}
		}
	}
}

var (
	heading     = regexp.MustCompile(`(?m)^#+ (.+)$`)
	punctuation = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors returns the names by which a page's headings are linked to.
func anchors(text string) map[string]bool {
	names := make(map[string]bool)
	for _, match := range heading.FindAllStringSubmatch(text, -1) {
		plain := punctuation.ReplaceAllString(strings.ToLower(match[1]), "")
		names[strings.ReplaceAll(plain, " ", "-")] = true
	}
	return names
}

// packages are those whose names the pages mention.
var packages = map[string]string{
	"uow":         "uow",
	"applock":     "applock",
	"dialect":     "dialect",
	"postgres":    "dialect/postgres",
	"mssql":       "dialect/mssql",
	"sqlite":      "dialect/sqlite",
	"dialecttest": "dialect/dialecttest",
	"faultproxy":  "internal/faultproxy",
	"serverstest": "integration/servers/serverstest",
}

// notOurs are names of packages that are called like ours.
var notOurs = map[string]bool{"mssql.Conn": true, "mssql.CopyIn": true, "mssql.ReturnStatus": true}

var (
	qualified = regexp.MustCompile(`\b([a-z]+)\.([A-Z]\w*)`)
	inline    = regexp.MustCompile("`\\*?([A-Z][A-Za-z]*)(?:\\.([A-Z][A-Za-z]*))?(?:\\(.*?\\))?`")
)

func TestNamesExist(t *testing.T) {
	t.Parallel()
	exported := make(map[string]bool)
	anywhere := make(map[string]bool)
	for name, folder := range packages {
		names := exportedNames(t, filepath.Join(root, folder))
		maps.Copy(anywhere, names)
		for n := range names {
			exported[name+"."+n] = true
		}
	}
	for page, text := range pages(t) {
		for _, match := range qualified.FindAllStringSubmatch(text, -1) {
			if packages[match[1]] != "" && !exported[match[0]] && !notOurs[match[0]] {
				t.Errorf("%s: %s does not exist", page, match[0])
			}
		}
		for _, match := range inline.FindAllStringSubmatch(text, -1) {
			for _, name := range match[1:] {
				if name != "" && !anywhere[name] && !elsewhere[name] && !citation.MatchString(match[0]) {
					t.Errorf("%s: %s is exported by none of the packages", page, match[0])
				}
			}
		}
	}
}

// elsewhere are names in the pages that are not these packages' own.
var elsewhere = map[string]bool{
	"PATH": true, "DO": true, "LISTEN": true, "TOP": true, // the environment and SQL
	"SafeToRetry": true, "SetMaxIdleConns": true, "SetMaxOpenConns": true, "BeginTx": true, "Conn": true, "Dialer": true, // pgx and database/sql
	"HasPending": true,                              // goose
	"OFDLocking": true, "Save": true, "Place": true, // the Examples'
}

// exportedNames returns what a package exports, methods and fields included.
func exportedNames(t *testing.T, folder string) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files, error %v", folder, len(files), err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(node ast.Node) bool {
			switch n := node.(type) {
			case *ast.FuncDecl:
				names[n.Name.Name] = n.Name.IsExported()
				return false
			case *ast.TypeSpec:
				names[n.Name.Name] = n.Name.IsExported()
			case *ast.ValueSpec:
				addNames(names, n.Names)
			case *ast.Field:
				addNames(names, n.Names)
			}
			return true
		})
	}
	return names
}

func addNames(names map[string]bool, found []*ast.Ident) {
	for _, name := range found {
		names[name.Name] = name.IsExported()
	}
}

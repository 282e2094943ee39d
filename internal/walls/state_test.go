package walls

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"strings"
	"testing"
)

// A scan reads one package for state that importing it would set up, or that
// all its users would share.
type scan struct {
	fset  *token.FileSet
	info  types.Info
	scope *types.Scope
	found []string
}

// noImports leaves imported packages unresolved: what a package does with its
// own variables shows without them.
type noImports struct{}

func (noImports) Import(string) (*types.Package, error) {
	return nil, errors.New("not needed")
}

// scanFiles returns what the package made of these files must not have, each
// as a line that begins with its place.
func scanFiles(fset *token.FileSet, files []*ast.File) []string {
	s := &scan{fset: fset, info: types.Info{
		Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{},
	}}
	ignore := func(error) {}
	config := types.Config{Importer: noImports{}, Error: ignore}
	// It always fails, for want of imports, and has found the names all the same.
	checked, _ := config.Check("scanned", fset, files, &s.info)
	s.scope = checked.Scope()
	for _, file := range files {
		for _, declaration := range file.Decls {
			s.declaration(declaration)
		}
		ast.Inspect(file, s.statement)
	}
	return s.found
}

// report notes a fault at a place.
func (s *scan) report(place token.Pos, format string, args ...any) {
	position := s.fset.Position(place)
	line := fmt.Sprintf("%s:%d: ", filepath.Base(position.Filename), position.Line)
	s.found = append(s.found, line+fmt.Sprintf(format, args...))
}

// declaration looks for init functions and for variables made to be changed.
func (s *scan) declaration(declaration ast.Decl) {
	switch d := declaration.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil && d.Name.Name == "init" {
			s.report(d.Pos(), "init runs in whoever imports the package")
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			if values, ok := spec.(*ast.ValueSpec); ok && d.Tok == token.VAR {
				s.synchronized(values)
			}
		}
	}
}

// synchronized looks for variables of the types whose only use is to be
// changed by several goroutines.
func (s *scan) synchronized(values *ast.ValueSpec) {
	selector, ok := values.Type.(*ast.SelectorExpr)
	if !ok {
		return
	}
	if origin, ok := selector.X.(*ast.Ident); ok && (origin.Name == "sync" || origin.Name == "atomic") {
		s.report(values.Pos(), "%s is shared by all users of the package", values.Names[0].Name)
	}
}

// statement looks for changes of the package's own variables.
func (s *scan) statement(node ast.Node) bool {
	switch n := node.(type) {
	case *ast.AssignStmt:
		for _, target := range n.Lhs {
			s.target(target)
		}
	case *ast.IncDecStmt:
		s.target(n.X)
	case *ast.CallExpr:
		name, ok := n.Fun.(*ast.Ident)
		if ok && (name.Name == "delete" || name.Name == "clear") && len(n.Args) > 0 {
			s.target(n.Args[0])
		}
	}
	return true
}

// target reports an expression that is written to, when it belongs to one of
// the package's own variables.
func (s *scan) target(written ast.Expr) {
	switch e := written.(type) {
	case *ast.ParenExpr:
		s.target(e.X)
	case *ast.IndexExpr:
		s.target(e.X)
	case *ast.SelectorExpr:
		s.target(e.X)
	case *ast.StarExpr:
		s.target(e.X)
	case *ast.Ident:
		if variable, ok := s.info.Uses[e].(*types.Var); ok && variable.Parent() == s.scope {
			s.report(e.Pos(), "%s is changed, for all users of the package", e.Name)
		}
	}
}

// isProgram reports whether a package is one that nothing can import, or one
// that only this module's own tests and demonstrations use.
func isProgram(p goPackage) bool {
	return p.Name == "main" || covers("integration/...", p.ImportPath)
}

func TestNoPackageHasStateOfItsOwn(t *testing.T) {
	t.Parallel()
	scanned := 0
	for _, p := range list(t) {
		if isProgram(p) {
			continue
		}
		fset := token.NewFileSet()
		var files []*ast.File
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
		}
		scanned += len(files)
		for _, fault := range scanFiles(fset, files) {
			t.Errorf("%s: %s", p.ImportPath, fault)
		}
	}
	if scanned == 0 {
		t.Error("no file of the library was found")
	}
}

func TestScanFindsState(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"func init() {}":                                              "init runs",
		"type t struct{}\nfunc (t) init() {}":                         "",
		"var errX = errors.New(\"x\")":                                "",
		"var known = map[string]int{}\nvar _ = known[\"a\"]":          "",
		"var known = map[string]int{}\nfunc F() { known[\"a\"] = 1 }": "known is changed",
		"var known map[string]int\nfunc F() { delete(known, \"a\") }": "known is changed",
		"var n int\nfunc F() { n++ }":                                 "n is changed",
		"var n int\nfunc F() { n := 1; n++ }":                         "",
		"var n int\nfunc F(n int) { n = 2 }":                          "",
		"var s struct{ a []int }\nfunc F() { (s.a)[0] = 2 }":          "s is changed",
		"var p = new(int)\nfunc F() { *p = 2 }":                       "p is changed",
		"var mu sync.Mutex":                                           "mu is shared",
		"var count atomic.Int64":                                      "count is shared",
		"func F() { var mu sync.Mutex; mu.Lock() }":                   "",
	} {
		fset := token.NewFileSet()
		header := "package p\nimport (\"errors\"; \"sync\"; \"sync/atomic\")\n"
		file, err := parser.ParseFile(fset, "p.go", header+source, 0)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(scanFiles(fset, []*ast.File{file}), "\n")
		if (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%s\nfound %q; want %q", source, got, want)
		}
	}
}

package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/lockstep-go/lockstep/integration/servers/serverstest"
)

func TestMain(m *testing.M) { os.Exit(serverstest.Main(m)) }

// root is the module's folder.
const root = "../.."

// pages returns the text of every Markdown file of the module by its path.
func pages(t *testing.T) map[string]string {
	t.Helper()
	texts := make(map[string]string)
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			name, err := filepath.Rel(root, path)
			if err != nil {
				t.Fatal(err)
			}
			texts[filepath.ToSlash(name)] = string(text)
		}
	}
	if len(texts) < 7 {
		t.Fatalf("only %d Markdown files found", len(texts))
	}
	return texts
}

// goBlock is a block of Go code with the line before it.
var goBlock = regexp.MustCompile("(?s)([^\n]*)\n```go\n(.*?)\n```")

// origin is the comment that says where a block is from.
var origin = regexp.MustCompile(`^<!-- from (\S+): (.+) -->$`)

func TestCodeIsFromExamples(t *testing.T) {
	t.Parallel()
	compared := 0
	for page, text := range pages(t) {
		for _, block := range goBlock.FindAllStringSubmatch(text, -1) {
			from := origin.FindStringSubmatch(block[1])
			if from == nil {
				t.Errorf("%s: Go code that does not say which Example it is from:\n%s", page, block[2])
				continue
			}
			want := declarations(t, from[1], strings.Fields(from[2]))
			if block[2] != want {
				t.Errorf("%s: code differs from %s. It must be:\n%s", page, from[1], want)
			}
			compared++
		}
	}
	if compared < 5 {
		t.Errorf("only %d blocks of code compared", compared)
	}
}

// declarations returns the source of declarations of a file, with their doc
// comments, in the order asked for.
func declarations(t *testing.T, file string, names []string) string {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, file, source, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	texts := make(map[string]string)
	for _, declaration := range parsed.Decls {
		name, doc := describe(declaration)
		begin := declaration.Pos()
		if doc != nil {
			begin = doc.Pos()
		}
		texts[name] = string(source[fset.Position(begin).Offset:fset.Position(declaration.End()).Offset])
	}
	parts := make([]string, len(names))
	for i, name := range names {
		if parts[i] = texts[name]; parts[i] == "" {
			t.Errorf("%s does not declare %s", file, name)
		}
	}
	return strings.Join(parts, "\n\n")
}

// describe returns what a declaration declares, such as Place or Shop.Place.
func describe(declaration ast.Decl) (name string, doc *ast.CommentGroup) {
	switch d := declaration.(type) {
	case *ast.FuncDecl:
		return strings.TrimPrefix(receiver(d)+"."+d.Name.Name, "."), d.Doc
	case *ast.GenDecl:
		if spec, ok := d.Specs[0].(*ast.TypeSpec); ok {
			return spec.Name.Name, d.Doc
		}
	}
	return "", nil
}

// receiver returns the type that a method belongs to; empty for a function.
func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	expression := f.Recv.List[0].Type
	if pointer, ok := expression.(*ast.StarExpr); ok {
		expression = pointer.X
	}
	if name, ok := expression.(*ast.Ident); ok {
		return name.Name
	}
	return ""
}

package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	// citation is a test that a page names, such as `TestSQLite/Nesting/a case`.
	citation    = regexp.MustCompile("`((?:Test|Fuzz)[A-Z][^`\n]*)`")
	declaration = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\([tf] \*testing\.[TF]\)`)
	// suite is a case of the conformance suite, by topic.
	suite = regexp.MustCompile(`^Test(?:Postgres|SQLServer|SQLite)/(\w+)/(.+)$`)
	// step is a heading of the argument.
	step = regexp.MustCompile(`^### (\d+)\. `)
)

// goSources returns the text of all Go files of a folder and those below it,
// other modules included.
func goSources(t *testing.T, folder string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(filepath.Join(root, folder), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		text, err := os.ReadFile(path)
		all.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// A page that names a test for what it claims must name one that is there. The
// parts after the first name subtests, as strings in the source.
func TestCitedTestsExist(t *testing.T) {
	t.Parallel()
	sources, cases := goSources(t, ""), goSources(t, "dialect/dialecttest")
	declared := make(map[string]bool)
	for _, match := range declaration.FindAllStringSubmatch(sources, -1) {
		declared[match[1]] = true
	}
	for page, text := range pages(t) {
		for _, match := range citation.FindAllStringSubmatch(text, -1) {
			parts := strings.Split(match[1], "/")
			if !declared[parts[0]] {
				t.Errorf("%s: there is no %s", page, parts[0])
			}
			if c := suite.FindStringSubmatch(match[1]); c != nil {
				if !strings.Contains(cases, `{"`+c[1]+`", `) || !strings.Contains(cases, `{"`+c[2]+`", `) {
					t.Errorf("%s: the suite has no %s", page, match[1])
				}
				continue
			}
			for _, part := range parts[1:] {
				if !strings.Contains(sources, `"`+part+`"`) {
					t.Errorf("%s: %s: nothing is called %q", page, match[1], part)
				}
			}
		}
	}
}

// Every step of the argument names what it relies on, what ensures it, and at
// least two tests that attack it.
func TestEveryStepIsAttacked(t *testing.T) {
	t.Parallel()
	steps := 0
	for _, section := range strings.Split(pages(t)["docs/guarantees.md"], "\n#") {
		number := step.FindStringSubmatch("#" + section)
		if number == nil {
			continue
		}
		steps++
		if number[1] != strconv.Itoa(steps) {
			t.Errorf("step %s comes as number %d", number[1], steps)
		}
		_, attacks, _ := strings.Cut(section, "- Attacked by: ")
		if !strings.Contains(section, "- Relies on: ") || !strings.Contains(section, "- Ensured by: ") || len(citation.FindAllString(attacks, -1)) < 2 {
			t.Errorf("step %d is incomplete", steps)
		}
	}
	if steps < 10 {
		t.Errorf("only %d steps found", steps)
	}
}

package cli

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// page is the documentation.
const page = "../../../../docs/applock.md"

// commands returns the commands and the root, without cobra's own.
func commands(t *testing.T) []*cobra.Command {
	t.Helper()
	root := (&program{}).root()
	return append([]*cobra.Command{root}, root.Commands()...)
}

// tableLines are the lines of the page's tables that the program knows as well.
func tableLines(t *testing.T) (exits, variables, flags []string) {
	for _, e := range exitCodes() {
		exits = append(exits, fmt.Sprintf("| %s | %s |", e.code, e.meaning))
	}
	for _, v := range environment() {
		variables = append(variables, fmt.Sprintf("| `%s` | %s |", v.name, v.meaning))
	}
	for _, c := range commands(t) {
		c.InitDefaultHelpFlag()
		each := c.LocalNonPersistentFlags()
		of := "`" + c.Name() + "`"
		if !c.HasParent() {
			each, of = c.PersistentFlags(), "all"
		}
		each.VisitAll(func(f *pflag.Flag) {
			if f.Name == "help" || f.Name == "version" {
				return
			}
			name := "`--" + f.Name + "`"
			if f.Shorthand != "" {
				name += ", `-" + f.Shorthand + "`"
			}
			flags = append(flags, fmt.Sprintf("| %s | %s | %s |", of, name, f.Usage))
		})
	}
	return exits, variables, flags
}

// section is the part of the page below a heading.
func section(t *testing.T, heading string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("no section %q", heading)
	}
	own, _, _ := strings.Cut(after, "\n## ")
	return own
}

// rows are the lines of a table, without its head.
func rows(text string) string {
	_, body, _ := strings.Cut(text, "|---|")
	var lines []string
	for _, line := range strings.Split(body, "\n")[1:] {
		if !strings.HasPrefix(line, "|") {
			break
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestPageTellsWhatTheProgramDoes(t *testing.T) {
	t.Parallel()
	exits, variables, flags := tableLines(t)
	for heading, lines := range map[string][]string{"Exit codes": exits, "Environment": variables, "Flags": flags} {
		want := strings.Join(lines, "\n")
		if got := rows(section(t, heading)); got != want {
			t.Errorf("the table of %q must be:\n%s\nit is:\n%s", heading, want, got)
		}
	}
}

func TestHelpTellsExitCodesAndEnvironment(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--help"}, {"run", "--help"}, {"status", "--help"}, {"help", "end"}} {
		var out bytes.Buffer
		if code := (&program{stdout: &out, stderr: &out}).execute(args); code != 0 {
			t.Fatalf("%v: exit code %d", args, code)
		}
		for _, e := range exitCodes() {
			if !strings.Contains(out.String(), fmt.Sprintf("  %-7s %s\n", e.code, e.meaning)) {
				t.Errorf("%v does not tell exit code %s", args, e.code)
			}
		}
		for _, v := range environment() {
			if !strings.Contains(out.String(), v.name+"  "+v.meaning) {
				t.Errorf("%v does not tell %s", args, v.name)
			}
		}
	}
}

// TestCodesAreInTheTable compares the numbers that the code uses.
func TestCodesAreInTheTable(t *testing.T) {
	t.Parallel()
	told := make(map[string]bool)
	for _, e := range exitCodes() {
		told[e.code] = true
	}
	for _, code := range []int{
		exitDone, exitNo, exitUsage, exitUnavailable, exitSoftware, exitLost, exitNotGranted, exitForbidden, exitNotRunnable, exitNotFound,
	} {
		if !told[fmt.Sprint(code)] {
			t.Errorf("exit code %d is not in the table", code)
		}
	}
}

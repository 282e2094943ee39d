package chaos

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mutantsVariable lets TestMutants run, which builds a program for each.
const mutantsVariable = "LOCKSTEP_CHAOS_MUTANTS"

// mutant is a way to break the library on purpose, which the checker must see.
type mutant struct {
	name string
	// stage is where it is looked for; empty means StageFaults. What shows where
	// units meet each other shows best in a calm, on a busy machine as well.
	stage string
	kind  string // of the units that look for it; empty means all
	edits []edit
	seen  []string // what it must be seen as, one of these at least
}

// edit replaces text that is in the file once.
type edit struct{ file, old, new string }

func mutants() []mutant {
	return []mutant{
		{
			name: "lock skipped", stage: StageCalm,
			edits: []edit{{
				"dialect/postgres/dialect.go", "case len(b.Locks) == 0:", "case len(b.Locks) <= 1:",
			}},
			seen: []string{breachInside, breachFence, breachSums},
		},
		{
			name: "COMMIT retried when in doubt",
			edits: []edit{
				{"uow/retry.go", "!IsRetryable(err)", "!IsRetryable(err) && !errors.As(err, new(*InDoubtError))"},
				{"uow/retry.go", "\t\"context\"\n", "\t\"context\"\n\t\"errors\"\n"},
			},
			seen: []string{breachCommitted, breachRolled},
		},
		{
			name: "lock freed before COMMIT", stage: StageCalm,
			edits: []edit{
				{
					"dialect/postgres/lockscript.go",
					`functions{"pg_catalog.pg_advisory_xact_lock", "pg_catalog.pg_advisory_xact_lock_shared"}`,
					`functions{"pg_catalog.pg_advisory_lock", "pg_catalog.pg_advisory_lock_shared"}`,
				},
				{
					"dialect/postgres/tx.go", `rows, err := t.wire.last(ctx, "commit")`,
					`_, _ = t.wire.last(ctx, "select pg_catalog.pg_advisory_unlock_all()")
					rows, err := t.wire.last(ctx, "commit")`,
				},
				{
					"dialect/postgres/tx.go", `t.wire.last(ctx, "rollback")`,
					`t.wire.last(ctx, "rollback", "select pg_catalog.pg_advisory_unlock_all()")`,
				},
			},
			seen: []string{breachInside, breachFence, breachSums},
		},
		{
			name: "statement after abort",
			edits: []edit{
				{"uow/unit.go", "default:\n\t\tt.top.base.doom(err)", "case t.tx != nil:\n\t\t_ = t.tx.Rollback(context.Background())"},
				{"uow/unit.go", "case dialect.Ended:\n\t\tt.root.doom(ErrTransactionEnded)", "case dialect.Ended:"},
				{"uow/end.go", "t.tx != nil && t.tx.State() == dialect.Ended", "false"},
			},
			seen: []string{breachCommitted, breachRolled},
		},
		{
			name:  "isolation guard removed",
			stage: StageCalm,
			kind:  "snapshot",
			edits: []edit{
				{"dialect/postgres/dialect.go", "case t.snapshot:\n\t\terr = t.lockBeforeSnapshot(", "case t.snapshot:\n\t\terr = t.lockAtBegin("},
				{"dialect/postgres/lockbegin.go", "if err == nil && isSnapshotLevel(", "if err == nil && false && isSnapshotLevel("},
			},
			seen: []string{breachFence},
		},
		{
			name:  "undone savepoint keeps its locks on the books",
			stage: StageCalm,
			edits: []edit{{"uow/scope.go", "t.book.truncate(u.lockMark)", ""}},
			// Workers see that the server's locks are not those of the books.
			seen: []string{breachInside, breachFence, breachSums, breachSeen},
		},
	}
}

// mutantsElsewhere are looked for on other databases.
func mutantsElsewhere() []mutant {
	return []mutant{
		{
			name:  "lock skipped on SQL Server's simulator",
			stage: StageMSSQL,
			edits: []edit{{"dialect/mssql/mssql.go", "if len(b.Locks) == 0 {", "if len(b.Locks) <= 1 {"}},
			seen:  []string{breachInside, breachFence, breachSums},
		},
		{
			name:  "lock skipped on SQLite",
			stage: StageSQLite,
			edits: []edit{{"dialect/sqlite/unit.go", "return u.session.Acquire(ctx, locks, u.writes())", "return nil"}},
			seen:  []string{breachInside},
		},
	}
}

// TestMutants copies this module, breaks the copy, and runs the copy's program.
func TestMutants(t *testing.T) {
	if os.Getenv(mutantsVariable) == "" {
		t.Skipf("%s is not set", mutantsVariable)
	}
	for _, m := range append(mutants(), mutantsElsewhere()...) {
		t.Run(m.name, func(t *testing.T) {
			program := m.build(t)
			for _, seed := range []string{"1", "2", "3"} {
				var printed bytes.Buffer
				cmd := exec.Command(program, "-stage", cmp.Or(m.stage, StageFaults), "-kind", m.kind,
					"-duration", "15s", "-seed", seed)
				cmd.Stdout, cmd.Stderr = &printed, &printed
				err := cmd.Run()
				var exited *exec.ExitError
				if !errors.As(err, &exited) || exited.ExitCode() != exitBreach {
					t.Logf("seed %s: not seen: %v: %.2000s", seed, err, &printed)
					continue
				}
				found := printed.String()[strings.Index(printed.String(), "BREACHES"):]
				t.Logf("seed %s: %s", seed, found)
				if slices.ContainsFunc(m.seen, func(what string) bool { return strings.Contains(found, what) }) {
					return
				}
			}
			t.Error("the checker did not see it")
		})
	}
}

// build makes the program of a broken copy of this module.
func (m mutant) build(t *testing.T) string {
	dir := t.TempDir()
	copyModule(t, filepath.Join("..", ".."), dir)
	for _, e := range m.edits {
		path := filepath.Join(dir, filepath.FromSlash(e.file))
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), e.old); n != 1 {
			t.Fatalf("%s has %q %d times, not once: the mutant must be made anew", e.file, e.old, n)
		}
		if err := os.WriteFile(path, []byte(strings.Replace(string(text), e.old, e.new, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(dir, "chaos")
	cmd := exec.Command("go", "build", "-o", program, "./integration/cmd/chaos")
	cmd.Dir = dir
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return program
}

// copyModule copies what the program is built from.
func copyModule(t *testing.T, from, to string) {
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name := entry.Name(); name == ".git" || name == "bin" {
				return filepath.SkipDir
			}
			return os.MkdirAll(filepath.Join(to, relative), 0o700)
		}
		if filepath.Ext(path) != ".go" && !strings.HasPrefix(entry.Name(), "go.") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, relative), text, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Package cli is the command line of applock.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lockstep-go/lockstep/cmd/applock/internal/database"
	"github.com/lockstep-go/lockstep/uow"
)

// program is what the command line's functions share.
type program struct {
	address string // of the database, from --db
	moved   string // the last --db with a password, which is not among the arguments
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
}

// Main runs the command line, whose first argument is the name of the program,
// and returns the code to exit with.
func Main(args []string) int {
	// Before all else: until then the list of processes shows the password.
	url, err := takePassword(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "applock:", err)
		return exitSoftware
	}
	p := &program{moved: url, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	return p.execute(args[1:])
}

// execute runs one command line and tells what went wrong in one line.
func (p *program) execute(args []string) int {
	root := p.root()
	root.SetArgs(args)
	err := root.Execute()
	if err == nil {
		return exitDone
	}
	var known *failure
	if !errors.As(err, &known) { // cobra's own, about arguments and flags
		known = &failure{exitUsage, err}
	}
	if text := database.Hide(known, p.database()).Error(); text != "" {
		fmt.Fprintf(p.stderr, "applock: %s\n", strings.TrimPrefix(oneLine(text), "applock: ")) // as the library's begin
	}
	if known.code == exitUsage {
		fmt.Fprintln(p.stderr, "applock --help tells more.")
	}
	return known.code
}

// root returns the commands.
func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "applock",
		Short: "Run programs under named locks of a database",
		Long: "applock runs programs under named locks of a database, so that two of them\n" +
			"never run at once, on one host or on many. A lock ends with its holder,\n" +
			"whichever way that ends: nothing is left locked.",
		Example:           "  applock run deploy -- ./deploy.sh\n  applock run --no-wait nightly -- ./report.sh",
		SilenceErrors:     true,
		SilenceUsage:      true,
		Version:           version(),
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: false},
	}
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.SetVersionTemplate("applock {{.Version}}\n")
	root.SetUsageTemplate(root.UsageTemplate() + tables())
	flags := root.PersistentFlags()
	// A default would show the environment's password in the help.
	flags.Var(&addressFlag{p}, "db", "database that holds the locks (default: $"+database.Variable+", else a SQLite file of this user)")
	root.AddCommand(p.runCommand(), p.listCommand(), p.statusCommand(), p.endCommand(), p.keyCommand())
	complete(root, "db", cobra.ShellCompDirectiveNoSpace, schemes()...) // paths of files, too
	return root
}

// addressFlag is the database's URL. It is never shown.
type addressFlag struct{ of *program }

// String implements pflag.Value.
func (f *addressFlag) String() string { return "" }

// Type implements pflag.Value.
func (f *addressFlag) Type() string { return "URL" }

// Set implements pflag.Value.
func (f *addressFlag) Set(address string) error {
	switch {
	case address == "":
		return errors.New("it names no database; leave --db out for the default")
	case address != moved:
		f.of.address = address
	case f.of.moved == "":
		return fmt.Errorf("%s stands for a URL that was moved away, and none was", moved)
	default:
		f.of.address = f.of.moved
	}
	return nil
}

// schemes are beginnings of URLs.
func schemes() (all []string) {
	for _, s := range database.Schemes() {
		all = append(all, s+"://")
	}
	return all
}

// complete makes the shell offer values for a flag.
func complete(c *cobra.Command, flag string, directive cobra.ShellCompDirective, values ...string) {
	_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, directive))
}

// version is the module's, as the go command has recorded it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(unknown version)"
}

// An environmentVariable is a line of the table of the environment.
type environmentVariable struct{ name, meaning string }

// environment is the table, for the help and the documentation.
func environment() []environmentVariable {
	return []environmentVariable{
		{database.Variable, "the database, where --db does not name one; the command inherits it"},
	}
}

// tables are the end of every help text.
func tables() string {
	var b strings.Builder
	b.WriteString("\nExit codes:\n")
	for _, line := range exitCodes() {
		fmt.Fprintf(&b, "  %-7s %s\n", line.code, line.meaning)
	}
	b.WriteString("\nEnvironment:\n")
	for _, line := range environment() {
		fmt.Fprintf(&b, "  %s  %s\n", line.name, line.meaning)
	}
	b.WriteString("\nhttps://github.com/lockstep-go/lockstep/blob/main/docs/applock.md\n")
	return b.String()
}

// database is the URL that was given.
func (p *program) database() string {
	if p.address != "" {
		return p.address
	}
	return os.Getenv(database.Variable)
}

// named is the URL that was given, empty where none was. A variable that is
// empty is taken for a mistake: the default is another database.
func (p *program) named() (string, error) {
	address := p.database()
	if _, set := os.LookupEnv(database.Variable); address == "" && set {
		return "", usage("%s is empty: name a database by it, or unset it for the default", database.Variable)
	}
	return address, nil
}

// open opens the database that was named.
func (p *program) open() (database.Database, *uow.Manager, func(), error) {
	address, err := p.named()
	if err != nil {
		return database.Database{}, nil, nil, err
	}
	d, err := database.Choose(address)
	if err != nil {
		return d, nil, nil, classify(err)
	}
	m, closing, err := d.Open()
	return d, m, closing, classify(err)
}

// patience bounds what only looks at the database.
const patience = 30 * time.Second

// ask runs a function that looks at the database.
func (p *program) ask(c *cobra.Command, look func(context.Context, database.Database, *uow.Manager) error) error {
	d, m, closing, err := p.open()
	if err != nil {
		return err
	}
	defer closing()
	ctx, cancel := context.WithTimeout(c.Context(), patience)
	defer cancel()
	return classify(d.Hide(look(ctx, d, m)))
}

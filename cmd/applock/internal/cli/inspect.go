package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/cmd/applock/internal/database"
	"github.com/lockstep-go/lockstep/uow"
)

func (p *program) listCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list [NAME...]",
		Short: "List who holds and who waits for locks",
		Long: "list shows who holds and who waits for the named locks, or all locks of the\n" +
			"database. Where the server knows only a key, the name is shown if it was asked\n" +
			"for. applock run waits without a place in the server's queue: it is not among\n" +
			"those who wait.",
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, names []string) error {
			return p.ask(c, func(ctx context.Context, _ database.Database, m *uow.Manager) error {
				all, err := applock.Inspect(ctx, m, names...)
				if err != nil {
					return err
				}
				if asJSON {
					return writeJSON(p.stdout, shownLocks(all))
				}
				return writeTable(p.stdout, all, time.Now())
			})
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (p *program) statusCommand() *cobra.Command {
	var asJSON, quiet bool
	c := &cobra.Command{
		Use:   "status NAME",
		Short: "Tell whether a lock is held; the exit code says so too",
		Long:  "status tells whether a lock is held and by whom. The exit code is 0 if it is\nfree, and 1 if it is held, in whatever mode.",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, names []string) error {
			var code int
			err := p.ask(c, func(ctx context.Context, _ database.Database, m *uow.Manager) error {
				all, err := applock.Inspect(ctx, m, names...)
				if err != nil {
					return err
				}
				if len(all[0].Holders) > 0 {
					code = exitNo
				}
				switch {
				case quiet:
					return nil
				case asJSON:
					return writeJSON(p.stdout, shownLocks(all)[0])
				}
				return writeStatus(p.stdout, all[0], time.Now())
			})
			if err != nil {
				return err
			}
			return exit(code)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "print nothing")
	c.MarkFlagsMutuallyExclusive("json", "quiet")
	return c
}

// A shownLock is a lock as JSON.
type shownLock struct {
	Name    string         `json:"name,omitempty"`
	Key     string         `json:"key"`
	Holders []shownSession `json:"holders"`
	Waiters []shownSession `json:"waiters"`
}

// A shownSession is a session as JSON.
type shownSession struct {
	Session string     `json:"session"`
	Label   string     `json:"label,omitempty"`
	User    string     `json:"user,omitempty"`
	Host    string     `json:"host,omitempty"`
	Mode    string     `json:"mode"`
	Since   *time.Time `json:"since,omitempty"`
}

func shownLocks(all []applock.Status) []shownLock {
	shown := make([]shownLock, len(all))
	for i, s := range all {
		shown[i] = shownLock{s.Name, s.Key, shownSessions(s.Holders), shownSessions(s.Waiters)}
	}
	return shown
}

func shownSessions(sessions []applock.Session) []shownSession {
	shown := make([]shownSession, len(sessions))
	for i, s := range sessions {
		shown[i] = shownSession{Session: s.ID, Label: s.Label, User: s.User, Host: s.Host, Mode: modeOf(s)}
		if !s.Since.IsZero() {
			since := s.Since.UTC()
			shown[i].Since = &since
		}
	}
	return shown
}

// modeOf is the session's mode, which is not shown while it asks for another.
func modeOf(s applock.Session) string {
	if s.Mode == 0 {
		return "unknown"
	}
	return s.Mode.String()
}

func writeJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// writeTable writes a line for each session.
func writeTable(w io.Writer, all []applock.Status, now time.Time) error {
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "LOCK\tSTATE\tMODE\tLABEL\tSESSION\tUSER\tHOST\tSINCE")
	for _, status := range all {
		name := status.Name
		if name == "" {
			name = status.Key
		}
		name = printable(name)
		if len(status.Holders)+len(status.Waiters) == 0 {
			fmt.Fprintf(table, "%s\tfree\n", name)
		}
		writeSessions(table, name, "held", status.Holders, now)
		writeSessions(table, name, "waiting", status.Waiters, now)
	}
	return table.Flush()
}

func writeSessions(w io.Writer, name, state string, sessions []applock.Session, now time.Time) {
	for _, s := range sessions {
		since := ""
		if !s.Since.IsZero() {
			since = clock(s.Since, now)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n",
			name, state, modeOf(s), printable(s.Label), s.ID, printable(s.User), s.Host, since)
	}
}

// writeStatus writes a line for each holder, or that there is none.
func writeStatus(w io.Writer, status applock.Status, now time.Time) error {
	if len(status.Holders) == 0 {
		_, err := fmt.Fprintf(w, "%q is free\n", status.Name)
		return err
	}
	for _, s := range status.Holders {
		if _, err := fmt.Fprintf(w, "%q is held (%s) by %s\n", status.Name, modeOf(s), describe(s, now)); err != nil {
			return err
		}
	}
	if n := len(status.Waiters); n > 0 {
		_, err := fmt.Fprintf(w, "%d waiting\n", n)
		return err
	}
	return nil
}

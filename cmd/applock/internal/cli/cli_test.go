package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/cmd/applock/internal/database"
	"github.com/lockstep-go/lockstep/cmd/applock/internal/process"
	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/uow"
)

func TestPasswordsLeaveTheArguments(t *testing.T) {
	t.Parallel()
	const url = "postgres://me:hush@host/db"
	for _, test := range []struct {
		args, rest []string
		address    string
	}{
		{[]string{"list", "--db", url}, []string{"list", "--db", moved}, url},
		{[]string{"--db=" + url, "list"}, []string{"--db=" + moved, "list"}, url},
		{[]string{"run", "a", "--", "b", "--db", url}, []string{"run", "a", "--", "b", "--db", url}, ""},
		{[]string{"list", "--db", "postgres://me@host/db"}, []string{"list", "--db", "postgres://me@host/db"}, ""},
		{[]string{"list", "--db"}, []string{"list", "--db"}, ""},
		{[]string{"list", "--db", "a.db", "--db", url}, []string{"list", "--db", "a.db", "--db", moved}, url},
		{[]string{"list", "--db", url, "--db=" + url + "2"}, []string{"list", "--db", moved, "--db=" + moved}, url + "2"},
	} {
		rest, address := withoutPassword(test.args)
		if !slices.Equal(rest, test.rest) || address != test.address {
			t.Errorf("%q: %q and %q", test.args, rest, address)
		}
	}
}

func TestLastDatabaseCounts(t *testing.T) {
	t.Parallel()
	const url = "postgres://me:hush@host/db"
	for _, test := range []struct {
		moved string
		flags []string
		want  string // empty if they are refused
	}{
		{url, []string{"--db=a.db", "--db=" + moved}, url},
		{url, []string{"--db=" + moved, "--db=a.db"}, "a.db"},
		{"", []string{"--db=a.db", "--db=b.db"}, "b.db"},
		{"", []string{"--db=" + moved}, ""},
		{"", []string{"--db="}, ""},
		{url, []string{"--db=" + moved, "--db", ""}, ""},
	} {
		p := &program{moved: test.moved}
		err := p.root().ParseFlags(test.flags)
		if (err == nil) != (test.want != "") || err == nil && p.database() != test.want {
			t.Errorf("%q: %q, error %v; want %q", test.flags, p.database(), err, test.want)
		}
	}
}

func TestLabelsFit(t *testing.T) {
	t.Parallel()
	for head, want := range map[string]string{
		"anna@web1 run.sh":         "anna@web1 run.sh[1]",
		"o'hara@käse r`x":          "o?hara@k?se r?x[1]",
		strings.Repeat("long", 20): strings.Repeat("long", 15) + "[1]",
	} {
		got := fit(head, "[1]")
		if got != want || len(got) > uow.MaxLabel {
			t.Errorf("%q: %q, want %q", head, got, want)
		}
	}
}

func TestSessionsAreDescribed(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 15, 0, 0, 0, time.Local)
	for _, test := range []struct {
		session applock.Session
		want    string
	}{
		{applock.Session{ID: "7"}, "session 7"},
		{applock.Session{}, "a prepared transaction"},
		{applock.Session{ID: "7", User: "app", Since: now.Add(-time.Hour)}, "session 7, app since 14:00:00"},
		{
			applock.Session{ID: "7", Label: "bell\a", User: "app", Host: "10.0.0.7", Since: now.AddDate(0, 0, -1)},
			"bell? (session 7, app@10.0.0.7) since 2026-03-03 15:00:00",
		},
	} {
		if got := describe(test.session, now); got != test.want {
			t.Errorf("%+v: %q, want %q", test.session, got, test.want)
		}
	}
	if got := describeAll(nil, now); got != "a session that the database does not show" {
		t.Error(got)
	}
}

func TestErrorsHaveCodes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		want int
	}{
		{errors.New("x"), exitSoftware},
		{fmt.Errorf("x: %w", applock.ErrTimeout), exitNotGranted},
		{applock.ErrName, exitUsage},
		{applock.ErrInvalid, exitUsage},
		{database.ErrAddress, exitUsage},
		{database.ErrNone, exitUsage},
		{database.ErrNotPermitted, exitForbidden},
		{database.ErrCannotEnd, exitUnavailable},
		{&dialect.Error{Kind: dialect.Unavailable}, exitUnavailable},
		{&dialect.Error{Kind: dialect.Unsupported}, exitUnavailable},
		{context.DeadlineExceeded, exitUnavailable},
		{&process.NotStartedError{Name: "x", Err: errors.New("y")}, exitNotFound},
		{&process.NotStartedError{Name: "x", Found: true, Err: errors.New("y")}, exitNotRunnable},
		{usage("x"), exitUsage},
	} {
		var known *failure
		if err := classify(test.err); !errors.As(err, &known) || known.code != test.want {
			t.Errorf("%v: %+v, want %d", test.err, known, test.want)
		}
	}
	if classify(nil) != nil || exit(0) != nil {
		t.Error("success has a failure")
	}
}

func TestErrorsAreOneLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a":                    "a",
		"a:\n\tb: c\n\td\n":    "a: b: c; d",
		"a\x1b[2Jb":            "a?[2Jb",
		"\n":                   "",
		"a\r\nb\u0085c\x7f\td": "a; b?c??d",
	} {
		if got := oneLine(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestCommandLinesOfRun(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"run"}, {"run", "a"}, {"run", "--", "b"}, {"run", "a", "--"}, {"run", "--on-lost", "x", "a", "--", "b"},
		{"run", "--no-wait", "--wait", "1s", "a", "--", "b"}, {"run", "--grace=-1s", "a", "--", "b"}, {"run", "--label=", "a", "--", "b"},
	} {
		var out, problems bytes.Buffer
		code := (&program{stdout: &out, stderr: &problems}).execute(args)
		if code != exitUsage || out.Len() > 0 || !strings.HasPrefix(problems.String(), "applock: ") {
			t.Errorf("%q: exit code %d, output %q and %q", args, code, &out, &problems)
		}
	}
}

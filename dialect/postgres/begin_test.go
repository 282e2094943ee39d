package postgres

import (
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/lockstep-go/lockstep/dialect"
)

func TestBeginStatement(t *testing.T) {
	t.Parallel()
	for level, want := range map[sql.IsolationLevel]string{
		sql.LevelDefault:         "begin",
		sql.LevelReadUncommitted: "begin isolation level read uncommitted",
		sql.LevelReadCommitted:   "begin isolation level read committed",
		sql.LevelRepeatableRead:  "begin isolation level repeatable read",
		sql.LevelSnapshot:        "begin isolation level repeatable read",
		sql.LevelSerializable:    "begin isolation level serializable",
	} {
		for readOnly, suffix := range map[bool]string{false: "", true: " read only"} {
			got, err := beginStatement(dialect.Begin{Isolation: level, ReadOnly: readOnly})
			if err != nil || got != want+suffix {
				t.Errorf("%v, read-only %v: %q, %v", level, readOnly, got, err)
			}
		}
		if got := readsSnapshot(level); got != (strings.Contains(want, "repeatable") || strings.Contains(want, "serializable")) {
			t.Errorf("%v reads from a snapshot: %v", level, got)
		}
	}
	for _, level := range []sql.IsolationLevel{sql.LevelWriteCommitted, sql.LevelLinearizable, 99} {
		if _, err := beginStatement(dialect.Begin{Isolation: level}); !errors.Is(err, dialect.Unsupported) {
			t.Errorf("%v: %v, want %v", level, err, dialect.Unsupported)
		}
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	if got := (opening{}).settings(); got != nil {
		t.Errorf("no label: %q", got)
	}
	got := opening{label: "it's"}.settings()
	if len(got) != 1 || got[0] != "select pg_catalog.set_config('application_name',E'it''s',true)" {
		t.Errorf("label: %q", got)
	}
}

func TestReadProbe(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		row    row
		limits bool
		bad    bool
	}{
		{row{"f", "0", "0", "t"}, false, false},
		{row{"false", "0", "0", "true"}, false, false}, // as database/sql prints them
		{row{"f", "5s", "0", "t"}, true, false},
		{row{"f", "0", "1d", "t"}, true, false},
		{row{"t", "0", "0", "t"}, false, true}, // a standby
		{row{"f", "0", "0", "f"}, false, true}, // locks do nothing
		{row{"f", "0", "0"}, false, true},
		{nil, false, true},
	} {
		p, err := readProbe(c.row)
		if c.bad != errors.Is(err, dialect.Unsupported) || !c.bad && p.limits != c.limits {
			t.Errorf("%q: %+v, %v", c.row, p, err)
		}
	}
}

func TestRefusedAttempt(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"-1": -1, "0": 0, "12": 12, "what": 0} {
		if got := refusedAttempt(true, row{text}); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
		if got := refusedAttempt(false, row{text}); got != -1 {
			t.Errorf("no attempt: %d", got)
		}
	}
}

func TestOpenHidesThePassword(t *testing.T) {
	t.Parallel()
	for _, dsn := range []string{
		"postgres://user:s3cret@host:port/db", "postgres://user:s3cret@host/db?sslmode=never", "host=h password=s3cret port=x",
	} {
		db, err := Open(dsn)
		if err == nil || db != nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: %v", dsn, err)
		}
	}
}

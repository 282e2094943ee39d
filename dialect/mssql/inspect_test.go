package mssql

import (
	"database/sql/driver"
	"testing"
	"time"

	"github.com/lockstep-go/lockstep/dialect"
)

func entryRow(description, mode, status string, session int64, info []byte) []driver.Value {
	return []driver.Value{description, mode, status, session, []byte("sa "), nil, "program", info, time.Unix(1, 0)}
}

func TestReadEntry(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		row  []driver.Value
		want entry
	}{
		{entryRow("0:[a]:(1)", "X", "GRANT", 51, []byte("billing\x00\x00")),
			entry{"0:[a]:(1)", "GRANT", dialect.Session{ID: "51", Mode: dialect.Exclusive, User: "sa", Label: "billing", Since: time.Unix(1, 0)}}},
		{entryRow("0:[a]:(1)", "U", "GRANT", 51, []byte{1, 2}), // not a label
			entry{"0:[a]:(1)", "GRANT", dialect.Session{ID: "51", Mode: dialect.Update, User: "sa", Label: "program", Since: time.Unix(1, 0)}}},
		{entryRow("0:[a]:(1)", "IS", "WAIT", 51, nil),
			entry{"0:[a]:(1)", "WAIT", dialect.Session{ID: "51", Mode: dialect.Shared, User: "sa", Label: "program", Since: time.Unix(1, 0)}}},
		{make([]driver.Value, 9), entry{session: dialect.Session{Mode: dialect.Exclusive}}},
	} {
		if got := readEntry(c.row); got != c.want {
			t.Errorf("%v: %+v, want %+v", c.row, got, c.want)
		}
	}
}

func TestEntryResource(t *testing.T) {
	t.Parallel()
	for description, want := range map[string]string{
		"0:[a]:(5e1d)":      "a",
		"0:[]:([x]:(5e1d)":  "]:([x",
		"0:[unfinished":     "unfinished",
		"something else":    "",
		"16:[ ]:(deadbeef)": " ",
	} {
		if got := (entry{description: description}).resource(); got != want {
			t.Errorf("%q: %q, want %q", description, got, want)
		}
	}
}

// TestDivide has who strengthens a lock, shown once or twice by the server.
func TestDivide(t *testing.T) {
	t.Parallel()
	row := func(session, status string, mode dialect.Mode) entry {
		return entry{status: status, session: dialect.Session{ID: session, Mode: mode}}
	}
	granted, converts := row("51", "GRANT", dialect.Shared), row("51", "CONVERT", dialect.Exclusive)
	for _, entries := range [][]entry{{converts}, {granted, converts}, {converts, granted}} {
		holders, waiters := divide(append(entries, row("52", "WAIT", dialect.Shared)))
		if len(holders) != 1 || holders[0].ID != "51" || holders[0].Mode == dialect.Exclusive {
			t.Errorf("%v: holders %+v", entries, holders)
		}
		if len(waiters) != 2 || waiters[0].ID != "51" || waiters[1].ID != "52" {
			t.Errorf("%v: waiters %+v", entries, waiters)
		}
	}
}

// TestInTheWay has rows that are no entries, and holders who are in nobody's way.
func TestInTheWay(t *testing.T) {
	t.Parallel()
	rows := [][]driver.Value{
		{int64(1)},
		entryRow("0:[a]:(1)", "S", "GRANT", 51, nil),
		entryRow("0:[a]:(1)", "U", "GRANT", 52, nil),
		entryRow("0:[b]:(2)", "X", "GRANT", 53, nil),
	}
	for mode, want := range map[dialect.Mode]int{dialect.Shared: 0, dialect.Update: 1, dialect.Exclusive: 2} {
		if got := inTheWay(rows, dialect.Lock{Name: "a", Mode: mode}); len(got) != want {
			t.Errorf("%v: %+v, want %d", mode, got, want)
		}
	}
}

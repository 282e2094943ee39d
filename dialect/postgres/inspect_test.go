package postgres

import (
	"reflect"
	"testing"
	"time"

	"github.com/lockstep-go/lockstep/dialect"
)

const entriesText = `[
	{"key":"1","sub":1,"mode":"ExclusiveLock","granted":true,"id":"10","label":"owner","user":"u","host":"127.0.0.1","since":"2026-01-02T03:04:05.678901+00:00"},
	{"key":"1","sub":2,"mode":"ExclusiveLock","granted":true,"id":"11","label":"","user":"","host":"","since":null},
	{"key":"1","sub":1,"mode":"ShareLock","granted":false,"id":"11","label":"","user":"","host":"","since":null},
	{"key":"1","sub":2,"mode":"ExclusiveLock","granted":false,"id":"12","label":"","user":"","host":"","since":null},
	{"key":"2","sub":1,"mode":"ShareLock","granted":true,"id":"","label":"","user":"","host":"","since":null},
	{"key":"2","sub":1,"mode":"ShareLock","granted":true,"id":"","label":"","user":"","host":"","since":null},
	{"key":"2","sub":1,"mode":"ShareLock","granted":true,"id":"13","label":"","user":"","host":"","since":null},
	{"key":"2","sub":2,"mode":"ExclusiveLock","granted":true,"id":"13","label":"","user":"","host":"","since":null},
	{"key":"3","sub":1,"mode":"ShareLock","granted":true,"id":"14","label":"","user":"","host":"","since":null},
	{"key":"3","sub":1,"mode":"ExclusiveLock","granted":false,"id":"14","label":"","user":"","host":"","since":null}
]`

// modesOf tells sessions by their modes.
func modesOf(sessions []dialect.Session) map[string]dialect.Mode {
	modes := make(map[string]dialect.Mode)
	for _, s := range sessions {
		modes[s.ID] = s.Mode
	}
	return modes
}

func TestGroup(t *testing.T) {
	t.Parallel()
	entries, err := readEntries(entriesText)
	if err != nil {
		t.Fatal(err)
	}
	byKey, order := group(entries)
	if len(order) != 3 || order[0].Key != "1" || order[1].Key != "2" || order[2].Key != "3" {
		t.Fatalf("order %+v", order)
	}
	type modes = map[string]dialect.Mode
	for key, want := range map[string][2]modes{
		// An Update that has its pair and waits for its key holds nothing yet.
		"1": {modes{"10": dialect.Exclusive}, modes{"11": dialect.Update, "12": dialect.Update}},
		"2": {modes{"": dialect.Shared, "13": dialect.Update}, modes{}},
		// One that strengthens its lock holds and waits.
		"3": {modes{"14": dialect.Shared}, modes{"14": dialect.Exclusive}},
	} {
		got := [2]modes{modesOf(byKey[key].Holders), modesOf(byKey[key].Waiters)}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("key %s: holders and waiters %v, want %v", key, got, want)
		}
	}
	if n := len(byKey["2"].Holders); n != 3 {
		t.Errorf("%d holders, want two prepared transactions and a session", n)
	}
}

func TestEntrySession(t *testing.T) {
	t.Parallel()
	entries, err := readEntries(entriesText)
	if err != nil {
		t.Fatal(err)
	}
	want := dialect.Session{
		ID: "10", Label: "owner", User: "u", Host: "127.0.0.1", Mode: dialect.Exclusive,
		Since: time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC),
	}
	got := entries[0].session()
	if !got.Since.Equal(want.Since) {
		t.Errorf("since %v, want %v", got.Since, want.Since)
	}
	if got.Since = want.Since; got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if hidden := entries[1].session(); !hidden.Since.IsZero() || hidden.Label != "" {
		t.Errorf("what the role may not see: %+v", hidden)
	}
}

func TestReadHolders(t *testing.T) {
	t.Parallel()
	for mode, want := range map[dialect.Mode]int{dialect.Exclusive: 5, dialect.Update: 2, dialect.Shared: 1} {
		if got := readHolders(row{entriesText}, mode); len(got) != want {
			t.Errorf("in the way of %v: %+v, want %d", mode, got, want)
		}
	}
	for _, r := range []row{nil, {"not JSON"}, {"[]"}} {
		if got := readHolders(r, dialect.Exclusive); len(got) != 0 {
			t.Errorf("%q: %+v", r, got)
		}
	}
}

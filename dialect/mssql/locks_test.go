package mssql

import (
	"database/sql/driver"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-go/lockstep/dialect"
)

// TestNotGranted has every status that is no grant. Of these -2 cannot be had
// from a server: an attention ends the batch.
func TestNotGranted(t *testing.T) {
	t.Parallel()
	l := dialect.Lock{Name: "a", Mode: dialect.Exclusive}
	for status, want := range map[int]dialect.Kind{
		-1: dialect.LockTimeout, -2: dialect.Cancelled, -3: dialect.Deadlock, -999: dialect.Refused, -7: dialect.Refused,
	} {
		err := notGranted(l, status, nil, time.Now())
		var refused *dialect.LockError
		if !errors.Is(err, want) || !errors.As(err, &refused) || refused.Lock != l {
			t.Errorf("%d: %v, want %v", status, err, want)
		}
	}
}

func TestReadOutcome(t *testing.T) {
	t.Parallel()
	for _, rows := range [][][]driver.Value{
		nil,
		{{int64(0), int64(0), "0"}},
		{{nil, int64(0), "0", int64(51)}},
		{{int64(0), "0", "0", int64(51)}},
		{{int64(0), int64(0), nil, int64(51)}},
		{{int64(0), int64(0), "0", nil}},
		{{int64(0), int64(1), "0", int64(51)}}, // two locks, one told of
	} {
		if _, _, _, err := readOutcome(rows); err == nil {
			t.Errorf("%v: no error", rows)
		}
		locks := []dialect.Lock{{Name: "a"}, {Name: "b"}}
		if err := (&tx{}).readGrants(&Conn{}, locks, rows, time.Now()); !errors.Is(err, dialect.Unsupported) {
			t.Errorf("%v: %v", rows, err)
		}
	}
	status, at, waited, err := readOutcome([][]driver.Value{{int64(-1), int64(1), "10", int64(51)}})
	if status != -1 || at != 1 || waited != "10" || err != nil {
		t.Errorf("%d, %d, %q, %v", status, at, waited, err)
	}
}

// TestProve has servers whose locks exclude nobody.
func TestProve(t *testing.T) {
	t.Parallel()
	row := func(updateability, mode driver.Value) []driver.Value {
		return []driver.Value{int64(0), int64(0), "0", int64(51), updateability, mode}
	}
	for _, r := range [][]driver.Value{row("READ_ONLY", "Exclusive"), row("READ_WRITE", "NoLock"), row("READ_WRITE", nil)} {
		c := &Conn{}
		if err := c.prove(r); !errors.Is(err, dialect.Unsupported) || c.proven {
			t.Errorf("%v: %v", r, err)
		}
	}
	c := &Conn{}
	if err := c.prove(row("READ_WRITE", "Exclusive")); err != nil || !c.proven {
		t.Errorf("%v", err)
	}
	if err := c.prove(nil); err != nil {
		t.Errorf("asked again: %v", err)
	}
}

// TestWriteLock has limits that are counted from the call and not from the lock's
// turn.
func TestWriteLock(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		place int
		limit time.Duration
		want  string
	}{
		{0, dialect.Forever, "@LockTimeout=-1;"},
		{3, dialect.Forever, "@LockTimeout=-1;"},
		{0, 0, "@LockTimeout=0;"},
		{3, 0, "@LockTimeout=0;"},
		{0, time.Nanosecond, "@LockTimeout=1;"},
		{0, 1500 * time.Millisecond, "@LockTimeout=1500;"},
		{0, 1000 * 24 * time.Hour, "@LockTimeout=2147483647;"},
		{3, time.Second, "SET @l=1000-DATEDIFF(millisecond,@t,SYSUTCDATETIME());IF @l<0 SET @l=0;"},
		{3, time.Second, "@LockTimeout=@l;"},
	} {
		var b strings.Builder
		writeLock(&b, c.place, dialect.Lock{Name: "a", Mode: dialect.Update, Limit: c.limit})
		if got := b.String(); !strings.Contains(got, c.want) || !strings.Contains(got, "@LockMode='Update'") {
			t.Errorf("limit %v: %s, want %s", c.limit, got, c.want)
		}
	}
}

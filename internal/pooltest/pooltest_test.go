package pooltest

import (
	"database/sql"
	"strings"
	"testing"
	"testing/synctest"
)

// fakePool tells one number after the other, and then the last.
type fakePool []int

func (p *fakePool) Stats() sql.DBStats {
	s := sql.DBStats{InUse: (*p)[0]}
	if len(*p) > 1 {
		*p = (*p)[1:]
	}
	return s
}

// reporter keeps what a test would have reported.
type reporter struct {
	testing.TB
	errors []string
}

func (r *reporter) Helper() {}

func (r *reporter) Errorf(format string, _ ...any) { r.errors = append(r.errors, format) }

func TestWantAllBack(t *testing.T) {
	for _, c := range []struct {
		name   string
		pool   fakePool
		leaked bool
	}{
		{"all are back", fakePool{0}, false},
		{"one comes late", fakePool{1, 1, 0}, false},
		{"one never comes", fakePool{1}, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := &reporter{TB: t}
			WantAllBack(r, &c.pool)
			if leaked := strings.Contains(strings.Join(r.errors, ""), "leaked"); leaked != c.leaked {
				t.Errorf("%s: reported %q", c.name, r.errors)
			}
		})
	}
}

package applock

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-go/lockstep/dialect"
)

// isName says by itself what a name may be.
func isName(name string) bool {
	for i, r := range name {
		if r == 0 || r == '\uFFFD' && !strings.HasPrefix(name[i:], "\uFFFD") {
			return false
		}
	}
	return name != ""
}

// FuzzName looks for a name that is taken and should not be, or changed on its
// way to the dialect.
func FuzzName(f *testing.F) {
	for _, name := range []string{"", "tenant:42", "a\x00b", "\xff", "caf\xc3", "\xef", "\ufffd", "naïve 🔒 'quoted\\\"", "\u2028", "\xed\xa0\x80"} {
		f.Add(name, int64(0))
		f.Add(name, int64(-1))
		f.Add(name, int64(time.Hour))
	}
	f.Fuzz(func(t *testing.T, name string, wait int64) {
		for _, l := range []Lock{Exclusive(name), Shared(name), Update(name).Wait(time.Duration(wait)), Exclusive(name).NoWait()} {
			r, err := l.request()
			limited := l.mode == ModeUpdate
			switch {
			case !isName(name):
				if !errors.Is(err, ErrName) {
					t.Errorf("%q: error %v", name, err)
				}
				continue
			case limited && wait < 0:
				if !errors.Is(err, ErrInvalid) {
					t.Errorf("wait of %d: error %v", wait, err)
				}
				continue
			case err != nil:
				t.Errorf("%q: %v", name, err)
				continue
			}
			if r.Name != name || r.Mode != l.Mode() || lock(r) != l {
				t.Errorf("%v became %+v and %v", l, r, lock(r))
			}
			if limited && r.Limit != time.Duration(wait) || !limited && r.Limit != 0 && r.Limit != dialect.Forever {
				t.Errorf("wait of %d became %v", wait, r.Limit)
			}
		}
	})
}

package uow

import (
	"errors"
	"regexp"
	"testing"
)

// aLabel says by itself what a label may be.
var aLabel = regexp.MustCompile(`^[ !#-&(-\[\]-_a-~]{1,63}$`)

// FuzzLabel looks for a label that is taken and should not be, or the reverse.
func FuzzLabel(f *testing.F) {
	for _, label := range []string{"", "orders", "a'b", `a"b`, "a`b", `a\b`, "a\x00", "café", " x ", "\x7f", "~!@#$%^&*()[]{}", "\n"} {
		f.Add(label)
	}
	f.Fuzz(func(t *testing.T, label string) {
		var s settings
		err := Label(label).apply(&s)
		if err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", label, err)
		}
		if taken := err == nil; taken != aLabel.MatchString(label) || taken && s.label != label {
			t.Errorf("%q: label %q, error %v", label, s.label, err)
		}
	})
}

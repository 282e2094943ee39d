//go:build unix

package cli

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// TestNothingIsLeftRunning runs commands within this process, which would show
// what they leave behind.
func TestNothingIsLeftRunning(t *testing.T) {
	defer goleak.VerifyNone(t)
	file := filepath.Join(t.TempDir(), "locks.db")
	for _, test := range []struct {
		args []string
		want int
		text string
	}{
		{[]string{"run", "a", "b", "--", "sh", "-c", "exit 7"}, 7, ""},
		{[]string{"run", "--no-wait", "--shared", "a", "--", "true"}, 0, ""},
		{[]string{"run", "a", "--", "no-such-command"}, exitNotFound, ""},
		{[]string{"status", "a"}, 0, "\"a\" is free\n"},
		{[]string{"end", "--yes", "a"}, 0, "\"a\" is free\n"},
		{[]string{"list", "--json", "a"}, 0, "a"},
	} {
		var out, problems bytes.Buffer
		p := &program{stdin: strings.NewReader(""), stdout: &out, stderr: &problems}
		if code := p.execute(append([]string{"--db", file}, test.args...)); code != test.want {
			t.Errorf("%v: exit code %d, want %d; it has written %q", test.args, code, test.want, &problems)
		}
		if test.text == "a" {
			var locks []shownLock
			if err := json.Unmarshal(out.Bytes(), &locks); err != nil || locks[0].Name != "a" {
				t.Errorf("%v prints %q; error %v", test.args, &out, err)
			}
		} else if out.String() != test.text {
			t.Errorf("%v prints %q", test.args, &out)
		}
	}
}

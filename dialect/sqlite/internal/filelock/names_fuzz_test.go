package filelock

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/lockstep-go/lockstep/dialect"
)

// FuzzFile looks for names that share a file, or whose file is none of a lock.
func FuzzFile(f *testing.F) {
	f.Add("a", "b")
	f.Add("", "\x00")
	f.Add("../../etc/passwd", "state")
	f.Add("sessions", "sessions/")
	f.Add(strings.Repeat("x", 5000), strings.Repeat("x", 5001))
	f.Fuzz(func(t *testing.T, a, b string) {
		const dir = Dir("/some/where")
		fa, fb := dir.File(a), dir.File(b)
		if (fa == fb) != (a == b) {
			t.Errorf("%q and %q have the files %s and %s", a, b, fa, fb)
		}
		base := filepath.Base(fa)
		if filepath.Dir(fa) != string(dir) || len(base) != 64 || strings.Trim(base, "0123456789abcdef") != "" {
			t.Errorf("the file of %q is %s", a, fa)
		}
	})
}

// FuzzRecord puts anything where a session's record should be, as anybody who may
// write to the directory can: it is a record or it is not, and others go on.
func FuzzRecord(f *testing.F) {
	key := keyOf("orders")
	for _, text := range []string{
		"", "{}", "null", `{"id":"one"}`, `{"id":"one","since":"2024-01-01T00:00:00Z","locks":[{"key":"` + key + `","name":"orders","held":3}]}`,
		`{"id":"one","locks":[{"key":"` + key + `","wanted":1,"asked":1},{"key":"` + key + `","held":200}]}`, `{"id":"one","writes":"wants","locks":null}`,
		`{"id":"one","locks":[{"key":"../state","held":-1}]}`, strings.Repeat("[", 10000),
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := Dir(t.TempDir())
		if err := os.MkdirAll(dir.sessions(), 0o700); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir.sessions(), "one")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		r := readRecord(path)
		if r == nil {
			return
		}
		if r.ID != "one" {
			t.Errorf("%q read as the record of %q", text, r.ID)
		}
		r.set(entry{Key: "another", Wanted: dialect.Shared, Asked: 1})
		if e := r.of("another"); e.Wanted != dialect.Shared {
			t.Errorf("not kept: %+v", e)
		}
		_ = status([]*record{r}, key)
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if err := r.write(file); err != nil {
			t.Skip("JSON cannot hold it: a time far away")
		}
		again := readRecord(path)
		if again == nil || !again.Since.Equal(r.Since) {
			t.Fatalf("%q was written and reads as %+v", text, again)
		}
		again.Since = r.Since
		if !reflect.DeepEqual(again, r) {
			t.Errorf("%+v was written and reads as %+v", r, again)
		}
	})
}

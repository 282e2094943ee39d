package filelock

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/lockstep-go/lockstep/dialect"
)

func removeFile(t *testing.T, path string) {
	t.Helper()
	check(t, os.Remove(path))
}

func TestDeadProcess(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	c := spawn(t, d, nil)
	c.holds(t)
	status, err := d.Inspect(t.Context(), []string{"a"})
	check(t, err)
	if len(status[0].Holders) != 1 || status[0].Holders[0].Label != "child" {
		t.Fatalf("%+v", status)
	}
	s := open(t, d, "next")
	waiting := s.waits(t, exclusively("a"))
	check(t, c.Process.Kill())
	check(t, <-waiting)
	status, err = d.Inspect(t.Context(), nil)
	check(t, err)
	if len(status) != 1 || len(status[0].Holders) != 1 || status[0].Name != "a" || status[0].Holders[0].ID != s.ID() {
		t.Errorf("%+v", status)
	}
	left, err := os.ReadDir(d.sessions())
	check(t, err)
	if len(left) != 1 {
		t.Errorf("records left: %v", left)
	}
}

func TestNothingThereIsFree(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	status, err := d.Inspect(t.Context(), []string{"a"})
	check(t, err)
	if len(status) != 1 || status[0].Name != "a" || status[0].Key != d.File("a") || len(status[0].Holders) != 0 {
		t.Errorf("%+v", status)
	}
	if _, err := os.Lstat(string(d)); err == nil {
		t.Error("a question has made the directory")
	}
}

func TestModesOfFiles(t *testing.T) {
	t.Parallel()
	if os.PathSeparator != '/' {
		t.Skip("files have no such modes here")
	}
	d := newDir(t)
	spawn(t, d, nil).holds(t) // its umask is 077
	for path, want := range map[string]os.FileMode{
		string(d): os.ModeDir | dirMode, d.sessions(): os.ModeDir | dirMode,
		d.state(): sharedMode, d.File("a"): sharedMode,
	} {
		info, err := os.Lstat(path)
		check(t, err)
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
	}
}

// TestTraps puts what does harm into the places of files.
func TestTraps(t *testing.T) {
	t.Parallel()
	elsewhere := filepath.Join(t.TempDir(), "precious")
	check(t, os.WriteFile(elsewhere, []byte("as it was"), 0o600))
	for what, trap := range map[string]func(d Dir) error{
		"directory is a link": func(d Dir) error { return os.Symlink(t.TempDir(), string(d)) },
		"directory is a file": func(d Dir) error { return os.WriteFile(string(d), nil, 0o666) },
		"records elsewhere": func(d Dir) error {
			return errors.Join(os.Mkdir(string(d), 0o700), os.Symlink(t.TempDir(), d.sessions()))
		},
		"directory without a sticky bit": func(d Dir) error {
			return errors.Join(d.ensure(), os.Chmod(string(d), 0o777))
		},
		"state is a link": func(d Dir) error {
			return errors.Join(d.ensure(), os.Remove(d.state()), os.Symlink(elsewhere, d.state()))
		},
		"lock is a link":           func(d Dir) error { return errors.Join(d.ensure(), os.Symlink(elsewhere, d.File("a"))) },
		"lock is a link to nobody": func(d Dir) error { return errors.Join(d.ensure(), os.Symlink(elsewhere+"?", d.File("a"))) },
		"lock is a directory":      func(d Dir) error { return errors.Join(d.ensure(), os.Mkdir(d.File("a"), 0o777)) },
		"lock is a pipe":           func(d Dir) error { return errors.Join(d.ensure(), exec.Command("mkfifo", d.File("a")).Run()) },
	} {
		d := newDir(t)
		check(t, trap(d))
		s, err := d.Open(t.Context(), Owner{})
		if err == nil {
			err = s.Acquire(t.Context(), []dialect.Lock{lock("a", dialect.Exclusive, time.Second)}, false)
			check(t, s.Close())
		}
		if !errors.Is(err, dialect.Unsupported) && !errors.Is(err, dialect.Unavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if text, err := os.ReadFile(elsewhere); err != nil || string(text) != "as it was" {
		t.Errorf("written through a link: %q, %v", text, err)
	}
	if _, err := os.Lstat(elsewhere + "?"); err == nil {
		t.Error("made through a link")
	}
}

// TestRecordsOfOthers puts files among the records that are none.
func TestRecordsOfOthers(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	check(t, d.ensure())
	check(t, os.WriteFile(filepath.Join(d.sessions(), "junk"), []byte(`{"id":"another"}`), 0o666))
	check(t, os.WriteFile(filepath.Join(d.sessions(), "cut"), []byte(`{"id":"cut","locks":[{"ke`), 0o666))
	check(t, exec.Command("mkfifo", filepath.Join(d.sessions(), "pipe")).Run())
	check(t, os.Symlink("junk", filepath.Join(d.sessions(), "link")))
	s := open(t, d, "s")
	s.take(t, exclusively("a"))
	status, err := d.Inspect(t.Context(), nil)
	check(t, err)
	if len(status) != 1 || len(status[0].Holders) != 1 {
		t.Errorf("%+v", status)
	}
}

// TestProgramOfTheSystem takes the lock with flock(1), as a script would.
func TestProgramOfTheSystem(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("flock"); err != nil {
		t.Skip("the program flock is not here")
	}
	d := newDir(t)
	s := open(t, d, "s")
	s.take(t, exclusively("a"))
	if exec.Command("flock", "--nonblock", d.File("a"), "true").Run() == nil {
		t.Error("flock got a lock that is held")
	}
	check(t, s.UndoTo(0))
	s.take(t, lock("a", dialect.Shared, 0))
	check(t, exec.Command("flock", "--nonblock", "--shared", d.File("a"), "true").Run())
	check(t, s.UndoTo(0))

	script := exec.Command("flock", d.File("a"), "sh", "-c", "echo holds; read line")
	stdin, err := script.StdinPipe()
	check(t, err)
	stdout, err := script.StdoutPipe()
	check(t, err)
	check(t, script.Start())
	_, err = stdout.Read(make([]byte, 6))
	check(t, err)
	if s.takes(t, "a", dialect.Shared) {
		t.Error("granted beside a script that holds it")
	}
	waiting := s.waits(t, exclusively("a"))
	check(t, stdin.Close())
	check(t, <-waiting)
	_ = script.Wait()
}

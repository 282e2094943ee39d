//go:build unix

package database

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestDefaultMadeByRoot has root, in the home of another user, make what that
// user needs.
func TestDefaultMadeByRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root makes files in the homes of others")
	}
	const user, group = 12001, 12002
	home := t.TempDir()
	if err := os.Chown(home, user, group); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("HOME", home)
	d, err := Choose("")
	if err != nil {
		t.Fatal(err)
	}
	m, closing, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer closing()
	if err := m.DB().PingContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".local", ".local/state", ".local/state/lockstep", ".local/state/lockstep/applock.db"} {
		info, err := os.Stat(filepath.Join(home, name))
		if err != nil {
			t.Fatal(err)
		}
		of, ok := info.Sys().(*syscall.Stat_t)
		if !ok || of.Uid != user || of.Gid != group || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is %v of %d:%d", name, info.Mode(), of.Uid, of.Gid)
		}
	}
}

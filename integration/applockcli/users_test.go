//go:build unix

package applockcli

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// nobody is another user than the one who runs the tests.
const nobody = 65534

// TestUsersShareAFile has root and another user contend for a lock in a file
// that either of them has made, with a umask that lets nobody else near it.
func TestUsersShareAFile(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can be two users")
	}
	for name, first := range map[string]int{"root is first": 0, "another user is first": nobody} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder, err := os.MkdirTemp("", "shared")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(folder) })
			if err := os.Chmod(folder, 0o777|os.ModeSticky); err != nil {
				t.Fatal(err)
			}
			url := filepath.Join(folder, "locks.db")
			startAs(t, first, url, "true").want(0)
			for _, user := range []int{first, nobody - first} {
				holder := startAs(t, user, url, "sh", "-c", "echo held; sleep 1000")
				holder.printed("held")
				other := startAs(t, nobody-user, url, "true")
				start(t, url, "run", "--no-wait", "a", "--", "true").want(75)
				holder.signal(syscall.SIGTERM)
				holder.want(128 + 15)
				other.want(0)
			}
		})
	}
}

// TestReadableFileIsNotEnough has another user try a file in a directory that
// only root may write.
func TestReadableFileIsNotEnough(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can be two users")
	}
	folder, err := os.MkdirTemp("", "readable")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	url := filepath.Join(folder, "locks.db")
	startAs(t, 0, url, "true").want(0)
	wantIn(t, startAs(t, nobody, url, "true").want(69).stderr.String(), "applock: database unavailable: "+url, "cannot write its directory")
}

// startAs starts a command under the lock as a user.
func startAs(t *testing.T, user int, url string, command ...string) *call {
	t.Helper()
	c := &call{t: t, done: make(chan struct{})}
	c.cmd = exec.Command("sh", append([]string{"-c", `umask 077; exec "$0" run a -- "$@"`, program()}, command...)...)
	c.cmd.Dir = "/"
	c.cmd.Env = []string{"LOCKSTEP_DB=" + url, "PATH=" + os.Getenv("PATH")}
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: uint32(user), Gid: uint32(user)}}
	c.run()
	return c
}

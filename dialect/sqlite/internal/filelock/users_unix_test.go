//go:build unix

package filelock

import (
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/lockstep-go/lockstep/dialect"
)

// TestUsers has root and another user take turns at one lock in a directory that
// either of them has made, with a umask that would lock the other one out.
func TestUsers(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can start a process as another user: locks between users are not tested here")
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Skipf("there is no other user to test with: %v", err)
	}
	program := reachableProgram(t)
	asNobody := func(cmd *exec.Cmd) {
		uid, _ := strconv.Atoi(nobody.Uid)
		gid, _ := strconv.Atoi(nobody.Gid)
		cmd.Path, cmd.Dir = program, "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	for first, by := range map[string][]func(*exec.Cmd){
		"root": {nil, asNobody, nil}, "nobody": {asNobody, nil, asNobody},
	} {
		t.Run(first+" comes first", func(t *testing.T) {
			t.Parallel()
			common := publicDir(t, 0o777|os.ModeSticky)
			d := Dir(filepath.Join(common, "test.db.locks"))
			// The first leaves the directory and the lock's file behind.
			c := spawn(t, d, by[0])
			c.holds(t)
			check(t, c.stdin.Close())
			check(t, c.Wait())

			c = spawn(t, d, by[1])
			c.holds(t)
			next := spawn(t, d, by[2])
			waitForWaiter(t, d)
			// Neither may the death of one user's process bar another's.
			check(t, c.Process.Kill())
			next.holds(t)
			check(t, next.stdin.Close())
			check(t, next.Wait())
			if !open(t, d, "last").takes(t, "a", dialect.Exclusive) {
				t.Error("still held")
			}
		})
	}
}

// reachableProgram copies the test's program to where other users can run it.
func reachableProgram(t *testing.T) string {
	t.Helper()
	own, err := os.Executable()
	check(t, err)
	from, err := os.Open(own)
	check(t, err)
	defer from.Close()
	path := filepath.Join(publicDir(t, 0o755), "program")
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
	check(t, err)
	_, err = io.Copy(to, from)
	check(t, err)
	check(t, to.Close())
	return path
}

// publicDir is a directory that every user can reach.
func publicDir(t *testing.T, mode os.FileMode) string {
	t.Helper()
	dir := t.TempDir()
	check(t, os.Chmod(filepath.Dir(dir), 0o755))
	check(t, os.Chmod(dir, mode))
	return dir
}

//go:build unix

package peers

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// openFile opens a lock file, anew with each call.
func openFile(t *testing.T, path string) *os.File {
	t.Helper()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file
}

// tryFlock reports whether the file's lock was to be had.
func tryFlock(t *testing.T, file *os.File) bool {
	t.Helper()
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err != nil && !errors.Is(err, syscall.EWOULDBLOCK) {
		t.Fatal(err)
	}
	return err == nil
}

// What a script leaves running in the background keeps its flock.
func TestFlockIsInherited(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	file := openFile(t, path)
	if !tryFlock(t, file) {
		t.Fatal("not free")
	}
	daemon := exec.Command("cat")
	daemon.ExtraFiles = []*os.File{file}
	input, err := daemon.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil { // so ends the script
		t.Fatal(err)
	}
	if tryFlock(t, openFile(t, path)) {
		t.Error("the lock ended with the script")
	}
	if err := errors.Join(input.Close(), daemon.Wait()); err != nil {
		t.Error(err)
	}
	if !tryFlock(t, openFile(t, path)) {
		t.Error("the lock did not end with the daemon")
	}
}

// Who tidies up a lock file makes way for a second holder.
func TestFlockOfARemovedFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	first := openFile(t, path)
	if !tryFlock(t, first) {
		t.Fatal("not free")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if !tryFlock(t, openFile(t, path)) {
		t.Error("the second was kept out")
	}
}

// tryRecordLock names a file to a process that tries to lock it by fcntl.
const tryRecordLock = "PEERS_TRY_RECORD_LOCK"

func wholeFile() *syscall.Flock_t {
	return &syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart}
}

// recordLocker returns 0 if the file's lock was to be had, and 1 if not.
func recordLocker(path string) int {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 2
	}
	defer file.Close()
	err = syscall.FcntlFlock(file.Fd(), syscall.F_SETLK, wholeFile())
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
		return 1
	}
	if err != nil {
		return 2
	}
	return 0
}

// To close any descriptor of the file drops the locks of the process on it.
func TestFcntlLockIsDroppedByAnyClose(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	file := openFile(t, path)
	if err := syscall.FcntlFlock(file.Fd(), syscall.F_SETLK, wholeFile()); err != nil {
		t.Fatal(err)
	}
	other := func() int {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), tryRecordLock+"="+path)
		_ = cmd.Run()
		return cmd.ProcessState.ExitCode()
	}
	if code := other(); code != 1 {
		t.Errorf("while the lock is held another process ends with %d, want 1", code)
	}
	if _, err := os.ReadFile(path); err != nil { // opens and closes it
		t.Fatal(err)
	}
	if code := other(); code != 0 {
		t.Errorf("after the file was read another process ends with %d, want 0", code)
	}
}

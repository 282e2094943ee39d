//go:build unix

package sqlite

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/lockstep-go/lockstep/dialect"
)

// childVariable holds the database whose lock "a" a process is to hold.
const childVariable = "LOCKSTEP_SQLITE_CHILD"

func TestMain(m *testing.M) {
	if database := os.Getenv(childVariable); database != "" {
		syscall.Umask(0o022)
		if err := holdUntilTold(database); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if database := os.Getenv(writerVariable); database != "" {
		syscall.Umask(0o077)
		if err := writeAndStay(database); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// holdUntilTold holds the lock "a", as applock.Hold does, until its input ends.
func holdUntilTold(database string) error {
	ctx := context.Background()
	db, err := Open(database)
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	tx, err := Dialect().Begin(ctx, conn, dialect.Begin{Locks: exclusively("a"), Idle: true})
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "select 1"); err != nil {
		return err
	}
	fmt.Println("holds")
	_, _ = io.Copy(io.Discard, os.Stdin)
	_, err = tx.Commit(ctx)
	return err
}

// TestUsers has root and another user hold one lock in turn, each with a database
// that the other has made and this one may not write.
func TestUsers(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can start a process as another user: locks between users are not tested here")
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Skipf("there is no other user to test with: %v", err)
	}
	uid, _ := strconv.Atoi(nobody.Uid)
	gid, _ := strconv.Atoi(nobody.Gid)
	program := reachableProgram(t)
	for first, ids := range map[string][]int{"root": {0, uid, 0}, "nobody": {uid, 0, uid}} {
		database := filepath.Join(publicDir(t, 0o777|os.ModeSticky), first+".db")
		for _, id := range ids {
			group := gid
			if id == 0 {
				group = 0
			}
			holdAs(t, program, database, id, group)
		}
	}
}

// holdAs has a process of a user hold the lock, and looks that it does.
func holdAs(t *testing.T, program, database string, uid, gid int) {
	t.Helper()
	cmd := exec.Command(program, "-test.run=^$")
	cmd.Env, cmd.Dir = append(os.Environ(), childVariable+"="+database), "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	stdin, err := cmd.StdinPipe()
	check(t, err)
	stdout, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	said := make([]byte, 1000)
	n, _ := stdout.Read(said)
	if string(said[:n]) != "holds\n" {
		t.Errorf("user %d said %q", uid, said[:n])
	}
	status, err := newPlace(database).locks.Inspect(t.Context(), []string{"a"})
	check(t, err)
	if len(status[0].Holders) != 1 {
		t.Errorf("user %d: %+v", uid, status)
	}
	check(t, stdin.Close())
	check(t, cmd.Wait())
}

// reachableProgram copies the test's program to where other users can run it.
func reachableProgram(t *testing.T) string {
	t.Helper()
	own, err := os.Executable()
	check(t, err)
	text, err := os.ReadFile(own)
	check(t, err)
	path := filepath.Join(publicDir(t, 0o755), "program")
	check(t, os.WriteFile(path, text, 0o755))
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

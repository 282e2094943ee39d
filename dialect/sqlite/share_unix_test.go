//go:build unix

package sqlite

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/lockstep-go/lockstep/dialect"
)

// writerVariable holds the database that a process is to write.
const writerVariable = "LOCKSTEP_SQLITE_WRITER"

// writeAndStay adds a row under a lock and keeps the database open until its
// input ends. It never closes it, so that the files beside it stay.
func writeAndStay(database string) error {
	db, err := Open(database, ShareWithDirectory())
	if err != nil {
		return err
	}
	conn, err := db.Conn(context.Background())
	if err != nil {
		return err
	}
	tx, err := Dialect().Begin(context.Background(), conn, dialect.Begin{Locks: exclusively("a")})
	if err != nil {
		return err
	}
	for _, statement := range []string{"create table if not exists t (id integer primary key)", "insert into t default values"} {
		if _, err := tx.Exec(context.Background(), statement); err != nil {
			return err
		}
	}
	if _, err := tx.Commit(context.Background()); err != nil {
		return err
	}
	fmt.Println("wrote")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// someone is a user, with a group of his own and one more.
type someone struct{ uid, common uint32 }

// writeAs starts a process of a user, with a umask of 077, that writes the
// database and stays until it is told.
func writeAs(t *testing.T, program, database string, who someone) (quit func()) {
	t.Helper()
	cmd := exec.Command(program, "-test.run=^$")
	cmd.Env, cmd.Dir = append(os.Environ(), writerVariable+"="+database), "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{
		Uid: who.uid, Gid: who.uid, Groups: []uint32{who.common},
	}}
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	check(t, err)
	stdout, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	quit = func() { _ = errors.Join(stdin.Close(), cmd.Wait()) }
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || line != "wrote\n" {
		t.Errorf("user %d said %q, %v", who.uid, line, err)
	}
	return quit
}

// TestSharedDatabase has two users write one database in turn, and side by side,
// with the files that the other has left or has open.
func TestSharedDatabase(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can start a process as another user: databases of several users are not tested here")
	}
	const staff = 12345
	root, anna, otto := someone{0, 0}, someone{12001, staff}, someone{12002, staff}
	program := reachableProgram(t)
	for name, c := range map[string]struct {
		owner, group int
		mode         os.FileMode
		users        [2]someone
		file         os.FileMode
	}{
		"everybody's directory":       {0, 0, 0o777, [2]someone{anna, otto}, 0o666},
		"a sticky directory":          {0, 0, 0o777 | os.ModeSticky, [2]someone{anna, otto}, 0o666},
		"root in a sticky directory":  {0, 0, 0o777 | os.ModeSticky, [2]someone{root, otto}, 0o666},
		"after root, in a sticky one": {0, 0, 0o777 | os.ModeSticky, [2]someone{otto, root}, 0o666},
		"root in a user's directory":  {12001, 12001, 0o700, [2]someone{root, anna}, 0o600},
		"root after the user":         {12001, 12001, 0o700, [2]someone{anna, root}, 0o600},
		"a group's directory":         {0, staff, 0o770 | os.ModeSetgid, [2]someone{anna, otto}, 0o660},
		"root in a group's directory": {0, staff, 0o770 | os.ModeSetgid, [2]someone{root, otto}, 0o660},
		"a group's sticky directory":  {0, staff, 0o770 | os.ModeSetgid | os.ModeSticky, [2]someone{anna, otto}, 0o660},
		"root without the setgid bit": {0, staff, 0o770, [2]someone{root, otto}, 0o660},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.mode&os.ModeSticky != 0 && protectedRegular() != "0" {
				t.Skip("fs.protected_regular keeps users from the files of others in a sticky directory")
			}
			folder := publicDir(t, 0o755)
			check(t, os.Chown(folder, c.owner, c.group))
			check(t, os.Chmod(folder, c.mode))
			database := filepath.Join(folder, "app.db")
			first := writeAs(t, program, database, c.users[0])
			second := writeAs(t, program, database, c.users[1])
			first()
			writeAs(t, program, database, c.users[0])()
			second()
			writeAs(t, program, database, c.users[1])()
			for _, ext := range []string{"", "-wal", "-shm"} {
				info, err := os.Stat(database + ext)
				check(t, err)
				if info.Mode() != c.file {
					t.Errorf("%s has mode %v, want %v", database+ext, info.Mode(), c.file)
				}
			}
			wantRows(t, openFile(t, database), 4)
		})
	}
}

// protectedRegular is the kernel's setting, "0" where it has none.
func protectedRegular() string {
	text, err := os.ReadFile("/proc/sys/fs/protected_regular")
	if err != nil {
		return "0"
	}
	return strings.TrimSpace(string(text))
}

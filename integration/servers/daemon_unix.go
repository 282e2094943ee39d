//go:build unix

package servers

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// A daemon is a server program that this process started. Its parent is a
// shell that reads a pipe from this process: when the pipe ends, because stop
// closed it or because this process is gone, even by SIGKILL, the shell ends
// the program and removes its folder. That works alike on every Unix; the
// death signal of Linux would neither remove the folder nor survive the end of
// the thread that started the program.
type daemon struct {
	dir      string
	shell    *exec.Cmd
	lifeline io.WriteCloser
	ended    chan struct{} // closed when the program's last process is gone
}

// guard is the shell's program. Its arguments are the signal that ends the
// server, the server's folder, and the server's command line.
//
// Descriptor 3 is a pipe to this process that the server's processes inherit
// and the shell closes, so its end says that all of them are gone. The signal
// is repeated because a server may not have installed its handlers yet.
const guard = `
signal=$1 dir=$2
shift 2
"$@" >>"$dir/log" 2>&1 </dev/null &
server=$!
exec 3>&-
read -r word
tries=0
while [ $tries -lt 50 ] && kill -"$signal" $server 2>/dev/null; do
	sleep 0.1
	tries=$((tries + 1))
done
kill -KILL $server 2>/dev/null
wait $server
[ "$word" = keep ] || rm -rf "$dir"
`

// startDaemon runs the command line in dir, a folder that newDaemonDir made,
// and returns at once. signal is what ends the program, such as "TERM". What
// the program prints goes to the file log in dir.
func startDaemon(dir, signal string, argv ...string) (*daemon, error) {
	ended, inherited, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer inherited.Close()
	shell := exec.Command("/bin/sh", append([]string{"-c", guard, "lockstep-guard", signal, dir}, argv...)...)
	shell.Dir, shell.Env = dir, serverEnvironment()
	shell.ExtraFiles = []*os.File{inherited}
	// Its own process group keeps an interrupt typed at the terminal from the
	// shell, which must outlive this process.
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: serverUser()}
	lifeline, err := shell.StdinPipe()
	if err == nil {
		err = shell.Start()
	}
	if err != nil {
		return nil, errors.Join(err, ended.Close())
	}
	d := &daemon{dir: dir, shell: shell, lifeline: lifeline, ended: make(chan struct{})}
	go d.watch(ended)
	return d, nil
}

// watch closes d.ended when the program's last process has closed the pipe.
func (d *daemon) watch(pipe *os.File) {
	defer close(d.ended)
	defer pipe.Close()
	_, _ = io.Copy(io.Discard, pipe)
}

// stop ends the program, waits for it, and removes its folder.
func (d *daemon) stop() error {
	return d.end("")
}

// pause ends the program and waits for it, but keeps its folder for another
// startDaemon.
func (d *daemon) pause() error {
	return d.end("keep\n")
}

// end sends the shell its last word and waits for it.
func (d *daemon) end(word string) error {
	_, err := io.WriteString(d.lifeline, word)
	err = errors.Join(err, d.lifeline.Close())
	// How the program exited is of no interest: it was told to by a signal.
	var exited *exec.ExitError
	if wait := d.shell.Wait(); !errors.As(wait, &exited) {
		err = errors.Join(err, wait)
	}
	<-d.ended
	return err
}

// crash tells whether the program ended by itself, with the last line of its
// log; nil means that it runs. It is asked before stop or pause.
func (d *daemon) crash() error {
	select {
	case <-d.ended:
		return d.explain(errEndedByItself)
	default:
		return nil
	}
}

// errEndedByItself is returned when a server that was to run until it was
// stopped did not.
var errEndedByItself = errors.New("ended by itself")

// explain adds the last line of the program's log to err.
func (d *daemon) explain(err error) error {
	text, readErr := os.ReadFile(filepath.Join(d.dir, "log"))
	if readErr != nil {
		return err
	}
	return withLastLine(err, string(text))
}

// newDaemonDir makes a temporary folder that the server's user owns.
func newDaemonDir(name string) (string, error) {
	dir, err := os.MkdirTemp("", "lockstep-"+name+"-")
	if err != nil {
		return "", err
	}
	if owner := serverUser(); owner != nil {
		err = os.Chown(dir, int(owner.Uid), int(owner.Gid))
	}
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return dir, nil
}

// writeServerFile writes a file that the server's user alone can read.
func writeServerFile(path, text string) error {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	if owner := serverUser(); owner != nil {
		return os.Chown(path, int(owner.Uid), int(owner.Gid))
	}
	return nil
}

// serverEnvironment is this process's without the variables that PostgreSQL's
// programs read, which may speak of some other server.
func serverEnvironment() []string {
	var environment []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "PG") && !strings.HasPrefix(variable, "LC_") {
			environment = append(environment, variable)
		}
	}
	return append(environment, "LC_ALL=C")
}

// serverUser is whom servers run as where this process is root, which both
// PostgreSQL and PgBouncer refuse to be; nil means as this process's user.
func serverUser() *syscall.Credential {
	if os.Geteuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		if credential := lookupCredential(name); credential != nil {
			return credential
		}
	}
	return nil
}

// lookupCredential finds a user by name; nil means there is none.
func lookupCredential(name string) *syscall.Credential {
	found, err := user.Lookup(name)
	if err != nil {
		return nil
	}
	uid, errUID := strconv.ParseUint(found.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(found.Gid, 10, 32)
	if errUID != nil || errGID != nil {
		return nil
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

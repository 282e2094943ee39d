package filelock

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lockstep-go/lockstep/dialect"
)

// Modes of what is made here, whatever the umask: who can reach the directory
// can take its locks. The sticky bit keeps users from removing the files of
// others.
const (
	dirMode    = 0o777 | fs.ModeSticky
	sharedMode = 0o666
	recordMode = 0o644
)

// ensure makes the directory unless it is there. It appears complete, with its
// modes, or not at all.
func (d Dir) ensure() error {
	err := d.check()
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	draft, err := os.MkdirTemp(filepath.Dir(string(d)), "."+filepath.Base(string(d))+"-")
	if err != nil {
		return unavailable(err)
	}
	defer os.RemoveAll(draft) // gone if it was put in its place
	if err := Dir(draft).fill(); err != nil {
		return unavailable(err)
	}
	// Where another process was faster, its directory is not empty.
	if err := os.Rename(draft, string(d)); err != nil && d.check() != nil {
		return unavailable(err)
	}
	return d.check()
}

func (d Dir) fill() error {
	if err := os.Mkdir(d.sessions(), 0o700); err != nil {
		return err
	}
	if err := create(d.state(), sharedMode); err != nil {
		return err
	}
	return errors.Join(os.Chmod(d.sessions(), dirMode), os.Chmod(string(d), dirMode))
}

// check refuses a directory in which others could put away the locks.
func (d Dir) check() error {
	for _, path := range []string{string(d), d.sessions()} {
		info, err := os.Lstat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return err
		case err != nil:
			return unavailable(err)
		case !info.IsDir():
			return unsafe(path, "is not a directory")
		case worldWritable(info) && info.Mode()&fs.ModeSticky == 0:
			return unsafe(path, "lets everybody remove the locks of others: it needs the sticky bit (chmod +t)")
		}
	}
	return nil
}

func unsafe(path, why string) error {
	return &dialect.Error{Kind: dialect.Unsupported, Detail: fmt.Sprintf("%s %s", path, why)}
}

func unavailable(err error) error {
	return &dialect.Error{Kind: dialect.Unavailable, Detail: "lock files", Err: err}
}

// create makes an empty file that was not there, with its mode whatever the
// umask.
func create(path string, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(mode), f.Close())
}

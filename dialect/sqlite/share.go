package sqlite

import (
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
)

// ShareWithDirectory has a database that is missing made for the users whom its
// directory is for, whatever the umask: with the directory's permissions to read
// and write, and its group. If root makes it, it belongs to the owner of the
// directory. The files that SQLite keeps beside it get the same permissions, but
// their group from who comes first, unless the directory has the setgid bit. A
// database that is there stays as it is.
//
// Without this option a database is made as any other file of the process: under
// a umask of 077 no other user can open it.
func ShareWithDirectory() OpenOption {
	return func(o *opening) { o.share = true }
}

// shareable takes from the parameters whether a missing file is to be made, and
// leaves that to makeShared: in a sticky directory the kernel may refuse to open
// the file of another user if it is asked to make it where it is missing.
func shareable(params url.Values) bool {
	if mode := params.Get("mode"); mode != "" && mode != "rwc" {
		return false
	}
	params.Set("mode", "rw")
	return true
}

// makeShared makes an empty file, which is an empty database, unless there is
// one. It appears with its permissions or not at all.
func makeShared(path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	folder, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	draft, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	defer os.Remove(draft.Name())
	inherit(draft, folder)
	err = errors.Join(draft.Chmod(folder.Mode().Perm()&0o666), draft.Close())
	if err != nil {
		return err
	}
	// Unlike a rename it puts away no file of another who was faster.
	if err := os.Link(draft.Name(), path); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

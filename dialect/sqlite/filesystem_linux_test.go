package sqlite

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lockstep-go/lockstep/dialect"
)

// TestFilesystemsByNumber gives the numbers that the kernel gives.
func TestFilesystemsByNumber(t *testing.T) {
	t.Parallel()
	for kind, want := range map[int64]string{
		0x6969:     "NFS",
		0xff534d42: "CIFS",
		-11317950:  "CIFS", // the same, in 32 bits
		0xfe534d42: "SMB2",
		0x01021997: "9P",
		0x65735546: "FUSE",
		0x00c36400: "Ceph",
		0x0bd00bd0: "Lustre",
		0xef53:     "", // ext4
		0x58465342: "", // XFS
		0x9123683e: "", // Btrfs
		0x2fc12fc1: "", // ZFS
		0x01021994: "", // tmpfs
		0x794c7630: "", // overlayfs
		0:          "",
	} {
		if got := remoteFilesystem(kind); got != want {
			t.Errorf("%#x is %q, want %q", kind, got, want)
		}
	}
}

func TestRemoteFilesystemIsRefused(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "app.db")
	var asked string
	on := func(o *opening) {
		o.remote = func(dir string) string {
			asked = dir
			return "NFS"
		}
	}
	_, err := Open(file, on)
	wantIs(t, err, dialect.Unsupported)
	if err == nil || !strings.Contains(err.Error(), "NFS") || asked != filepath.Dir(file) {
		t.Errorf("asked for %s, error %v", asked, err)
	}
	db, err := Open(file, on, AllowNetworkFilesystem())
	check(t, err)
	check(t, db.Close())
	if name := remote(filepath.Join(t.TempDir(), "missing")); name != "" {
		t.Errorf("a directory that is missing is on %s", name)
	}
}

// TestFUSE mounts a real file system of that kind.
func TestFUSE(t *testing.T) {
	t.Parallel()
	mounted := mountFUSE(t)
	file := filepath.Join(mounted, "app.db")
	_, err := Open(file)
	wantIs(t, err, dialect.Unsupported)
	if err == nil || !strings.Contains(err.Error(), "FUSE") {
		t.Error(err)
	}
	// Links are followed before it is asked.
	link := filepath.Join(t.TempDir(), "link")
	check(t, os.Symlink(mounted, link))
	_, err = Open(filepath.Join(link, "app.db"))
	wantIs(t, err, dialect.Unsupported)

	db, err := Open(file, AllowNetworkFilesystem())
	check(t, err)
	defer db.Close()
	mustExec(t, db, "create table t (id integer primary key)")
	tx, conn := begin(t, db, dialect.Begin{Locks: exclusively("a")})
	check(t, run(t, tx, "insert into t default values"))
	outcome, err := commit(t, tx)
	if outcome != dialect.Committed {
		t.Error(outcome, err)
	}
	check(t, conn.Close())
	wantRows(t, db, 1)
}

// mountFUSE mounts a directory over itself by a program, if that is to be had.
func mountFUSE(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("fuse-overlayfs")
	if err != nil || os.Getuid() != 0 {
		t.Skip("root and the program fuse-overlayfs are needed: no file system of FUSE is tested here")
	}
	dir := t.TempDir()
	for _, name := range []string{"lower", "upper", "work", "mounted"} {
		check(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	mounted := filepath.Join(dir, "mounted")
	options := "lowerdir=" + dir + "/lower,upperdir=" + dir + "/upper,workdir=" + dir + "/work"
	if said, err := exec.Command(program, "-o", options, mounted).CombinedOutput(); err != nil {
		t.Skipf("FUSE cannot be mounted here: %v, %s", err, said)
	}
	t.Cleanup(func() {
		if said, err := exec.CommandContext(context.Background(), "umount", mounted).CombinedOutput(); err != nil {
			t.Errorf("%v, %s", err, said)
		}
	})
	return mounted
}

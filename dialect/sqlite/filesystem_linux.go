package sqlite

import "syscall"

// remoteFilesystems are those whose locks may mean nothing to other hosts, or to
// this one, by the numbers of statfs(2).
var remoteFilesystems = map[uint32]string{
	0x6969:     "NFS",
	0x517b:     "SMB",
	0xff534d42: "CIFS",
	0xfe534d42: "SMB2",
	0x01021997: "9P",
	0x65735546: "FUSE",
	0x00c36400: "Ceph",
	0x5346414f: "AFS",
	0x6b414653: "AFS",
	0x73757245: "Coda",
	0x564c:     "NCP",
	0x01161970: "GFS2",
	0x7461636f: "OCFS2",
	0x0bd00bd0: "Lustre",
	0x47504653: "GPFS",
	0x20030528: "OrangeFS",
	0x19830326: "BeeGFS",
	0xaad7aaea: "PanFS",
	0xbeefdead: "StorNext",
	0x786f4256: "VirtualBox shared folder",
	0xbacbacbc: "VMware shared folder",
	0x7c7c6673: "Parallels shared folder",
}

// remote returns the name of the file system that dir is on, if it is one whose
// locks are not to be relied upon.
func remote(dir string) string {
	var s syscall.Statfs_t
	if syscall.Statfs(dir, &s) != nil {
		return "" // whatever is wrong will show when the database is opened
	}
	return remoteFilesystem(int64(s.Type))
}

// remoteFilesystem names a type of file system as statfs(2) tells it: a signed
// number where the machine's words have 32 bits.
func remoteFilesystem(kind int64) string { return remoteFilesystems[uint32(kind)] }

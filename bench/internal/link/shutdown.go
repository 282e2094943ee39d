package link

import (
	"os"
	"syscall"
)

// shutdown ends both streams of a socket, which wakes a thread that reads it.
// Its error says that the socket is gone already.
func shutdown(file *os.File) {
	conn, err := file.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Control(func(fd uintptr) { _ = syscall.Shutdown(int(fd), syscall.SHUT_RDWR) })
}

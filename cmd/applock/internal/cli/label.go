package cli

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"

	"github.com/lockstep-go/lockstep/uow"
)

// defaultLabel tells others who holds the lock: user@host command[pid].
func defaultLabel(command string) string {
	name := "?"
	if u, err := user.Current(); err == nil {
		name = filepath.Base(strings.ReplaceAll(u.Username, `\`, "/"))
	}
	host, err := os.Hostname()
	if err != nil {
		host = "?"
	}
	host, _, _ = strings.Cut(host, ".")
	return fit(fmt.Sprintf("%s@%s %s", name, host, filepath.Base(command)), fmt.Sprintf("[%d]", os.Getpid()))
}

// fit makes a label that the library takes: its characters, and its length at
// the cost of the head.
func fit(head, tail string) string {
	plain := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || strings.ContainsRune("'\"\\`", r) {
			return '?'
		}
		return r
	}, head)
	return plain[:min(len(plain), uow.MaxLabel-len(tail))] + tail
}

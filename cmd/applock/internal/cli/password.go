package cli

import (
	"os"
	"strings"

	"github.com/lockstep-go/lockstep/cmd/applock/internal/database"
)

// A URL that was moved out of the arguments is in this variable until it is
// read, and moved is in its place.
const (
	movedVariable = "APPLOCK_MOVED_DB"
	moved         = "(hidden)"
)

// takePassword hides a --db with a password in it from the list of processes:
// it starts this program anew in the same process with the URL in the
// environment, which others cannot read, and returns that URL the second time.
// Of several it is the last, as of all flags that are given twice.
// Nothing that is started later inherits it.
func takePassword(args []string) (address string, err error) {
	if address = os.Getenv(movedVariable); address != "" {
		return address, os.Unsetenv(movedVariable)
	}
	rest, address := withoutPassword(args)
	if address == "" {
		return "", nil
	}
	return "", again(rest, append(os.Environ(), movedVariable+"="+address))
}

// withoutPassword replaces the value of --db in the arguments, if it has a
// password, and returns it; else the empty string.
func withoutPassword(args []string) (rest []string, address string) {
	rest = make([]string, 0, len(args))
	for i := 0; i < len(args); i++ {
		value, joined := strings.CutPrefix(args[i], "--db=")
		switch {
		case args[i] == "--":
			return append(rest, args[i:]...), address
		case joined && database.Secret(value):
			address = value
			rest = append(rest, "--db="+moved)
		case args[i] == "--db" && i+1 < len(args) && database.Secret(args[i+1]):
			address = args[i+1]
			rest = append(rest, "--db", moved)
			i++
		default:
			rest = append(rest, args[i])
		}
	}
	return rest, address
}

// Command applock runs programs under named locks of a database, and shows and
// ends locks.
//
//	applock run deploy -- ./deploy.sh
//
// docs/applock.md in this module's repository is its documentation, and
// applock --help.
package main

import (
	"os"

	"github.com/lockstep-go/lockstep/cmd/applock/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args)) }

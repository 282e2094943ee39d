// Command chaos runs units of work against a real server while everything around
// them breaks, and checks what became of them; see package integration/chaos.
//
//	chaos [-stage faults] [-duration 1m] [-seed 1] [-kind "one lock"]
//
// It exits with code 0 if no promise was found broken, 3 if one was, and 1 if the
// run could not be made or shows nothing. All stages but mssql and sqlite need PostgreSQL's programs
// on this machine.
package main

import (
	"os"

	"github.com/lockstep-go/lockstep/integration/chaos"
)

func main() {
	chaos.Worker()
	os.Exit(chaos.Main(os.Args[1:], os.Stdout, os.Stderr))
}

package chaos

// Exit codes of Main.
const (
	exitClean   = 0
	exitTrouble = 1 // the run could not be made, or shows nothing
	exitUsage   = 2
	exitBreach  = 3 // the checker found a promise broken
)

// Package applockcli holds the tests of the applock command, as the processes
// that its users start, on real servers.
package applockcli

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/cmd/applock/internal/database"
	"github.com/lockstep-go/lockstep/cmd/applock/internal/process"
	"github.com/lockstep-go/lockstep/dialect"
)

// Exit codes of applock itself. From 64 on they are those of sysexits.h, and
// 126 and 127 a shell's.
const (
	exitDone        = 0
	exitNo          = 1
	exitUsage       = 64
	exitUnavailable = 69
	exitSoftware    = 70
	exitLost        = 74
	exitNotGranted  = 75
	exitForbidden   = 77
	exitNotRunnable = 126
	exitNotFound    = 127
)

// An exitCode is a line of the table of exit codes.
type exitCode struct{ code, meaning string }

// exitCodes is the table, for the help and the documentation.
func exitCodes() []exitCode {
	return []exitCode{
		{"0", "done; of status: the lock is free"},
		{"1", "of status: the lock is held; of end: the answer was no, or the lock is still held"},
		{"64", "the command line is wrong (EX_USAGE)"},
		{"69", "the database cannot be used (EX_UNAVAILABLE)"},
		{"70", "another error (EX_SOFTWARE)"},
		{"74", "the lock was lost before the command had ended (EX_IOERR)"},
		{"75", "the lock was not obtained; the command was not run (EX_TEMPFAIL)"},
		{"77", "the database's user may not do that (EX_NOPERM)"},
		{"126", "the command cannot be run"},
		{"127", "there is no such command"},
		{"128+n", "signal n ended the command, or applock while it waited"},
		{"other", "the command's own exit code"},
	}
}

// A failure is an error with the exit code that tells it.
type failure struct {
	code int
	err  error
}

// Error returns the error's text, empty where the code says it all.
func (f *failure) Error() string {
	if f.err == nil {
		return ""
	}
	return f.err.Error()
}

// Unwrap returns the error.
func (f *failure) Unwrap() error { return f.err }

// exit is a failure that needs no words; nil for 0.
func exit(code int) error {
	if code == exitDone {
		return nil
	}
	return &failure{code: code}
}

// usage is a failure of whoever wrote the command line.
func usage(format string, args ...any) error {
	return &failure{exitUsage, fmt.Errorf(format, args...)}
}

// classify gives an error of the library or the database its exit code.
func classify(err error) error {
	var known *failure
	if err == nil || errors.As(err, &known) {
		return err
	}
	return &failure{codeOf(err), err}
}

func codeOf(err error) int {
	var notStarted *process.NotStartedError
	var received *signalError
	switch {
	case errors.As(err, &notStarted) && !notStarted.Found:
		return exitNotFound
	case errors.As(err, &notStarted):
		return exitNotRunnable
	case errors.As(err, &received):
		return process.SignalCode(received.signal)
	case errors.Is(err, applock.ErrTimeout):
		return exitNotGranted
	case errors.Is(err, applock.ErrName), errors.Is(err, applock.ErrInvalid),
		errors.Is(err, database.ErrAddress), errors.Is(err, database.ErrNone):
		return exitUsage
	case errors.Is(err, database.ErrNotPermitted):
		return exitForbidden
	case dialect.KindOf(err) != dialect.Unknown, errors.Is(err, context.DeadlineExceeded), errors.Is(err, database.ErrCannotEnd):
		return exitUnavailable
	}
	return exitSoftware
}

// signalError is the end by a signal before the command had begun.
type signalError struct{ signal os.Signal }

// Error names the signal.
func (e *signalError) Error() string { return "ended by a signal (" + e.signal.String() + ")" }

// oneLine is an error's text without line breaks and control characters.
func oneLine(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case b.Len() == 0 || line == "":
		case strings.HasSuffix(b.String(), ":"):
			b.WriteString(" ")
		default:
			b.WriteString("; ")
		}
		b.WriteString(line)
	}
	return printable(b.String())
}

// printable replaces what would move the cursor of a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, text)
}

package link

import (
	"time"

	"golang.org/x/sys/unix"
)

// sleepUntil sleeps on the calling thread. Go's timers are of no use here: an
// idle scheduler waits for them in steps of a millisecond.
func sleepUntil(due time.Time) {
	for remaining := time.Until(due); remaining > 0; remaining = time.Until(due) {
		ts := unix.NsecToTimespec(remaining.Nanoseconds())
		// It is repeated when a signal cuts it short.
		_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &ts, nil)
	}
}

// sharpen takes the slack off this thread's timers, which is 50 µs otherwise.
func sharpen() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) }

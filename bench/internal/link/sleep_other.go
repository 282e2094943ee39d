//go:build !linux

package link

import "time"

// sleepUntil is as coarse as the system's timers; what came of it is measured
// and reported.
func sleepUntil(due time.Time) { time.Sleep(time.Until(due)) }

func sharpen() {}

package results

import (
	"fmt"
	"time"
)

// works are the kinds of work in the order of the report, and what each is.
var works = []struct{ name, title, what string }{
	{"save", "Save one row", "a transaction that inserts one row"},
	{"lock", "Save under one lock", "the same, holding one named lock from before the insert"},
	{"three-locks", "Save under three locks", "the same, holding three, which those by hand and other libraries take by one statement"},
	{"cycle", "Lock cycle", "one lock taken and given back, and nothing else"},
	{"nested", "Nested save", "two repositories, each of which begins a unit by itself, within one transaction: an insert and an update"},
	{"read", "Read-only unit", "one row read in a read-only transaction"},
	{"names", "Many names", "lock cycles by 8 goroutines at once, each over another name until 10,000 have been used; time divided by all that was done"},
	{"one-hot-name", "64 goroutines, one lock", "64 goroutines save under one lock, on a pool of 8 that two others use to save without a lock"},
	{"fifty-hot-names", "200 goroutines, fifty locks", "the same with 200 goroutines and fifty locks"},
}

// Title is a work's name for readers.
func Title(work string) string {
	for _, w := range works {
		if w.name == work {
			return w.title
		}
	}
	return work
}

// DelayText is a time in milliseconds.
func DelayText(d time.Duration) string {
	return fmt.Sprintf("%.3g ms", float64(d)/float64(time.Millisecond))
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

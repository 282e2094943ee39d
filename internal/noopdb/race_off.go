//go:build !race

package noopdb

// RaceDetector tells that the race detector is built in, with which allocations
// and memory tell nothing of the library.
const RaceDetector = false

package gate

import (
	"testing"
	"testing/synctest"
)

// TestUnprovenLock has readers come while none inside has the lock yet: a unit of
// another process may hold it, and each that waits for the server has a connection.
func TestUnprovenLock(t *testing.T) {
	inBubble(t, func(b *bubble) {
		room := Request{Name: "a", Mode: Shared, Limit: forever, Room: func(int) bool { return true }}
		var readers []*entrant
		for range 5 {
			readers = append(readers, b.entersWith(room))
		}
		b.want("before the first has the lock", 2, readers...)
		readers[0].pass.Granted("the first")
		synctest.Wait()
		b.want("after it", 5, readers...)
		for _, e := range readers {
			e.leaves()
		}
		if n := b.Len(); n != 0 {
			b.Errorf("%d gates left", n)
		}
	})
}

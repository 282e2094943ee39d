package filelock

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/lockstep-go/lockstep/dialect"
)

func TestTimeoutNamesHolders(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	holder, asker := open(t, d, "holder"), open(t, d, "asker")
	holder.take(t, exclusively("a"))
	err := asker.Acquire(t.Context(), []dialect.Lock{exclusively("b"), lock("a", dialect.Shared, 20*time.Millisecond)}, false)
	var failed *dialect.LockError
	if !errors.As(err, &failed) || !errors.Is(err, dialect.LockTimeout) || failed.Waited < 20*time.Millisecond ||
		len(failed.Holders) != 1 || failed.Holders[0].ID != holder.ID() || failed.Holders[0].Label != "holder" {
		t.Fatalf("%#v", err)
	}
	status, err := d.Inspect(t.Context(), []string{"a", "b"})
	check(t, err)
	if len(status[0].Waiters)+len(status[1].Holders) != 0 {
		t.Errorf("left behind: %+v", status)
	}
	if !holder.takes(t, "b", dialect.Exclusive) {
		t.Error("a set that failed keeps a lock")
	}
}

func TestCancelledWaitIsTakenBack(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	holder, asker := open(t, d, "holder"), open(t, d, "asker")
	holder.take(t, lock("a", dialect.Shared, 0))
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(20*time.Millisecond, func() { cancel(enough) })
	if err := asker.Acquire(ctx, []dialect.Lock{exclusively("a")}, false); !errors.Is(err, enough) {
		t.Error(err)
	}
	// Nobody stands behind one who waits no more.
	if !open(t, d, "next").takes(t, "a", dialect.Shared) {
		t.Error("still in line")
	}
}

func TestLineIsFirstComeFirstServed(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	holder := open(t, d, "holder")
	holder.take(t, lock("a", dialect.Shared, 0))
	writer := open(t, d, "writer")
	written := writer.waits(t, exclusively("a"))
	if open(t, d, "reader").takes(t, "a", dialect.Shared) {
		t.Error("a reader went before a writer that waits")
	}
	late := open(t, d, "late")
	read := late.waits(t, lock("a", dialect.Shared, dialect.Forever))
	check(t, holder.Close())
	check(t, <-written)
	select {
	case err := <-read:
		t.Fatalf("beside the writer: %v", err)
	case <-time.After(3 * lookClose):
	}
	check(t, writer.Close())
	check(t, <-read)
}

// TestTwoUpgraders has two readers that both want to write: each waits for the
// other. The one that comes second is told, and the first goes on without ever
// having lost what it had.
func TestTwoUpgraders(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	first, second := open(t, d, "first"), open(t, d, "second")
	first.take(t, lock("a", dialect.Shared, 0))
	second.take(t, lock("a", dialect.Shared, 0))
	upgraded := first.waits(t, exclusively("a"))
	err := second.Acquire(t.Context(), []dialect.Lock{exclusively("a")}, false)
	if !errors.Is(err, dialect.Deadlock) {
		t.Fatalf("the second: %v", err)
	}
	if open(t, d, "other").takes(t, "a", dialect.Exclusive) {
		t.Error("granted to another in between")
	}
	check(t, second.Close())
	check(t, <-upgraded)
	check(t, first.Intact())
}

func TestDeadlockOverTwoLocks(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	first, second := open(t, d, "first"), open(t, d, "second")
	first.take(t, exclusively("a"))
	second.take(t, exclusively("b"))
	waiting := first.waits(t, exclusively("b"))
	if err := second.Acquire(t.Context(), []dialect.Lock{exclusively("a")}, false); !errors.Is(err, dialect.Deadlock) {
		t.Fatal(err)
	}
	check(t, second.Close())
	check(t, <-waiting)
}

// TestDeadlockOverTheDatabase has one session write and wait for a lock, and the
// lock's holder wait to write, in either order.
func TestDeadlockOverTheDatabase(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	holder, writer := open(t, d, "holder"), open(t, d, "writer")
	holder.take(t, exclusively("a"))
	check(t, holder.WaitToWrite(t.Context()))
	err := writer.Acquire(t.Context(), []dialect.Lock{exclusively("a")}, true)
	if !errors.Is(err, dialect.Deadlock) {
		t.Errorf("the writer: %v", err)
	}
	check(t, holder.StopWaiting())

	ctx, cancel := context.WithCancel(t.Context())
	waiting := make(chan error, 1)
	go func() { waiting <- writer.Acquire(ctx, []dialect.Lock{exclusively("a")}, true) }()
	waitForWaiter(t, d)
	if err := holder.WaitToWrite(t.Context()); !errors.Is(err, dialect.Deadlock) {
		t.Errorf("the holder: %v", err)
	}
	cancel()
	if err := <-waiting; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestUndo(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	s, other := open(t, d, "s"), open(t, d, "other")
	s.take(t, lock("a", dialect.Shared, 0))
	mark := s.Mark()
	for _, l := range []dialect.Lock{lock("a", dialect.Update, 0), lock("a", dialect.Exclusive, 0), exclusively("b")} {
		s.take(t, l)
	}
	if other.takes(t, "a", dialect.Shared) || other.takes(t, "b", dialect.Shared) {
		t.Error("not exclusive")
	}
	check(t, s.UndoTo(mark))
	if other.takes(t, "a", dialect.Exclusive) || !other.takes(t, "a", dialect.Update) || !other.takes(t, "b", dialect.Exclusive) {
		t.Error("what was held before the mark is not what is held now")
	}
	status, err := d.Inspect(t.Context(), []string{"a"})
	check(t, err)
	if len(status[0].Holders) != 2 {
		t.Errorf("%+v", status)
	}
}

func TestRemovedFileIsFound(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	s := open(t, d, "s")
	s.take(t, exclusively("a"))
	check(t, s.Intact())
	removeFile(t, d.File("a"))
	if err := s.Intact(); !errors.Is(err, dialect.ConnectionLost) || !dialect.IsPoisoned(err) {
		t.Error(err)
	}
}

package filelock

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"time"

	"github.com/gofrs/flock"
)

// guard is one user's hold on the directory's state: the lock under which
// records are read and written, and a number that changes when they do.
type guard struct {
	lock *flock.Flock
	file *os.File
}

func (d Dir) openGuard() (*guard, error) {
	f, err := os.OpenFile(d.state(), os.O_RDWR|cautious, 0)
	if errors.Is(err, fs.ErrPermission) {
		// Others then find changes by themselves, a little later.
		f, err = os.OpenFile(d.state(), os.O_RDONLY|cautious, 0)
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return &guard{lock: flock.New(d.state(), flock.SetFlag(os.O_RDONLY|cautious)), file: f}, nil
}

// enter waits for the directory's lock, which nobody keeps for long.
func (g *guard) enter(ctx context.Context) error {
	for pause := 50 * time.Microsecond; ; pause = min(2*pause, 5*time.Millisecond) {
		ok, err := g.lock.TryLock()
		switch {
		case ok:
			return nil
		case err != nil:
			return unavailable(err)
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

func (g *guard) leave() { _ = g.lock.Unlock() }

// changed tells those who wait that there may be something for them.
func (g *guard) changed() {
	var now [8]byte
	binary.BigEndian.PutUint64(now[:], uint64(time.Now().UnixNano()))
	_, _ = g.file.WriteAt(now[:], 0) // where it may not, others look by themselves
}

// version is a number that is another one after a change.
func (g *guard) version() uint64 {
	var now [8]byte
	_, _ = g.file.ReadAt(now[:], 0)
	return binary.BigEndian.Uint64(now[:])
}

func (g *guard) close() { _ = g.file.Close() }

// sleep waits for about d, so that those who wait for one thing do not march in
// step. It returns the cause of ctx if that ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d/2 + rand.N(d/2+1))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

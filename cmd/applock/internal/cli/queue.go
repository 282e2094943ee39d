package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/cmd/applock/internal/process"
	"github.com/lockstep-go/lockstep/uow"
)

// A queue is the time that a caller waits for its locks: signals end it, and a
// terminal shows who is in the way.
type queue struct {
	quit  chan struct{}
	over  sync.WaitGroup
	leave func() // ends the wait; may be called again
}

// queue begins to wait. The ctx that it returns ends with a signal.
func (r *running) queue(ctx context.Context, m *uow.Manager, signals <-chan os.Signal) (context.Context, *queue) {
	ctx, cancel := context.WithCancelCause(ctx)
	q := &queue{quit: make(chan struct{})}
	q.leave = sync.OnceFunc(func() {
		close(q.quit)
		q.over.Wait()
	})
	q.over.Go(func() { q.listen(signals, cancel) })
	if screen, ok := r.stderr.(*os.File); ok && term.IsTerminal(int(screen.Fd())) {
		line := &waitingLine{screen: screen, width: func() int {
			width, _, _ := term.GetSize(int(screen.Fd()))
			return width
		}, names: r.names, quoted: r.quoted(), began: time.Now()}
		q.over.Go(func() { line.show(ctx, m, q.quit) })
	}
	return ctx, q
}

// listen waits for a signal that ends the wait.
func (q *queue) listen(signals <-chan os.Signal, cancel context.CancelCauseFunc) {
	for {
		select {
		case <-q.quit:
			return
		case s := <-signals:
			if process.Ends(s) {
				cancel(interrupted(s))
				return
			}
			process.Suspend(s)
		}
	}
}

// A waitingLine shows on a terminal who holds the locks that are waited for.
type waitingLine struct {
	screen io.Writer
	width  func() int // of the screen; 0 if unknown
	names  []string
	quoted string
	began  time.Time
	drawn  bool
}

// A wait that is shorter than waitUnseen is not shown, and then every
// waitShown.
const (
	waitUnseen = 300 * time.Millisecond
	waitShown  = time.Second
)

// show keeps the line up to date until quit, and erases it.
func (l *waitingLine) show(ctx context.Context, m *uow.Manager, quit <-chan struct{}) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer l.erase()
	timer := time.NewTimer(waitUnseen)
	defer timer.Stop()
	for {
		select {
		case <-quit:
			return
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		timer.Reset(waitShown)
		answer := make(chan string, 1)
		go func() { answer <- l.holders(ctx, m) }()
		select {
		case <-quit:
			cancel()
			<-answer
			return
		case holders := <-answer:
			l.draw(holders)
		}
	}
}

// holders asks who holds the first of the locks that is held.
func (l *waitingLine) holders(ctx context.Context, m *uow.Manager) string {
	all, err := applock.Inspect(ctx, m, l.names...)
	if err != nil {
		return ""
	}
	for _, status := range all {
		if len(status.Holders) > 0 {
			held := describeAll(status.Holders, time.Now())
			if len(l.names) == 1 {
				return "held by " + held
			}
			return fmt.Sprintf("%q is held by %s", status.Name, held)
		}
	}
	return ""
}

// eraseLine goes to the beginning of the line and empties it.
const eraseLine = "\r\x1b[K"

// draw writes the line, cut to the width of the screen: a line that wraps
// cannot be erased.
func (l *waitingLine) draw(holders string) {
	if !process.InForeground() {
		return
	}
	text := fmt.Sprintf("applock: waiting %v for %s", time.Since(l.began).Round(time.Second), l.quoted)
	if holders != "" {
		text += ", " + strings.TrimPrefix(holders, l.quoted+" is ")
	}
	characters := []rune(printable(text))
	if width := l.width(); width > 0 && len(characters) >= width {
		characters = characters[:width-1]
	}
	_, _ = fmt.Fprint(l.screen, eraseLine, string(characters))
	l.drawn = true
}

// erase leaves the screen as it was.
func (l *waitingLine) erase() {
	if l.drawn {
		_, _ = fmt.Fprint(l.screen, eraseLine)
	}
}

package chaos

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/lockstep-go/lockstep/internal/faultproxy"
)

// workerSlot is where one worker process after the other runs: a killed one is
// replaced. Its connections go through a proxy of its own.
type workerSlot struct {
	number  int
	proxies []*faultproxy.Proxy // one for each server
	order   order
	dir     string

	mu        sync.Mutex
	started   int
	process   *exec.Cmd
	ended     *ending
	commands  io.WriteCloser
	errors    *bytes.Buffer
	stopped   bool // by SIGSTOP
	histories []string
}

// start starts a process in the slot.
func (s *workerSlot) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.startLocked()
}

func (s *workerSlot) startLocked() error {
	s.started++
	o := s.order
	o.Name = s.name()
	o.History = filepath.Join(s.dir, o.Name+".history")
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	s.process = exec.Command(program)
	s.process.Env = append(os.Environ(), orderVariable+"="+string(text))
	s.errors = &bytes.Buffer{}
	s.process.Stderr = s.errors
	if s.commands, err = s.process.StdinPipe(); err != nil {
		return err
	}
	s.histories = append(s.histories, o.History)
	if err := s.process.Start(); err != nil {
		return err
	}
	s.ended = watch(s.process)
	return nil
}

// ending is how a process ends.
type ending struct {
	done chan struct{}
	err  error // once done
}

func watch(process *exec.Cmd) *ending {
	e := &ending{done: make(chan struct{})}
	go func() {
		e.err = process.Wait()
		close(e.done)
	}()
	return e
}

// killed reports whether SIGKILL has ended the process.
func (e *ending) killed() bool {
	<-e.done
	var exited *exec.ExitError
	return errors.As(e.err, &exited) && exited.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
}

// name is that of the process that was started last.
func (s *workerSlot) name() string { return fmt.Sprintf("w%d.%d", s.number, s.started) }

// say tells the process something. One that does not listen any more has ended,
// which its end tells.
func (s *workerSlot) say(word string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := io.WriteString(s.commands, word+"\n")
	return err == nil
}

// replace kills the process and starts another. It returns the name of the one
// that was killed.
func (s *workerSlot) replace() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.replaceLocked()
}

func (s *workerSlot) replaceLocked() (string, error) {
	killed := s.name()
	if err := s.process.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return killed, err
	}
	if !s.ended.killed() {
		return killed, fmt.Errorf("worker %d ended by itself: %v: %s", s.number, s.ended.err, s.errors)
	}
	s.stopped = false
	return killed, s.startLocked()
}

// replaceAtCommit is replace for a process that is asked to kill itself at the
// next COMMIT, and gets limit for it. It reports whether it did.
func (s *workerSlot) replaceAtCommit(limit time.Duration) (killed string, itself bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := io.WriteString(s.commands, sayDie+"\n"); err != nil {
		return "", false, errMissed
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-s.ended.done:
		itself = true
	case <-timer.C:
	}
	killed, err = s.replaceLocked()
	return killed, itself, err
}

// freeze stops the process and lets it go on after d. One that is stopped
// already is errMissed.
func (s *workerSlot) freeze(d time.Duration) error {
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		return errMissed
	}
	s.stopped = true
	process := s.process.Process
	err := process.Signal(syscall.SIGSTOP)
	s.mu.Unlock()
	time.Sleep(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = false
	if process == s.process.Process {
		err = errors.Join(err, process.Signal(syscall.SIGCONT))
	}
	return err
}

// finish tells the process to end its units and waits until it is gone.
func (s *workerSlot) finish(limit time.Duration) error {
	s.say(sayFinish)
	timer := time.AfterFunc(limit, func() { _ = s.process.Process.Signal(syscall.SIGQUIT) })
	defer timer.Stop()
	if <-s.ended.done; s.ended.err != nil {
		return fmt.Errorf("worker %d: %w: %.4000s", s.number, s.ended.err, s.errors)
	}
	return nil
}

// kill ends what runs, for a run that is given up.
func (s *workerSlot) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended != nil {
		_ = s.process.Process.Kill()
		<-s.ended.done
	}
}

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
)

// envHome tells a process of workers where its tables are. What stands on a
// command line, others could read.
const envHome = "QUICKSTART_HOME"

// process is another process of this program, with workers in it.
type process struct {
	name    string
	cmd     *exec.Cmd
	answers io.WriteCloser
}

// event is something that a process did.
type event struct {
	*process
	step int   // the step that one of its workers is inside; 0 when it ended
	err  error // how it ended
}

// startProcess starts a process of workers, which finds its tables through dsn.
// What it does arrives at events; its end is the last, and always comes.
func startProcess(ctx context.Context, name, dsn string, workers int, events chan<- event) (*process, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: exec.CommandContext(ctx, program, workerCommand, "-name", name, "-number", strconv.Itoa(workers))}
	p.cmd.Env = append(os.Environ(), envHome+"="+dsn)
	p.cmd.Stderr = os.Stderr
	reports, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if p.answers, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go p.follow(reports, events)
	return p, nil
}

// follow passes on what the process reports, and then its end.
func (p *process) follow(reports io.Reader, events chan<- event) {
	lines := bufio.NewScanner(reports)
	for lines.Scan() {
		var step int
		if _, err := fmt.Sscanf(lines.Text(), insideWord+" %d", &step); err == nil {
			events <- event{process: p, step: step}
		}
	}
	events <- event{process: p, err: p.cmd.Wait()}
}

// proceed lets the process go on to the commit of the step that it is inside.
func (p *process) proceed() error {
	_, err := fmt.Fprintln(p.answers, "go")
	return err
}

// kill ends the process with SIGKILL. It has no chance to do anything more.
func (p *process) kill() error { return p.cmd.Process.Kill() }

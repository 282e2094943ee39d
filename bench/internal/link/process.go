package link

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// A Process is a link served by a process of its own, whose threads and memory
// are no part of what is measured.
type Process struct {
	Addr  string // "host:port"
	cmd   *exec.Cmd
	stdin io.Closer
}

// Start runs this program again with the arguments that make it call [Main].
// Close ends it.
func Start(arguments ...string) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, arguments...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, stdin: stdin}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		_ = p.Close()
		return nil, fmt.Errorf("the link did not start: %w", err)
	}
	p.Addr = strings.TrimSpace(line)
	return p, nil
}

// Close ends the process and waits for it.
func (p *Process) Close() error {
	_ = p.stdin.Close()
	return p.cmd.Wait()
}

// Arguments are those with which a program that calls [FromArguments] first
// becomes a link.
func Arguments(network, address string, delay time.Duration) []string {
	return []string{"link", network, address, delay.String()}
}

// FromArguments reports whether the program's arguments are those of a link,
// and if so, serves it and returns when it is over.
func FromArguments(arguments []string) (bool, error) {
	if len(arguments) != 4 || arguments[0] != "link" {
		return false, nil
	}
	delay, err := time.ParseDuration(arguments[3])
	if err != nil {
		return true, err
	}
	return true, Main(arguments[1], arguments[2], delay)
}

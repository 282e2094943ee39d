package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/lockstep-go/lockstep/bench/internal/results"
)

// machine describes where the run takes place.
func (b *bench) machine(ctx context.Context) (m results.Machine, err error) {
	m = results.Machine{
		Cores: runtime.NumCPU(), Processor: processor(), System: system(ctx), Go: runtime.Version(),
		Rounds: b.options.Rounds, Passes: b.options.Passes, Slice: b.options.Slice,
		Added: map[time.Duration]time.Duration{},
	}
	for _, delay := range b.delays {
		if delay > 0 {
			m.Added[delay] = b.stage.Added(delay)
		}
	}
	if m.Postgres, err = b.stage.Setting(ctx, "server_version"); err != nil {
		return m, err
	}
	m.Postgres, _, _ = strings.Cut(m.Postgres, " ")
	m.Fsync, err = b.stage.Setting(ctx, "fsync")
	return m, err
}

// processor is the name of the processor where the system tells it.
func processor() string {
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// system is the name and release of the operating system.
func system(ctx context.Context) string {
	output, err := exec.CommandContext(ctx, "uname", "-sr").Output()
	if err != nil {
		return runtime.GOOS
	}
	return strings.TrimSpace(string(output))
}

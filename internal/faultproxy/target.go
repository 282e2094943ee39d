package faultproxy

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// target is where the server listens, in the terms of [net.Dial].
type target struct {
	network, address string
}

func (t target) dial(ctx context.Context) (net.Conn, error) {
	var dialer net.Dialer
	return dialer.DialContext(ctx, t.network, t.address)
}

func resolveTarget(name string) (target, error) {
	if strings.HasPrefix(name, "/") {
		return resolveSocket(name)
	}
	if _, _, err := net.SplitHostPort(name); err != nil {
		return target{}, fmt.Errorf("target %q: %w", name, err)
	}
	return target{network: "tcp", address: name}, nil
}

func resolveSocket(path string) (target, error) {
	info, err := os.Stat(path)
	if err != nil {
		return target{}, fmt.Errorf("target: %w", err)
	}
	if !info.IsDir() {
		return target{network: "unix", address: path}, nil
	}
	sockets, err := postgresSockets(path)
	if err != nil {
		return target{}, fmt.Errorf("target: %w", err)
	}
	if len(sockets) != 1 {
		return target{}, fmt.Errorf("target %q holds %d PostgreSQL sockets, want 1", path, len(sockets))
	}
	return target{network: "unix", address: sockets[0]}, nil
}

func postgresSockets(directory string) ([]string, error) {
	entries, err := os.ReadDir(directory)
	if err != nil {
		return nil, err
	}
	var sockets []string
	for _, entry := range entries {
		// The type tells a socket from the lock file beside it.
		if strings.HasPrefix(entry.Name(), ".s.PGSQL.") && entry.Type() == os.ModeSocket {
			sockets = append(sockets, filepath.Join(directory, entry.Name()))
		}
	}
	return sockets, nil
}

//go:build !unix

package servers

import "errors"

// errNotUnix is returned where server programs cannot be supervised.
var errNotUnix = errors.New("server programs are started on Unix systems only")

// daemon is never made here; daemon_unix.go says what it is.
type daemon struct{ ended chan struct{} }

func startDaemon(dir, signal string, argv ...string) (*daemon, error) { return nil, errNotUnix }

func (d *daemon) stop() error { return errNotUnix }

func (d *daemon) pause() error { return errNotUnix }

func (d *daemon) crash() error { return errNotUnix }

func (d *daemon) explain(err error) error { return err }

func newDaemonDir(name string) (string, error) { return "", errNotUnix }

func writeServerFile(path, text string) error { return errNotUnix }

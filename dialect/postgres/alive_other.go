//go:build !unix

package postgres

import "net"

// idleLook finds nothing here: a dead connection shows when it is used.
func idleLook(net.Conn) func() bool { return nil }

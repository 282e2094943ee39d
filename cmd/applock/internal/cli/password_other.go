//go:build !unix

package cli

import "errors"

// again cannot be had on this system.
func again(_, _ []string) error {
	return errors.New("a password in --db would show in the list of processes: use the environment")
}

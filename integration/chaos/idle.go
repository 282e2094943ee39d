package chaos

import (
	"errors"
	"fmt"
)

// DefaultWorkers is how many processes make a run unless it says otherwise.
const DefaultWorkers = 4

// ErrIdle is returned for a run in which nothing happened that could have broken
// a promise, so that finding none broken says nothing.
var ErrIdle = errors.New("chaos: the run shows nothing")

func (c Config) check() error {
	switch {
	case c.Workers < 1:
		return fmt.Errorf("chaos: %d workers: at least 1 is needed", c.Workers)
	case c.Duration <= 0:
		return fmt.Errorf("chaos: a duration of %v: it must be above 0", c.Duration)
	}
	return nil
}

// checkIdle tells what is missing for the run to show something.
func (r *Report) checkIdle(s *stage) error {
	done := r.Faults - r.Injected[faultCancelContext] - r.Injected[faultDeadlock] // units bring these upon themselves
	switch {
	case r.Committed == 0:
		return fmt.Errorf("%w: no unit of %d was committed", ErrIdle, r.Units)
	case len(s.nemeses) > 0 && done == 0:
		return fmt.Errorf("%w: no fault was injected", ErrIdle)
	case s.turn != nil && r.After == 0:
		return fmt.Errorf("%w: no unit was committed that began after the turn", ErrIdle)
	}
	return nil
}

package mssql

import (
	"context"

	"github.com/lockstep-go/lockstep/dialect"
)

// verify finds out whether the unit's transaction is still there, if the caller has
// had the driver's connection: whoever ends it by the driver's own methods takes
// the driver's guard with it. Its error is for what would have followed.
func (c *Conn) verify(ctx context.Context) error {
	if !c.handed || !c.inUnit || c.open > 0 || !c.IsValid() {
		return nil
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), endLimit)
	defer cancel()
	failed, ended, suspect := c.failed, c.ended, c.suspect
	var count int64
	err := c.bounded(limited, func() error {
		rows, err := c.results(context.WithoutCancel(ctx), "SELECT CAST(@@TRANCOUNT AS int)")
		if err == nil && len(rows) == 1 {
			count, _ = rows[0][0].(int64)
		}
		return err
	})
	switch {
	case err != nil && classify(err) == dialect.Aborted:
		// The guard is there, and refuses what follows.
		c.handed, c.failed, c.ended, c.suspect = false, failed, ended, suspect
		return nil
	case err != nil:
		return err
	}
	c.handed, c.surplus = false, count > 1
	if count == 0 {
		c.ended = true
		return endedBefore(nil)
	}
	return nil
}

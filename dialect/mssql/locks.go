package mssql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/lockstep-go/lockstep/dialect"
)

// What sp_getapplock returns. Only its status tells that a lock was not granted:
// neither a timeout nor a deadlock is an error to the server.
const (
	statusWaited    = 1
	statusTimeout   = -1
	statusCancelled = -2
	statusDeadlock  = -3
)

var lockModes = map[dialect.Mode]string{
	dialect.Shared:    "Shared",
	dialect.Update:    "Update",
	dialect.Exclusive: "Exclusive",
}

// lockSavepoint begins the names of savepoints that are set before locks are
// acquired in an open transaction, for a wait that is cancelled: which locks of
// several were granted is then unknown. No two of a transaction share a name: one
// that was not set must not be taken for an older one.
const lockSavepoint = "lockstep_lock_"

// Lock implements dialect.Tx.
func (t *tx) Lock(ctx context.Context, locks []dialect.Lock) error {
	if t.level == sql.LevelSnapshot {
		return &dialect.LockError{Lock: locks[0], Err: &dialect.Error{
			Kind: dialect.SnapshotTaken, Detail: "declare the lock with the unit",
		}}
	}
	t.acquired++
	savepoint := lockSavepoint + strconv.Itoa(t.acquired)
	return t.use(func(c *Conn) error {
		// Under XACT_ABORT the end of a wait would end the transaction. It does if
		// that comes before the server has read this.
		text := "SET XACT_ABORT OFF;SAVE TRANSACTION " + savepoint + ";"
		err := t.takeLocks(ctx, c, text, locks, false)
		cancelled := ctx.Err() != nil && c.failed && c.state() == dialect.Failed
		if cancelled || dialect.KindOf(err) == dialect.Unsupported {
			return t.undoLocks(c, savepoint, err)
		}
		return err
	})
}

// undoLocks gives back what may have been granted to a request that was cancelled,
// or that the server turned out to be of no use for. Where that cannot be done, the
// transaction is of no more use.
func (t *tx) undoLocks(c *Conn, savepoint string, cause error) error {
	ctx, cancel := context.WithTimeout(context.Background(), endLimit)
	defer cancel()
	c.abort = abortOff
	err := c.bounded(ctx, func() error {
		return c.exec(context.Background(), "ROLLBACK TRANSACTION "+savepoint)
	})
	c.failed = false // what it means is said here
	if err == nil {
		c.suspect = false
		return cause
	}
	t.spoilt = poisoned(cause, err)
	return t.spoilt
}

// takeLocks runs first, then takes locks in the order given, in one batch that
// stops at the first that is not granted. Declared are those of a transaction
// that is rolled back if one is missing; others are given back there and then.
func (t *tx) takeLocks(ctx context.Context, c *Conn, first string, locks []dialect.Lock, declared bool) error {
	began := time.Now()
	var b strings.Builder
	b.WriteString(first)
	b.WriteString("DECLARE @r int=0,@i int=0,@s varchar(max)='',@t datetime2=SYSUTCDATETIME(),@l int;")
	for i, l := range locks {
		writeLock(&b, i, l)
	}
	if !declared {
		writeRelease(&b, locks)
	}
	b.WriteString("SELECT @r,@i,@s,CAST(@@SPID AS int)")
	if !c.proven {
		fmt.Fprintf(&b, ",CAST(DATABASEPROPERTYEX(DB_NAME(),'Updateability') AS varchar(20)),"+
			"CASE WHEN @r>=0 THEN CAST(APPLOCK_MODE('public',%s,'Transaction') AS varchar(20)) END", literal(Resource(locks[0].Name)))
	}
	b.WriteString(";")
	writeHolders(&b, locks)
	if !declared && len(c.marks) == 0 {
		b.WriteString("SET XACT_ABORT ON;")
	}
	rows, err := c.results(ctx, b.String())
	if err != nil {
		return lockFailure(ctx, locks, began, err)
	}
	c.abort = c.wanted()
	return t.readGrants(c, locks, rows, began)
}

// writeLock takes one lock if those before it were granted.
func writeLock(b *strings.Builder, i int, l dialect.Lock) {
	limit := "-1"
	b.WriteString("IF @r>=0 BEGIN SET @i=" + strconv.Itoa(i) + ";")
	if l.Limit >= 0 {
		// Counted from the call. Rounded up: less than a millisecond is a wait too.
		ms := min((l.Limit+time.Millisecond-1)/time.Millisecond, math.MaxInt32)
		limit = strconv.Itoa(int(ms))
		if ms > 0 && i > 0 {
			b.WriteString("SET @l=" + limit + "-DATEDIFF(millisecond,@t,SYSUTCDATETIME());IF @l<0 SET @l=0;")
			limit = "@l"
		}
	}
	fmt.Fprintf(b, "DECLARE @n%d nvarchar(255)=%s;", i, literal(Resource(l.Name)))
	fmt.Fprintf(b, "EXEC @r=sp_getapplock @Resource=@n%d,@LockMode='%s',@LockOwner='Transaction',@LockTimeout=%s;", i, lockModes[l.Mode], limit)
	b.WriteString("SET @s=@s+CASE @r WHEN 1 THEN '1' ELSE '0' END;END;")
}

// writeRelease gives back the locks that were granted before one that was not.
// Each request is counted, so that what the unit held before it still holds.
func writeRelease(b *strings.Builder, locks []dialect.Lock) {
	if len(locks) < 2 {
		return
	}
	b.WriteString("IF @r<0 BEGIN ")
	for i := range locks[:len(locks)-1] {
		fmt.Fprintf(b, "IF @i>%d EXEC sp_releaseapplock @Resource=@n%d,@LockOwner='Transaction';", i, i)
	}
	b.WriteString("END;")
}

// writeHolders asks who stood in the way of a lock that was not granted. That
// the login may not know is no reason to fail.
func writeHolders(b *strings.Builder, locks []dialect.Lock) {
	b.WriteString("IF @r=-1 BEGIN SET XACT_ABORT OFF;BEGIN TRY ")
	b.WriteString("EXEC sp_executesql N'" + strings.ReplaceAll(entriesQuery+" AND l.request_session_id<>@@SPID", "'", "''") + "';")
	b.WriteString("END TRY BEGIN CATCH SET @r=-1;END CATCH;END;")
}

// readGrants reads the answer to a lock batch: the first row is its outcome,
// those after it are of locks that stood in the way.
func (t *tx) readGrants(c *Conn, locks []dialect.Lock, rows [][]driver.Value, began time.Time) error {
	status, at, waited, err := readOutcome(rows)
	if err != nil || at >= len(locks) {
		return &dialect.Error{Kind: dialect.Unsupported, Detail: "the server does not answer as SQL Server does", Err: err}
	}
	t.session = strconv.FormatInt(rows[0][3].(int64), 10)
	if t.options.granted != nil {
		for i, l := range locks {
			if i < at || status >= 0 {
				t.options.granted(l, waited[i] == '0'+statusWaited)
			}
		}
	}
	if status < 0 {
		return notGranted(locks[at], status, rows[1:], began)
	}
	return c.prove(rows[0])
}

func readOutcome(rows [][]driver.Value) (status, at int, waited string, err error) {
	if len(rows) == 0 || len(rows[0]) < 4 {
		return 0, 0, "", errors.New("a row is missing")
	}
	r, statusKnown := rows[0][0].(int64)
	i, atKnown := rows[0][1].(int64)
	s, waitedKnown := rows[0][2].(string)
	_, sessionKnown := rows[0][3].(int64)
	if !statusKnown || !atKnown || !waitedKnown || !sessionKnown || len(s) != int(i)+1 {
		return 0, 0, "", fmt.Errorf("the row %v", rows[0])
	}
	return int(r), int(i), s, nil
}

// notGranted describes why a lock was not granted.
func notGranted(l dialect.Lock, status int, rows [][]driver.Value, began time.Time) error {
	failed := &dialect.LockError{Lock: l, Waited: time.Since(began)}
	reason := &dialect.Error{Kind: dialect.Refused, Detail: fmt.Sprintf("sp_getapplock returned %d", status)}
	switch status {
	case statusTimeout:
		reason = &dialect.Error{Kind: dialect.LockTimeout}
		failed.Holders = inTheWay(rows, l)
	case statusDeadlock:
		reason.Kind = dialect.Deadlock
	case statusCancelled:
		reason.Kind = dialect.Cancelled
	}
	failed.Err = reason
	return failed
}

// prove looks at what the first locks of a connection have shown: whether they
// exclude anybody here.
func (c *Conn) prove(row []driver.Value) error {
	if c.proven {
		return nil
	}
	if updateability, _ := row[4].(string); updateability == "READ_ONLY" {
		return unsupported("the database is read-only or a secondary replica, whose locks exclude nobody on its primary")
	}
	if mode, _ := row[5].(string); mode == "" || mode == "NoLock" {
		return unsupported("the server's application locks do nothing")
	}
	c.proven = true
	return nil
}

// lockFailure describes a lock batch that failed as a whole.
func lockFailure(ctx context.Context, locks []dialect.Lock, began time.Time, err error) error {
	kind := classify(err)
	if ctx.Err() == nil && kind == dialect.Unknown {
		return err
	}
	if kind != dialect.Unknown {
		err = &dialect.Error{Kind: kind, Err: err}
	}
	// Which lock it was is known only if there is but one.
	if len(locks) == 1 {
		return &dialect.LockError{Lock: locks[0], Waited: time.Since(began), Err: err}
	}
	return err
}

package mssql

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lockstep-go/lockstep/dialect"
)

// Rows of the outcome table older than this are of no use: nobody resolves so
// late. They are removed a few at a time by the units that come after.
const (
	outcomeHours  = 24
	prunedAtOnce  = 100
	unitsPerPrune = 64
)

// A missing row tells of a rollback for this long: later it may have been removed.
// The rest of the day is for clocks that differ.
const missingTells = (outcomeHours - 1) * time.Hour

// pruning are the levels at which the server skips locked rows. At others it
// refuses to, with error 650.
var pruning = []sql.IsolationLevel{sql.LevelReadCommitted, sql.LevelRepeatableRead}

// quoteTable quotes a table's name of one or two parts.
func quoteTable(name string) (string, error) {
	parts := strings.Split(name, ".")
	if len(parts) > 2 {
		return "", fmt.Errorf("mssql: table name %q has more than two parts", name)
	}
	for i, p := range parts {
		p = strings.TrimSuffix(strings.TrimPrefix(p, "["), "]")
		if p == "" || strings.ContainsAny(p, "[]\x00") || len(p) > 128 {
			return "", fmt.Errorf("mssql: table name %q cannot be used", name)
		}
		parts[i] = "[" + p + "]"
	}
	return strings.Join(parts, "."), nil
}

// CreateOutcomeTable makes the table for WithOutcomeTable unless it is there. The
// name has one or two parts. Who runs units needs INSERT, SELECT and DELETE on it.
func CreateOutcomeTable(ctx context.Context, db execer, name string) error {
	table, err := quoteTable(name)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "IF OBJECT_ID(N'"+strings.ReplaceAll(table, "'", "''")+"') IS NULL "+
		"CREATE TABLE "+table+" (id binary(16) NOT NULL PRIMARY KEY, at datetime2 NOT NULL DEFAULT SYSUTCDATETIME(), INDEX lockstep_at (at))")
	return err
}

// execer is a *sqlx.DB, a *sql.DB, or what else runs a statement.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// leaveOutcome writes the row that tells of the transaction's commit. The server
// sees COMMIT only after it has acknowledged the row.
func (t *tx) leaveOutcome(ctx context.Context, c *Conn) error {
	if t.options.outcomes == "" || !t.wrote {
		return nil
	}
	var id [16]byte
	_, _ = rand.Read(id[:])
	text := abortStatements[abortOn]
	if id[15]%unitsPerPrune == 0 && slices.Contains(pruning, t.level) {
		text += fmt.Sprintf("DELETE TOP (%d) FROM %s WITH (READPAST) WHERE at<DATEADD(hour,-%d,SYSUTCDATETIME());",
			prunedAtOnce, t.options.outcomes, outcomeHours)
	}
	err := c.bounded(ctx, func() error {
		return c.exec(context.WithoutCancel(ctx), fmt.Sprintf("%sINSERT INTO %s (id) VALUES (0x%x)", text, t.options.outcomes, id))
	})
	if err != nil {
		return err
	}
	t.outcome = outcomeID(time.Now(), id[:])
	return nil
}

// outcomeID is the Ref.ID of a row: when it was written, in hexadecimal seconds,
// and the row's id.
func outcomeID(at time.Time, id []byte) string { return fmt.Sprintf("%x.%x", at.Unix(), id) }

// readOutcomeID is the inverse of outcomeID.
func readOutcomeID(ref string) (at time.Time, id string, ok bool) {
	seconds, id, _ := strings.Cut(ref, ".")
	n, err := strconv.ParseInt(seconds, 16, 64)
	ok = err == nil && id != "" && strings.Trim(id, "0123456789abcdef") == ""
	return time.Unix(n, 0), id, ok
}

// recorded is the dialect with an outcome table: it implements dialect.Resolver.
type recorded struct{ d }

// Resolve implements dialect.Resolver.
func (d recorded) Resolve(ctx context.Context, conn *sql.Conn, ref dialect.Ref) (dialect.Outcome, error) {
	at, id, ok := readOutcomeID(ref.ID)
	if !ok {
		return dialect.InDoubt, &dialect.Error{Kind: dialect.Unresolvable, Detail: fmt.Sprintf("no row can have the id %q", ref.ID)}
	}
	var found int64
	err := use(conn, func(c *Conn) error {
		// While the transaction is open, its row is locked; versions would show
		// it as missing.
		rows, err := c.results(ctx, fmt.Sprintf("SELECT COUNT(*) FROM %s WITH (READCOMMITTEDLOCK) WHERE id=0x%s", d.outcomes, id))
		if err != nil {
			return err
		}
		if len(rows) != 1 {
			return errors.New("mssql: no count")
		}
		found, _ = rows[0][0].(int64)
		return nil
	})
	switch {
	case err != nil:
		return dialect.InDoubt, err
	case found > 0:
		return dialect.Committed, nil
	case time.Since(at) > missingTells:
		return dialect.InDoubt, &dialect.Error{Kind: dialect.Unresolvable, Detail: "its row may have been removed since"}
	}
	return dialect.RolledBack, nil
}

package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"testing"

	"github.com/lockstep-go/lockstep/dialect"
)

// TestClassify has the engine itself say what is classified: its errors cannot
// be made.
func TestClassify(t *testing.T) {
	t.Parallel()
	db := openTest(t, "")
	ctx := t.Context()
	mustExec(t, db, "create table t (id int primary key, n int not null)")
	readOnly := openFile(t, "file:"+fileOf(t, db)+"?mode=ro")
	impatient := openFile(t, "file:"+fileOf(t, db)+"?_busy_timeout=0")
	broken := func(statement string, q interface {
		ExecContext(context.Context, string, ...any) (sql.Result, error)
	}) error {
		_, err := q.ExecContext(ctx, statement)
		return err
	}
	tx, err := db.BeginTxx(ctx, nil)
	check(t, err)
	busy := broken("insert into t values (9, 9)", impatient)
	reading, err := db.BeginTxx(ctx, &sql.TxOptions{ReadOnly: true}) // DEFERRED
	check(t, err)
	check(t, reading.Get(new(int), "select count(*) from t"))
	_, err = tx.Exec("insert into t values (1, 1)")
	check(t, err)
	check(t, tx.Commit())
	stale := broken("insert into t values (2, 2)", reading)
	check(t, reading.Rollback())

	for what, c := range map[string]struct {
		err  error
		want dialect.Kind
	}{
		"nil":            {nil, dialect.Unknown},
		"own":            {errors.New("other"), dialect.Unknown},
		"context":        {context.Canceled, dialect.Unknown},
		"deadline":       {context.DeadlineExceeded, dialect.Unknown},
		"bad connection": {driver.ErrBadConn, dialect.ConnectionLost},
		"done":           {sql.ErrConnDone, dialect.ConnectionLost},
		"known":          {fmt.Errorf("saving: %w", &dialect.Error{Kind: dialect.Deadlock}), dialect.Deadlock},
		"duplicate key":  {broken("insert into t values (1, 1)", db), dialect.Refused},
		"not null":       {broken("insert into t values (3, null)", db), dialect.Refused},
		"no such table":  {broken("select * from nowhere", db), dialect.Refused},
		"syntax":         {broken("selec 1", db), dialect.Refused},
		"read-only":      {broken("insert into t values (4, 4)", readOnly), dialect.ReadOnly},
		"busy":           {busy, dialect.LockTimeout},
		"stale snapshot": {fmt.Errorf("saving: %w", stale), dialect.Serialization},
	} {
		if got := Dialect().Classify(c.err); got != c.want {
			t.Errorf("%s: %v, want %v (%v)", what, got, c.want, c.err)
		}
	}
}

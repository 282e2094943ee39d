package postgres

import (
	"database/sql"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lockstep-go/lockstep/dialect"
)

// opening is what begins a transaction: BEGIN, and the settings that are the
// transaction's own and end with it. The zero value begins none.
type opening struct {
	begin string
	label string // uow has checked that it holds no quotes; they are doubled all the same
	idle  bool
}

// openingOf translates what is asked for.
func openingOf(b dialect.Begin) (opening, error) {
	begin, err := beginStatement(b)
	return opening{begin, b.Label, b.Idle}, err
}

// beginStatement is BEGIN with the isolation and access mode asked for.
func beginStatement(b dialect.Begin) (string, error) {
	statement := "begin"
	switch b.Isolation {
	case sql.LevelDefault:
	case sql.LevelReadUncommitted:
		statement += " isolation level read uncommitted"
	case sql.LevelReadCommitted:
		statement += " isolation level read committed"
	case sql.LevelRepeatableRead, sql.LevelSnapshot:
		statement += " isolation level repeatable read"
	case sql.LevelSerializable:
		statement += " isolation level serializable"
	default:
		return "", &dialect.Error{Kind: dialect.Unsupported, Detail: fmt.Sprintf("PostgreSQL has no isolation level %v", b.Isolation)}
	}
	if b.ReadOnly {
		statement += " read only"
	}
	return statement, nil
}

// statements are the opening as SQL without parameters.
func (o opening) statements() []string {
	if o.begin == "" {
		return nil
	}
	return append([]string{o.begin}, o.settings()...)
}

// settings are the statements after BEGIN.
func (o opening) settings() []string {
	var statements []string
	if o.label != "" {
		statements = append(statements, "select pg_catalog.set_config('application_name',"+literal(o.label)+",true)")
	}
	if o.idle {
		statements = append(statements, liftIdleLimits)
	}
	return statements
}

// liftIdleLimits keeps the server from ending a session that only holds locks.
// Not every version has all of these.
const liftIdleLimits = "select pg_catalog.set_config(name,'0',true) from pg_catalog.pg_settings where name in " +
	"('idle_in_transaction_session_timeout','transaction_timeout')"

// labelStatement is the setting of a label for preparing.
const labelStatement = "select pg_catalog.set_config('application_name',$1,true)"

// texts are the opening as SQL to prepare, with room for more.
func (o opening) texts() []string {
	texts := make([]string, 0, 8)
	if o.begin != "" {
		texts = append(texts, o.begin)
	}
	if o.label != "" {
		texts = append(texts, labelStatement)
	}
	if o.idle {
		texts = append(texts, liftIdleLimits)
	}
	return texts
}

// queue queues the opening, whose texts are prepared, and returns how many
// statements it is.
func (o opening) queue(l *link, pg *pgconn.PgConn) int {
	n := 0
	if o.begin != "" {
		l.run(pg, o.begin, nil, nil)
		n++
	}
	if o.label != "" {
		l.run(pg, labelStatement, [][]byte{[]byte(o.label)}, nil)
		n++
	}
	if o.idle {
		l.run(pg, liftIdleLimits, nil, nil)
		n++
	}
	return n
}

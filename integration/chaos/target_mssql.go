package chaos

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/dialect/mssql"
)

// mssqlTarget is SQL Server, or what stands in for it.
type mssqlTarget struct{}

// outcomeTable is where units leave what Resolve asks for.
const outcomeTable = "dbo.outcome"

func (mssqlTarget) dialect() dialect.Dialect {
	return mssql.Dialect(mssql.WithOutcomeTable(outcomeTable))
}

func (mssqlTarget) open(url string) (*sqlx.DB, error) { return mssql.Open(url) }

// levels: there is no read-only transaction.
func (mssqlTarget) levels(of reach) []isolation {
	snapshot := isolation{level: sql.LevelSnapshot, snapshot: true}
	all := []isolation{
		{level: sql.LevelDefault}, {level: sql.LevelReadCommitted}, {level: sql.LevelRepeatableRead},
		snapshot, snapshot,
	}
	switch of {
	case declare, read:
		return all
	case stale:
		return []isolation{snapshot}
	}
	return all[:1]
}

// schema makes the tables. The server cannot be asked for the position in its
// log, so ticks are identities, which are not given back with their transaction.
func (mssqlTarget) schema() []string {
	return []string{
		`alter database current set allow_snapshot_isolation on`,
		`create table effects (unit nvarchar(40), attempt int, seq int, lockname nvarchar(40), n bigint, counted bit, account int, delta bigint, linger float)`,
		`create index effects_lock on effects (lockname, n)`,
		`create index effects_unit on effects (unit)`,
		`create table counters (lockname nvarchar(40) not null primary key, n bigint)`,
		`create table accounts (id int not null primary key, balance bigint)`,
		`create table taken (id int not null primary key)`,
		`create table ticks (id bigint not null identity(1,1), asked bit)`,
	}
}

func (mssqlTarget) tick() string {
	return `insert into ticks (asked) output inserted.id, '' values (1)`
}

func (mssqlTarget) seals() string { return "" }

// held asks for the mode that the transaction has.
func (mssqlTarget) held(name string, mode dialect.Mode) (string, []any) {
	modes := "'Exclusive'"
	if mode != dialect.Exclusive {
		modes += ", 'Update', 'UpdateIntentExclusive', 'SharedIntentExclusive'"
	}
	if mode == dialect.Shared {
		modes += ", 'Shared'"
	}
	return "select case when applock_mode('public', ?, 'Transaction') in (" + modes + ") then 1 else 0 end",
		[]any{mssql.Resource(name)}
}

func (mssqlTarget) returning(insert, column string) string {
	return strings.Replace(insert, " values ", " output inserted."+column+" values ", 1)
}

// sessions are shown with the label, which is what their context_info has before
// its padding.
func (mssqlTarget) sessions(ctx context.Context, admin *sqlx.DB) ([]session, error) {
	var rows []struct {
		ID    int    `db:"session_id"`
		Label []byte `db:"context_info"`
	}
	err := admin.SelectContext(ctx, &rows, `select session_id, context_info from sys.dm_exec_sessions
		where login_name = @p1 and (status = 'running' or open_transaction_count > 0) order by session_id`, workerRole)
	var found []session
	for _, r := range rows {
		found = append(found, session{ID: r.ID, Unit: string(bytes.TrimRight(r.Label, "\x00"))})
	}
	return found, err
}

func (mssqlTarget) terminate(ctx context.Context, admin *sqlx.DB, s session) (bool, error) {
	_, err := admin.ExecContext(ctx, fmt.Sprintf("kill %d", s.ID))
	return err == nil, err
}

func (mssqlTarget) leftovers(ctx context.Context, admin *sqlx.DB, connections bool) ([]string, error) {
	least := 0
	if !connections {
		least = 1
	}
	var found []string
	for _, query := range []string{
		`select concat('application lock ', resource_description, ' of session ', request_session_id)
			from sys.dm_tran_locks where resource_type = 'APPLICATION'`,
		`select concat('session ', session_id, ' with ', open_transaction_count, ' transactions open') from sys.dm_exec_sessions
			where login_name = '` + workerRole + fmt.Sprintf("' and open_transaction_count >= %d", least),
	} {
		var more []string
		if err := admin.SelectContext(ctx, &more, query); err != nil {
			return found, err
		}
		found = append(found, more...)
	}
	return found, nil
}

package chaos

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/dialect/postgres"
)

// postgresTarget is PostgreSQL, directly and through PgBouncer.
type postgresTarget struct{}

func (postgresTarget) dialect() dialect.Dialect { return postgres.Dialect() }

func (postgresTarget) open(url string) (*sqlx.DB, error) { return postgres.Open(url) }

// workerRole is whom workers connect as: one who may do nothing special, so that
// the library is seen to need no more.
const workerRole, workerPassword = "chaos", "chaos"

// schema makes the tables. An effect may linger: its COMMIT then takes a while,
// in which it can be cut, cancelled and killed. seals has a tick of each COMMIT.
func (postgresTarget) schema() []string {
	return []string{
		`create table effects (unit text, attempt int, seq int, lockname text, n bigint, counted boolean, account int, delta bigint, linger float8)`,
		`create index on effects (lockname, n)`,
		`create index on effects (unit)`,
		`create table counters (lockname text primary key, n bigint)`,
		`create table accounts (id int primary key, balance bigint)`,
		`create table taken (id int primary key)`,
		`create table seals (unit text, attempt int, tick bigint, epoch text)`,
		`create function seal() returns trigger language plpgsql as $$ begin
			if new.linger > 0 then perform pg_sleep(new.linger); end if;
			insert into seals values (new.unit, new.attempt, pg_current_wal_insert_lsn() - '0/0', pg_postmaster_start_time()::text);
			return null; end $$`,
		`create constraint trigger seal after insert on effects deferrable initially deferred
			for each row when (new.seq = 1) execute function seal()`,
	}
}

func (postgresTarget) levels(of reach) []isolation {
	repeatable := isolation{level: sql.LevelRepeatableRead, snapshot: true}
	all := []isolation{
		{level: sql.LevelDefault}, {level: sql.LevelReadCommitted}, repeatable, repeatable,
		{level: sql.LevelSerializable, snapshot: true},
	}
	switch of {
	case declare:
		return all
	case read:
		return append(all, isolation{readOnly: true})
	case stale:
		return []isolation{repeatable}
	}
	return all[:1]
}

func (postgresTarget) seals() string { return "select unit, attempt, tick, epoch from seals" }

func (postgresTarget) tick() string {
	return `select (pg_current_wal_insert_lsn() - '0/0')::bigint, pg_postmaster_start_time()::text`
}

// held asks for the key that every mode has and, for Update, for the pair of its
// halves as well.
func (postgresTarget) held(name string, mode dialect.Mode) (string, []any) {
	key := uint64(postgres.Key(name))
	return `select case when count(*) filter (where objsubid = 1 and mode = any (string_to_array(?, ','))) > 0
			and (? <> 'update' or count(*) filter (where objsubid = 2 and mode = 'ExclusiveLock') > 0) then 1 else 0 end
		from pg_locks where locktype = 'advisory' and granted and pid = pg_backend_pid()
		and database = (select oid from pg_database where datname = current_database())
		and classid::bigint = ? and objid::bigint = ?`,
		[]any{serverModes(mode), mode.String(), int64(key >> 32), int64(key & 0xffffffff)}
}

func serverModes(mode dialect.Mode) string {
	if mode == dialect.Exclusive {
		return "ExclusiveLock"
	}
	return "ShareLock,ExclusiveLock"
}

func (postgresTarget) returning(insert, column string) string {
	return fmt.Sprintf("%s returning %s", insert, column)
}

func (postgresTarget) sessions(ctx context.Context, admin *sqlx.DB) ([]session, error) {
	var found []session
	err := admin.SelectContext(ctx, &found, `select pid as id, application_name as unit from pg_stat_activity
		where usename = $1 and backend_type = 'client backend' and state <> 'idle' order by pid`, workerRole)
	return found, err
}

func (postgresTarget) terminate(ctx context.Context, admin *sqlx.DB, s session) (done bool, err error) {
	err = admin.GetContext(ctx, &done, "select pg_terminate_backend($1)", s.ID)
	return done, err
}

func (postgresTarget) interrupt(ctx context.Context, admin *sqlx.DB, s session) (done bool, err error) {
	err = admin.GetContext(ctx, &done, "select pg_cancel_backend($1)", s.ID)
	return done, err
}

func (postgresTarget) leftovers(ctx context.Context, admin *sqlx.DB, connections bool) ([]string, error) {
	var found []string
	err := admin.SelectContext(ctx, &found, `select format('advisory lock %s of session %s', coalesce(classid, 0)::text || ':' || objid, pid)
			from pg_locks where locktype = 'advisory'
		union all select format('prepared transaction %s', gid) from pg_prepared_xacts
		union all select format('session %s of %s, %s: %s', pid, application_name, state, left(query, 80)) from pg_stat_activity
			where usename = $1 and backend_type = 'client backend' and ($2 or state <> 'idle')`, workerRole, connections)
	return found, err
}

package database

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect/postgres"
)

func postgresProduct() Product {
	return Product{
		ID: "postgres", Name: "PostgreSQL", schemes: []string{"postgres", "postgresql"},
		open: postgres.Open, dialect: postgres.Dialect,
		recipe: postgresRecipe, end: endPostgres,
	}
}

func postgresRecipe(_, name string, mode applock.Mode) (Recipe, error) {
	function := "pg_advisory_xact_lock"
	if mode == applock.ModeShared {
		function += "_shared"
	}
	quoted := "'" + strings.ReplaceAll(name, "'", "''") + "'"
	code := "begin;\n" +
		"select " + function + "(('x'||left(encode(sha256(convert_to(" + quoted + ",'UTF8')),'hex'),16))::bit(64)::bigint);\n" +
		"-- the work\n" +
		"commit;"
	return Recipe{What: "key", Key: strconv.FormatInt(postgres.Key(name), 10), Code: code}, nil
}

// endHolder ends a session in the statement that sees it hold the lock: it may
// have gone on to something else since it was seen last.
const endHolder = `select pg_catalog.pg_terminate_backend(pid) from (
	select distinct pid from pg_catalog.pg_locks
	where locktype = 'advisory' and granted and pid = $1::int and ((classid::bigint << 32) | objid::bigint) = $2::bigint
	and database = (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database())) holder`

// insufficientPrivilege is the code of PostgreSQL for what a role may not do.
const insufficientPrivilege = "42501"

func endPostgres(ctx context.Context, db *sqlx.DB, name string, holder applock.Session) error {
	if holder.ID == "" {
		return fmt.Errorf("a prepared transaction %w: end it by ROLLBACK PREPARED", ErrCannotEnd)
	}
	pid, err := strconv.Atoi(holder.ID)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, endHolder, pid, postgres.Key(name))
	var answer *pgconn.PgError
	if errors.As(err, &answer) && answer.Code == insufficientPrivilege {
		return fmt.Errorf("%w: %s: the role must be the session's own or a member of pg_signal_backend", ErrNotPermitted, answer.Message)
	}
	return err
}

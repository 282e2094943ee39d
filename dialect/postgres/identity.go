package postgres

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lockstep-go/lockstep/dialect"
)

// identity is what is known of a transaction's id, which the server assigns
// with the first write. It must be known before COMMIT is sent: afterwards there
// may be nobody left to ask.
type identity struct {
	id      string
	history string // in which the id means something
	session string // the server's process, known once locks were taken
	ran     bool   // a statement of the caller's was run
	wrote   bool   // a statement since the last question is likely to have written
	unsure  bool   // a statement since the last question may have written
}

// idOf yields the id of the transaction. The history in which alone it means
// something comes with it until it is known of the connection: after a crash or
// the promotion of a standby, ids whose first record was not written out, or not
// replicated, are given again. The history is the timeline, which a promotion
// changes, and the age of the statistics, which a crash resets and an orderly
// restart does not.
const (
	idIfAssigned = "select pg_catalog.pg_current_xact_id_if_assigned()::text"
	idAssigned   = "select pg_catalog.pg_current_xact_id()::text"
	andHistory   = "||':'||pg_catalog.pg_backend_pid()::text||':'||" + history
	// Aurora has no log of this kind, and refuses to be asked.
	history = "case when pg_catalog.pg_is_in_recovery() or pg_catalog.to_regproc('aurora_version') is not null then '' else " +
		"pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()),8)||'/'||" +
		"extract(epoch from pg_catalog.pg_stat_get_bgwriter_stat_reset_time())::text end"
)

// question asks for the transaction's id, if it has one.
func (t *tx) question() string { return t.asking(idIfAssigned, idIfAssigned+andHistory) }

// assignment gives the transaction an id and asks for it.
func (t *tx) assignment() string { return t.asking(idAssigned, idAssigned+andHistory) }

func (t *tx) asking(short, long string) string {
	if t.native != nil && t.native.link.direct && t.native.link.history != "" {
		return short
	}
	return long
}

// timelineDigits is how much of a history is its timeline, in hexadecimal.
const timelineDigits = 8

// learn takes the answer to question; "" means that nothing was written yet.
func (t *tx) learn(answer string) {
	i := &t.identity
	i.wrote, i.unsure = false, false
	var more string
	var whole bool
	if i.id, more, whole = strings.Cut(answer, ":"); !whole {
		if t.native != nil {
			i.history = t.native.link.history
		}
		return
	}
	var pid string
	pid, i.history, _ = strings.Cut(more, ":")
	if t.native != nil {
		t.native.link.answeredBy(pid)
		if t.native.link.direct {
			t.native.link.history = i.history
		}
	}
}

// Observe implements dialect.Observer.
func (t *tx) Observe(query string) error {
	if err := t.refuseControl(query); err != nil {
		return err
	}
	t.identity.ran = true
	if t.identity.id != "" || t.readOnly {
		return nil
	}
	switch effect := effectOf(query); effect {
	case writes:
		t.identity.wrote = true
	case mayWrite:
		t.identity.unsure = true
	}
	return nil
}

// refuseControl refuses statements that would end the transaction, or free locks
// taken since a savepoint, behind the unit's back.
func (t *tx) refuseControl(query string) error {
	if copiesFromClient(query) {
		return &dialect.Error{Kind: dialect.Unsupported, Detail: "COPY FROM STDIN has no data to read: use Raw and CopyFrom"}
	}
	if t.readOnly && lifts(query) {
		return &dialect.Error{Kind: dialect.Unsupported, Detail: "a read-only unit stays read-only"}
	}
	if !endsTransaction(query) {
		return nil
	}
	return &dialect.Error{
		Kind:   dialect.Unsupported,
		Detail: "COMMIT, ROLLBACK and ROLLBACK TO cannot be sent as statements: use the unit of work's end and Nested",
	}
}

// runAsking runs statements and, if the id is wanted, the question for it, which
// costs nothing on a native wire.
func (t *tx) runAsking(ctx context.Context, run func(context.Context, ...string) ([]row, error), statements ...string) error {
	if t.native == nil || !t.identity.wrote && !t.identity.unsure {
		_, err := run(ctx, statements...)
		return err
	}
	rows, err := run(ctx, append(statements, t.question())...)
	if err == nil {
		t.learn(rows[len(statements)][0])
	}
	return err
}

// identify asks for the id before COMMIT if the transaction has written by a
// statement that the question could not travel with.
func (t *tx) identify(ctx context.Context) error {
	if !t.identity.wrote && !t.identity.unsure {
		return nil
	}
	rows, err := t.wire.last(ctx, t.question())
	if err == nil {
		t.learn(rows[0][0])
	}
	return err
}

// Ref implements dialect.Identified.
func (t *tx) Ref() dialect.Ref {
	i := &t.identity
	return dialect.Ref{
		ID:       i.id,
		History:  i.history,
		Session:  i.session,
		ReadOnly: t.readOnly || !i.ran,
	}
}

// Resolve implements dialect.Resolver. A transaction that is still open because
// its server has not noticed the loss of its connection is ended: its unit is
// over, and its locks bar others. One that is committing is waited for.
func (d) Resolve(ctx context.Context, conn *sql.Conn, ref dialect.Ref) (dialect.Outcome, error) {
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		decided, own, outcome, err := lookUp(ctx, conn, ref)
		if decided || err != nil {
			return outcome, err
		}
		if own {
			err = endIdle(ctx, conn, ref)
		}
		if err != nil {
			return dialect.InDoubt, err
		}
		if err := pauseFor(ctx, pause); err != nil {
			return dialect.InDoubt, err
		}
	}
}

// lookUp asks once. An id of another history that this one knows as committed may
// have been given twice: then nobody can tell. One that is not committed here,
// for whichever of the two, is not in this history. One in progress is the
// unit's own for sure in its own history alone.
func lookUp(ctx context.Context, conn *sql.Conn, ref dialect.Ref) (decided, own bool, outcome dialect.Outcome, err error) {
	var current string
	if err := conn.QueryRowContext(ctx, "select "+history).Scan(&current); err != nil {
		return true, false, dialect.InDoubt, err
	}
	elsewhere := current != "" && ref.History != "" && current != ref.History
	promoted := elsewhere && current[:timelineDigits] != ref.History[:min(timelineDigits, len(ref.History))]
	if promoted && current < ref.History {
		return true, false, dialect.InDoubt, unresolvable("this server was left behind by the one that ran the transaction")
	}
	var status sql.NullString
	err = conn.QueryRowContext(ctx, "select pg_catalog.pg_xact_status($1::text::xid8)", ref.ID).Scan(&status)
	var answer *pgconn.PgError
	switch {
	case elsewhere && errors.As(err, &answer) && answer.Code == "22023": // an id not given yet
		return true, false, dialect.RolledBack, nil
	case err != nil:
		return true, false, dialect.InDoubt, err
	case status.String == "aborted", promoted && status.String == "in progress":
		return true, false, dialect.RolledBack, nil
	case status.String == "in progress":
		return false, !elsewhere, dialect.InDoubt, nil
	case status.String != "committed":
		return true, false, dialect.InDoubt, unresolvable("the server no longer knows transaction " + ref.ID)
	case elsewhere:
		return true, false, dialect.InDoubt, unresolvable("the server has crashed, or a standby was promoted, and the id may have been given again")
	}
	return true, false, dialect.Committed, nil
}

func unresolvable(detail string) error {
	return &dialect.Error{Kind: dialect.Unresolvable, Detail: detail}
}

// endIdle ends the session whose transaction it is, if it waits for its client.
// A role that may not do that can only wait.
func endIdle(ctx context.Context, conn *sql.Conn, ref dialect.Ref) error {
	_, err := conn.ExecContext(ctx, `select pg_catalog.pg_terminate_backend(pid) from pg_catalog.pg_stat_activity
		where backend_xid = ($1::text::xid8)::xid and state in ('idle in transaction', 'idle in transaction (aborted)')`, ref.ID)
	if err != nil && classifiedAs(err, dialect.Refused) {
		return nil
	}
	return err
}

func classifiedAs(err error, kind dialect.Kind) bool { return d{}.Classify(err) == kind }

func pauseFor(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return errors.Join(context.Cause(ctx), errors.New("postgres: the transaction is still in progress"))
	}
}

package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lockstep-go/lockstep/dialect"
)

// Exec implements dialect.Tx. Until the transaction has an id, the question for
// it travels with the statement.
func (t *tx) Exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	plainArgs, err := driverArgs(args)
	if err = errors.Join(err, t.refuseControl(query)); err != nil {
		return nil, err
	}
	switch {
	case t.native == nil:
		_ = t.Observe(query)
		return t.conn.ExecContext(ctx, query, args...)
	case t.identity.id != "" || t.readOnly || !batchable(plainArgs):
		_ = t.Observe(query)
		return t.execAlone(ctx, query, plainArgs)
	}
	return t.execFused(ctx, opening{}, query, plainArgs)
}

// BeginExec implements dialect.ExecBeginner.
func (d d) BeginExec(ctx context.Context, conn *sql.Conn, b dialect.Begin, query string, args ...any) (dialect.Tx, sql.Result, error) {
	first, err := openingOf(b)
	if err != nil {
		return nil, nil, err
	}
	w, err := connect(conn)
	if err != nil {
		return nil, nil, err
	}
	t := newTx(conn, w, b)
	plainArgs, err := driverArgs(args)
	if err = errors.Join(err, t.refuseControl(query)); err != nil {
		return nil, nil, err
	}
	if t.native == nil || !batchable(plainArgs) {
		return d.beginThenExec(ctx, conn, b, query, args)
	}
	if err := t.native.stale(); err != nil {
		return nil, nil, err
	}
	result, err := t.execFused(ctx, first, query, plainArgs)
	if s := w.state(); err != nil && (s == dialect.Ended || s == dialect.Broken) {
		return nil, nil, err // not begun, or gone
	}
	return t, result, err
}

func (d d) beginThenExec(ctx context.Context, conn *sql.Conn, b dialect.Begin, query string, args []any) (dialect.Tx, sql.Result, error) {
	t, err := d.Begin(ctx, conn, b)
	if err != nil {
		return nil, nil, err
	}
	result, err := t.Exec(ctx, query, args...)
	return t, result, err
}

func (t *tx) execAlone(ctx context.Context, query string, args []any) (sql.Result, error) {
	var tag pgconn.CommandTag
	err := t.native.use(func(c *pgx.Conn) (err error) {
		tag, err = c.Exec(ctx, query, args...)
		return err
	})
	return driver.RowsAffected(tag.RowsAffected()), err
}

// execFused runs first, then the statement, then asks for the transaction's id.
func (t *tx) execFused(ctx context.Context, first opening, query string, args []any) (result sql.Result, err error) {
	t.identity.ran = true
	err = t.native.use(func(c *pgx.Conn) (err error) {
		switch {
		case len(args) == 0:
			result, err = t.execScript(ctx, c.PgConn(), first.statements(), query)
		case t.keeps(first, query, args):
			result, err = t.execPrepared(ctx, c, first, query, args)
		default:
			result, err = t.execBatch(ctx, c, first.statements(), query, args)
		}
		return err
	})
	return result, err
}

// keeps reports whether execPrepared will do. Statements that are lost can be
// prepared anew with the whole transaction only; a pool may drop them whenever
// it gives a connection out.
func (t *tx) keeps(first opening, query string, args []any) bool {
	if _, rewrites := args[0].(pgx.QueryRewriter); rewrites {
		return false
	}
	l := t.native.link
	mayBeLost := first.begin == "" && !t.proven && l.olderThan(t.since, query, t.question())
	return l.prepares() && l.history != "" && !mayBeLost
}

// execScript uses the simple protocol, as pgx does for statements without
// arguments: the query may be several. A newline ends a comment at its end.
func (t *tx) execScript(ctx context.Context, pg *pgconn.PgConn, first []string, query string) (sql.Result, error) {
	text := ""
	for _, s := range first {
		text += s + ";"
	}
	reader := pg.Exec(ctx, text+query+"\n;"+t.question())
	var tags []pgconn.CommandTag
	var id row
	for reader.NextResult() {
		var err error
		result := reader.ResultReader()
		if id, err = firstRow(result); err != nil {
			break // Close reports it
		}
		tag, _ := result.Close()
		tags = append(tags, tag)
	}
	if err := reader.Close(); err != nil {
		return nil, err
	}
	if pg.TxStatus() == 'T' {
		t.learn(id[0])
	}
	if len(tags) < len(first)+2 {
		return driver.RowsAffected(0), nil // the query was empty
	}
	return driver.RowsAffected(tags[len(tags)-2].RowsAffected()), nil
}

// execBatch leaves it to pgx how the statements are prepared.
func (t *tx) execBatch(ctx context.Context, c *pgx.Conn, first []string, query string, args []any) (sql.Result, error) {
	batch := &pgx.Batch{}
	for _, s := range first {
		batch.Queue(s)
	}
	batch.Queue(query, args...)
	batch.Queue(t.question())
	results := c.SendBatch(ctx, batch)
	tag, id, err := readBatch(results, len(first))
	if err = firstOf(err, results.Close()); err != nil {
		return nil, err
	}
	t.learn(id)
	return driver.RowsAffected(tag.RowsAffected()), nil
}

func readBatch(results pgx.BatchResults, skip int) (tag pgconn.CommandTag, id string, err error) {
	for range skip {
		if _, err = results.Exec(); err != nil {
			return tag, "", err
		}
	}
	if tag, err = results.Exec(); err != nil {
		return tag, "", err
	}
	var value *string
	if err = results.QueryRow().Scan(&value); err == nil && value != nil {
		id = *value
	}
	return tag, id, err
}

// execPrepared is execBatch on a connection whose statements the library keeps
// prepared itself. It is done again when the statements turn out to be gone.
func (t *tx) execPrepared(ctx context.Context, c *pgx.Conn, first opening, query string, args []any) (sql.Result, error) {
	l, question := t.native.link, t.question()
	texts := append(first.texts(), query, question)
	for again := false; ; again = true {
		if err := l.encode(ctx, c, texts, query, args); err != nil {
			return nil, err
		}
		if size(l.values.ParamValues) > smallEnough {
			l.values = pgx.ExtendedQueryBuilder{} // it would keep them
			return t.execBatch(ctx, c, first.statements(), query, args)
		}
		affected, id, err := l.runFused(ctx, c.PgConn(), first, query, question)
		if err == nil {
			t.proven = t.proven || l.known
			t.learn(id)
			return driver.RowsAffected(affected), nil
		}
		if lost := l.lost(err); !lost || again || first.begin == "" {
			l.failed(query, err)
			return nil, err
		}
		if undone := l.undoBegun(c.PgConn()); undone != nil {
			return nil, undone
		}
	}
}

// encode prepares what is not, and gives the arguments their form on the wire.
func (l *link) encode(ctx context.Context, c *pgx.Conn, texts []string, query string, args []any) error {
	if err := l.prepare(ctx, c.PgConn(), texts...); err != nil {
		return err
	}
	err := l.values.Build(c.TypeMap(), l.prepared[query].StatementDescription, args)
	if err != nil {
		l.drop(query) // its parameters may have other types by now
	}
	return err
}

// runFused runs, in one round trip, what encode has made ready.
func (l *link) runFused(ctx context.Context, pg *pgconn.PgConn, first opening, query, question string) (affected int64, id string, err error) {
	err = cancellably(ctx, pg, func() error {
		before := first.queue(l, pg)
		l.talk.run(pg, l.prepared[query].Name, l.values.ParamValues, l.values.ParamFormats, l.values.ResultFormats)
		l.run(pg, question, nil, nil)
		_, err := l.talk.finish(pg, answers{
			row: func(i int, values [][]byte) {
				if i == before+1 {
					id = string(values[0])
				}
			},
			tag: func(i int, tag []byte) {
				if i == before {
					affected = pgconn.NewCommandTag(string(tag)).RowsAffected()
				}
			},
		})
		return err
	})
	return affected, id, err
}

// size is how many bytes values are.
func size(values [][]byte) int {
	n := 0
	for _, v := range values {
		n += len(v)
	}
	return n
}

// driverArgs gives arguments the form in which database/sql would hand them to
// pgx's driver: unchanged, save that a named one is its value.
func driverArgs(args []any) ([]any, error) {
	var plain []any
	for i, arg := range args {
		switch a := arg.(type) {
		case sql.NamedArg:
			if plain == nil {
				plain = append([]any(nil), args...)
			}
			plain[i] = a.Value
		case sql.Out:
			return nil, &dialect.Error{Kind: dialect.Unsupported, Detail: "PostgreSQL has no output parameters"}
		}
	}
	if plain == nil {
		return args, nil
	}
	return plain, nil
}

// batchable reports whether args hold none of pgx's per-statement options,
// which a batch does not take.
func batchable(args []any) bool {
	if len(args) == 0 {
		return true
	}
	switch args[0].(type) {
	case pgx.QueryExecMode, pgx.QueryResultFormats, pgx.QueryResultFormatsByOID:
		return false
	}
	return true
}

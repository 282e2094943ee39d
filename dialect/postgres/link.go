package postgres

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lockstep-go/lockstep/dialect"
)

// link is what has been learned of one connection of the driver's. It is used
// by whoever uses the connection, and lives in it.
type link struct {
	left    func() bool // whether the server has closed the idle connection; nil if that cannot be seen
	profile *profile    // nil before the first locks
	pid     string      // of the server's process, as the connection was told

	// direct is set when the server's process was seen to be the one that the
	// connection was told of: no pooler is between, and what is learned of the
	// server's session stays true. Behind a pooler it stays unset.
	direct bool
	// history is the one in which ids mean something on this session; "" until
	// it is known. It cannot change under a session of a primary: a crash ends
	// it, and so does what makes a server a standby. Statistics that somebody
	// resets make it look as though it had, and Resolve then cannot tell.
	history string

	// named is set where statements may be prepared by name: pgx's default,
	// which poolers oblige users to change.
	named    bool
	capacity int
	prepared map[string]kept // by text
	dropped  []string        // names still to be closed
	count    int             // of all ever prepared, makes names unique
	known    bool            // what was asked for last was prepared already
	values   pgx.ExtendedQueryBuilder
	talk     talk
	keys     [2][]byte // of the lock being queued
}

// kept is a statement that is kept prepared.
type kept struct {
	*pgconn.StatementDescription
	born int // how many had been prepared before it
}

const linkKey = "lockstep.link"

// linkOf finds what is known of a connection.
func linkOf(c *pgx.Conn) *link {
	data := c.PgConn().CustomData()
	if l, ok := data[linkKey].(*link); ok {
		return l
	}
	config := c.Config()
	l := &link{
		left: idleLook(c.PgConn().Conn()),
		pid:  strconv.FormatUint(uint64(c.PgConn().PID()), 10),
		// A tracer is to see every statement, which pgx shows it.
		named:    config.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement && config.Tracer == nil,
		capacity: config.StatementCacheCapacity,
	}
	data[linkKey] = l
	return l
}

// answeredBy takes the number of the server's process that has answered.
func (l *link) answeredBy(pid string) { l.direct = l.direct || pid == l.pid }

// prepares reports whether statements of the library's own and callers' may be
// kept prepared on this connection.
func (l *link) prepares() bool { return l.direct && l.named && l.capacity > 0 }

// prepare prepares what is not prepared yet, in one round trip.
func (l *link) prepare(ctx context.Context, pg *pgconn.PgConn, texts ...string) error {
	missing := l.missing(texts)
	l.known = len(missing) == 0
	if l.known {
		return nil
	}
	if len(l.prepared)+len(missing) > l.capacity {
		l.dropAll()
		missing = l.missing(texts)
	}
	pipeline := pg.StartPipeline(ctx)
	for _, name := range l.dropped {
		pipeline.SendDeallocate(name)
	}
	l.dropped = nil
	first := l.count
	for _, text := range missing {
		pipeline.SendPrepare(l.name(l.count), text, nil)
		l.count++
	}
	err := pipeline.Sync()
	if err == nil {
		err = l.readPrepared(pipeline, first, missing)
	}
	return firstOf(err, pipeline.Close())
}

// run queues a statement of the library's own, which is prepared.
func (l *link) run(pg *pgconn.PgConn, text string, values [][]byte, formats []int16) {
	l.talk.run(pg, l.prepared[text].Name, values, formats, nil)
}

// firstOf is the first failure of two that may be the same.
func firstOf(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

func (l *link) name(n int) string { return "lockstep_" + strconv.Itoa(n) }

// readPrepared reads the descriptions of the statements named from first on.
func (l *link) readPrepared(pipeline *pgconn.Pipeline, first int, texts []string) error {
	if l.prepared == nil {
		l.prepared = make(map[string]kept)
	}
	for i := 0; i < len(texts); {
		result, err := pipeline.GetResults()
		if err != nil {
			return err
		}
		if described, ok := result.(*pgconn.StatementDescription); ok {
			described.Name, described.SQL = l.name(first+i), texts[i]
			l.prepared[texts[i]] = kept{described, first + i}
			i++
		}
	}
	return nil
}

func (l *link) missing(texts []string) []string {
	var missing []string
	for _, text := range texts {
		if _, ok := l.prepared[text]; !ok && !slices.Contains(missing, text) {
			missing = append(missing, text)
		}
	}
	return missing
}

// olderThan reports whether one of the statements was prepared when so many had
// been.
func (l *link) olderThan(count int, texts ...string) bool {
	return slices.ContainsFunc(texts, func(text string) bool {
		k, ok := l.prepared[text]
		return ok && k.born < count
	})
}

// drop forgets a statement, to be closed with the next that is prepared.
func (l *link) drop(text string) {
	if k, ok := l.prepared[text]; ok {
		l.dropped = append(l.dropped, k.Name)
		delete(l.prepared, text)
	}
}

func (l *link) dropAll() {
	for text := range l.prepared {
		l.drop(text)
	}
}

// failed looks whether a prepared statement of the caller's is to blame for a
// failure: what it refers to may have changed since.
func (l *link) failed(text string, err error) {
	var answer *pgconn.PgError
	if !errors.As(err, &answer) {
		return
	}
	for _, class := range []string{"23", "40", "55", "57"} { // the rows', other transactions', or the operator's doing
		if strings.HasPrefix(answer.Code, class) {
			return
		}
	}
	l.drop(text)
}

// lost reports that the session's prepared statements are gone, as after
// DISCARD ALL, and forgets them.
func (l *link) lost(err error) bool {
	var answer *pgconn.PgError
	if !errors.As(err, &answer) || answer.Code != "26000" || dialect.IsPoisoned(err) {
		return false
	}
	l.dropAll() // to close what is not there is no error, and somebody else may have raised this one
	return true
}

// undoBegun rolls back a transaction that has begun, and failed at once because
// statements were lost, so that it can be begun again.
func (l *link) undoBegun(pg *pgconn.PgConn) error {
	if pg.TxStatus() != 'E' {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	return within(ctx, pg, func() error {
		_, err := l.talk.ask(pg, "rollback", answers{})
		return err
	})
}

package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
)

// cancelGrace is how long the server may take to answer a cancelled statement
// before its connection is closed.
const cancelGrace = 5 * time.Second

// Open returns a database for dsn, a URL or keyword string as pgx takes it. It
// does no I/O; the caller closes it. Unlike sql.Open("pgx", dsn), a ctx that
// ends cancels its statement on the server and keeps the connection, which is
// closed only if the server has not answered within 5 seconds. An error tells
// what is wrong with dsn, without its password.
func Open(dsn string) (*sqlx.DB, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	return OpenConfig(config), nil
}

// OpenConfig is Open for a config that pgx.ParseConfig has made, for what a DSN
// cannot say. Its BuildContextWatcherHandler is replaced; config is not changed.
func OpenConfig(config *pgx.ConnConfig) *sqlx.DB {
	own := config.Copy()
	own.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &cancelHandler{conn: conn}
	}
	return sqlx.NewDb(stdlib.OpenDB(*own), "pgx")
}

// cancelSettles is how long a cancel that the server has taken may need to reach
// the session it is meant for. The next statement waits so that it is not hit.
const cancelSettles = 100 * time.Millisecond

// cancelHandler cancels a statement on the server when its ctx ends. pgx's own
// drops its cancel request half-way when the statement is answered meanwhile,
// which ends PgBouncer 1.18 altogether.
type cancelHandler struct {
	conn *pgconn.PgConn
	sent *canceller
}

// HandleCancel implements ctxwatch.Handler.
func (h *cancelHandler) HandleCancel(context.Context) {
	h.sent = &canceller{conn: h.conn, done: make(chan struct{})}
	go h.sent.cancel()
}

// HandleUnwatchAfterCancel implements ctxwatch.Handler.
func (h *cancelHandler) HandleUnwatchAfterCancel() {
	<-h.sent.done
	_ = h.conn.Conn().SetDeadline(time.Time{})
	if !h.conn.IsClosed() {
		time.Sleep(cancelSettles)
	}
}

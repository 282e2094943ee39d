package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lockstep-go/lockstep/dialect"
)

func TestClassifyAnswers(t *testing.T) {
	t.Parallel()
	for state, want := range map[string]dialect.Kind{
		"40001": dialect.Serialization, "40P01": dialect.Deadlock, "55P03": dialect.LockTimeout, "57014": dialect.Cancelled,
		"25006": dialect.ReadOnly, "25P02": dialect.Aborted, "25P03": dialect.Refused, "53200": dialect.OutOfLocks,
		"53300": dialect.Refused, "57P03": dialect.Refused, "08006": dialect.Refused, "08P01": dialect.Refused,
		"23505": dialect.Refused, "42601": dialect.Refused, "53100": dialect.Refused, "XX000": dialect.Refused, "": dialect.Refused,
	} {
		answer := &pgconn.PgError{Code: state, Severity: "FEHLER", SeverityUnlocalized: "ERROR"}
		for _, err := range []error{answer, fmt.Errorf("wrapped: %w", answer), errors.Join(io.EOF, answer)} {
			if got := Dialect().Classify(err); got != want {
				t.Errorf("%s: %v, want %v", state, got, want)
			}
		}
	}
}

// TestClassifyFatal has the server end the connection: what it says then is no
// answer to the statement, whatever its code.
func TestClassifyFatal(t *testing.T) {
	t.Parallel()
	for _, e := range []*pgconn.PgError{
		{Code: "57P01", SeverityUnlocalized: "FATAL", Severity: "FATAL"},
		{Code: "XX000", SeverityUnlocalized: "PANIC", Severity: "PANIK"},
		{Code: "57P02", Severity: "FATAL"}, // a server before 9.6
	} {
		if got := Dialect().Classify(e); got != dialect.ConnectionLost {
			t.Errorf("%s %s: %v", e.Severity, e.Code, got)
		}
	}
	idle := &pgconn.PgError{Code: "25P03", SeverityUnlocalized: "FATAL"}
	if got := Dialect().Classify(idle); got != dialect.IdleTimeout || !errors.Is(got, dialect.ConnectionLost) {
		t.Errorf("idle in transaction: %v", got)
	}
}

func TestClassifyOtherErrors(t *testing.T) {
	t.Parallel()
	network := &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}
	for err, want := range map[error]dialect.Kind{
		nil: dialect.Unknown, errors.New("FATAL: deadlock detected (SQLSTATE 40P01)"): dialect.Unknown,
		sql.ErrNoRows: dialect.Unknown, context.Canceled: dialect.Unknown,
		driver.ErrBadConn: dialect.ConnectionLost, sql.ErrConnDone: dialect.ConnectionLost, io.EOF: dialect.ConnectionLost,
		io.ErrUnexpectedEOF: dialect.ConnectionLost, net.ErrClosed: dialect.ConnectionLost, network: dialect.ConnectionLost,
	} {
		if got := Dialect().Classify(err); got != want {
			t.Errorf("%v: %v, want %v", err, got, want)
		}
	}
}

// TestClassifyConnecting fails before anything could be sent.
func TestClassifyConnecting(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := Open("postgres://nobody@" + address + "/none?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if got := Dialect().Classify(db.PingContext(t.Context())); got != dialect.Unavailable {
		t.Errorf("no server: %v, want %v", got, dialect.Unavailable)
	}
}

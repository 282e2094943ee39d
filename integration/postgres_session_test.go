package integration

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lockstep-go/lockstep/integration/servers/serverstest"
)

// session is one connection to the server, without the library.
type session struct {
	*testing.T
	conn *pgx.Conn
}

const factPatience = 30 * time.Second

// sessions opens n connections to a database of the test's own.
func sessions(t *testing.T, n int) []session {
	t.Helper()
	t.Parallel()
	dsn := serverstest.PostgresDatabase(t)
	all := make([]session, n)
	for i := range all {
		all[i] = connectSession(t, dsn)
	}
	return all
}

func connectSession(t *testing.T, dsn string) session {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), factPatience)
		defer cancel()
		_ = conn.Close(ctx)
	})
	return session{t, conn}
}

// send runs statements in one simple message and returns the first column of
// each result's first row, as text, and what failed.
func (s session) send(sql string) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), factPatience)
	defer cancel()
	var texts []string
	results, err := s.conn.PgConn().Exec(ctx, sql).ReadAll()
	for _, r := range results {
		text := r.CommandTag.String()
		if len(r.Rows) > 0 {
			text = string(r.Rows[0][0])
		}
		texts = append(texts, text)
	}
	return texts, err
}

// do runs statements and returns the last result.
func (s session) do(sql string) string {
	s.Helper()
	texts, err := s.send(sql)
	if err != nil {
		s.Fatalf("%s: %v", sql, err)
	}
	return texts[len(texts)-1]
}

// wants reports another last result than want.
func (s session) wants(sql, want string) {
	s.Helper()
	if got := s.do(sql); got != want {
		s.Errorf("%s: %q, want %q", sql, got, want)
	}
}

// fails runs statements that fail with a SQLSTATE, and returns what succeeded
// before.
func (s session) fails(sql, state string) []string {
	s.Helper()
	texts, err := s.send(sql)
	s.wantState(sql, err, state)
	return texts
}

func (s session) wantState(sql string, err error, state string) {
	s.Helper()
	var answer *pgconn.PgError
	if !errors.As(err, &answer) || answer.Code != state {
		s.Errorf("%s: %v, want SQLSTATE %s", sql, err, state)
	}
}

// wantStatus reports another transaction status than the driver has been told.
func (s session) wantStatus(want byte) {
	s.Helper()
	if got := s.conn.PgConn().TxStatus(); got != want {
		s.Errorf("transaction status %c, want %c", got, want)
	}
}

// starts runs statements that wait, and returns once n sessions of the database
// wait for a lock.
func (s session) starts(sql string, watcher session, n string) <-chan error {
	s.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := s.send(sql)
		done <- err
	}()
	watcher.until("select count(*) from pg_locks where locktype='advisory' and not granted and database="+ourDatabase, n)
	return done
}

const ourDatabase = "(select oid from pg_database where datname=current_database())"

// held counts the advisory locks of the database.
const held = "select count(*) from pg_locks where locktype='advisory' and granted and database=" + ourDatabase

// until polls what only the server can tell.
func (s session) until(sql, want string) {
	s.Helper()
	got := ""
	for deadline := time.Now().Add(factPatience); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if got = s.do(sql); got == want {
			return
		}
	}
	s.Fatalf("%s: still %q, want %q", sql, got, want)
}

// ends waits for what starts has started.
func (s session) ends(done <-chan error) error {
	s.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(factPatience):
		s.Fatal("waited in vain")
		return nil
	}
}

func (s session) succeeds(done <-chan error) {
	s.Helper()
	if err := s.ends(done); err != nil {
		s.Errorf("unexpected error: %v", err)
	}
}

func (s session) waits(what string, done <-chan error) {
	s.Helper()
	select {
	case err := <-done:
		s.Errorf("%s did not wait: %v", what, err)
	default:
	}
}

package engine_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine"
)

// recorder writes every token of a reply as one line.
type recorder struct{ lines []string }

func (r *recorder) add(format string, args ...any) {
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}

func (r *recorder) Columns(cols []engine.Column) {
	var names []string
	for _, c := range cols {
		names = append(names, c.Name+" "+c.Type.String())
	}
	r.add("columns %s", strings.Join(names, ", "))
}

func (r *recorder) Row(values []any) {
	var all []string
	for _, v := range values {
		switch v := v.(type) {
		case nil:
			all = append(all, "NULL")
		case []byte:
			all = append(all, fmt.Sprintf("0x%X", v))
		case time.Time:
			all = append(all, v.Format("2006-01-02 15:04:05.9999999"))
		default:
			all = append(all, fmt.Sprint(v))
		}
	}
	r.add("row %s", strings.Join(all, "|"))
}

func (r *recorder) Message(m engine.Message) {
	kind := "error"
	if m.Class <= 10 {
		kind = "info"
	}
	r.add("%s %d", kind, m.Number)
}

func (r *recorder) Done(kind engine.DoneKind, status, command uint16, rows uint64) {
	name := map[engine.DoneKind]string{engine.Done: "done", engine.DoneProc: "proc", engine.DoneInProc: "inproc"}[kind]
	r.add("%s(%d,%d,%d)", name, status, command, rows)
}

func (r *recorder) ReturnStatus(status int32) { r.add("status %d", status) }

func (r *recorder) ReturnValue(name string, t engine.Type, value any) {
	r.add("value %s=%v", name, value)
}

func (r *recorder) Transaction(change engine.Change, descriptor uint64) {
	r.add("%s", map[engine.Change]string{engine.Began: "began", engine.Committed: "committed", engine.RolledBack: "rolled back"}[change])
}

func (r *recorder) Database(name string) { r.add("database %s", name) }

// only keeps the lines that begin with one of the words, without it.
func (r *recorder) only(words ...string) string {
	var kept []string
	for _, l := range r.lines {
		word, rest, _ := strings.Cut(l, " ")
		for _, w := range words {
			switch {
			case word != w:
			case len(words) == 1 && rest != "":
				kept = append(kept, rest)
			default:
				kept = append(kept, l)
			}
		}
	}
	return strings.Join(kept, " ")
}

// told is all but results and ends: what the reply says went wrong, returned or
// became of the transaction, and rows.
func (r *recorder) told() string {
	return r.only("row", "error", "info", "status", "value", "began", "committed", "rolled", "database")
}

func (r *recorder) dones() string {
	var kept []string
	for _, l := range r.lines {
		if strings.HasPrefix(l, "done(") || strings.HasPrefix(l, "proc(") || strings.HasPrefix(l, "inproc(") {
			kept = append(kept, l)
		}
	}
	return strings.Join(kept, " ")
}

// client is a session with its test.
type client struct {
	*engine.Session
	t *testing.T
}

func newServer(t *testing.T) *engine.Server {
	t.Helper()
	s := engine.New()
	admin := login(t, s, "master")
	admin.ok("create database d; alter database d set allow_snapshot_isolation on")
	admin.Close()
	return s
}

func login(t *testing.T, s *engine.Server, database string) *client {
	t.Helper()
	n, err := s.Login(engine.Login{User: "sa", Host: "h", App: "a", Database: database})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return &client{n, t}
}

// one returns a server with a client and the table item (1,10), (2,20).
func one(t *testing.T) (*engine.Server, *client) {
	t.Helper()
	s := newServer(t)
	c := login(t, s, "d")
	c.ok("create table item (id int primary key, n int not null); insert into item values (1, 10), (2, 20)")
	return s, c
}

func (c *client) run(sql string) *recorder {
	r := &recorder{}
	c.Batch(context.Background(), sql, r)
	return r
}

// ok runs a batch that must not fail.
func (c *client) ok(sql string) *recorder {
	c.t.Helper()
	r := c.run(sql)
	if e := r.only("error"); e != "" {
		c.t.Fatalf("%s: error %s", sql, e)
	}
	return r
}

// told reports a reply that tells anything but want.
func (c *client) told(sql, want string) {
	c.t.Helper()
	if got := c.run(sql).told(); got != want {
		c.t.Errorf("%s\n got %s\nwant %s", sql, got, want)
	}
}

// rows reports a result with other rows than want.
func (c *client) rows(sql, want string) {
	c.t.Helper()
	r := c.ok(sql)
	if got := r.only("row"); got != want {
		c.t.Errorf("%s\n got %s\nwant %s", sql, got, want)
	}
}

// begins starts a batch on a goroutine and returns where its reply will come.
func (c *client) begins(sql string) <-chan *recorder {
	done := make(chan *recorder, 1)
	go func() { done <- c.run(sql) }()
	return done
}

package mssql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	mssql "github.com/microsoft/go-mssqldb"

	"github.com/lockstep-go/lockstep/dialect"
)

// entriesQuery yields the application locks of this database. The server's
// times are local to it.
const entriesQuery = "SELECT l.resource_description,l.request_mode,l.request_status,CAST(l.request_session_id AS int)," +
	"s.login_name,c.client_net_address,s.program_name,s.context_info," +
	"DATEADD(minute,DATEDIFF(minute,GETDATE(),GETUTCDATE()),a.transaction_begin_time) " +
	"FROM sys.dm_tran_locks l LEFT JOIN sys.dm_exec_sessions s ON s.session_id=l.request_session_id " +
	"LEFT JOIN sys.dm_exec_connections c ON c.session_id=l.request_session_id " +
	"LEFT JOIN sys.dm_tran_active_transactions a ON l.request_owner_type='TRANSACTION' AND a.transaction_id=l.request_owner_id " +
	"WHERE l.resource_type='APPLICATION' AND l.resource_database_id=DB_ID()"

// needsPermission are the errors of a login that may not see the server's state.
var needsPermission = []int32{297, 300, 262, 371}

// entry is one row of sys.dm_tran_locks.
type entry struct {
	description string
	status      string
	session     dialect.Session
}

// The server's words for modes that applocks of other programs may have are
// read as the nearest that is not weaker.
var shownModes = map[string]dialect.Mode{"IS": dialect.Shared, "S": dialect.Shared, "U": dialect.Update}

func readEntry(row []driver.Value) entry {
	mode, ok := shownModes[textOf(row[1])]
	if !ok {
		mode = dialect.Exclusive
	}
	e := entry{description: textOf(row[0]), status: textOf(row[2])}
	e.session = dialect.Session{Mode: mode, User: textOf(row[4]), Host: textOf(row[5]), Label: labelOf(row[7])}
	if id, ok := row[3].(int64); ok {
		e.session.ID = strconv.FormatInt(id, 10)
	}
	if e.session.Label == "" {
		e.session.Label = textOf(row[6])
	}
	e.session.Since, _ = row[8].(time.Time)
	return e
}

func textOf(v driver.Value) string {
	switch text := v.(type) {
	case string:
		return strings.TrimRight(text, " ")
	case []byte:
		return strings.TrimRight(string(text), " ")
	}
	return ""
}

// labelOf reads a context_info that holds a label; other programs may have put
// anything there.
func labelOf(v driver.Value) string {
	info, _ := v.([]byte)
	label := strings.TrimRight(string(info), "\x00")
	if strings.IndexFunc(label, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
		return ""
	}
	return label
}

// resource returns what the server shows of the entry's resource. A description
// reads <principal>:[<first 32 characters>]:(<hash>).
func (e entry) resource() string {
	_, rest, _ := strings.Cut(e.description, ":[")
	if i := strings.LastIndex(rest, "]:("); i >= 0 {
		return rest[:i]
	}
	return rest
}

// Inspect implements dialect.Inspector.
func (d) Inspect(ctx context.Context, conn *sql.Conn, names []string) ([]dialect.LockStatus, error) {
	entries, err := readEntries(ctx, conn)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return group(entries), nil
	}
	all := make([]dialect.LockStatus, len(names))
	for i, name := range names {
		all[i] = dialect.LockStatus{Name: name, Key: Resource(name)}
		own, err := entriesOf(entries, Resource(name))
		if err != nil {
			return nil, err
		}
		all[i].Holders, all[i].Waiters = divide(own)
	}
	return all, nil
}

func readEntries(ctx context.Context, conn *sql.Conn) ([]entry, error) {
	var entries []entry
	err := use(conn, func(c *Conn) error {
		if err := c.restoreLevel(ctx); err != nil {
			return err
		}
		rows, err := c.results(ctx, entriesQuery)
		for _, row := range rows {
			entries = append(entries, readEntry(row))
		}
		return err
	})
	var answer mssql.Error
	if errors.As(err, &answer) && slices.ContainsFunc(append(answer.All, answer), func(e mssql.Error) bool {
		return slices.Contains(needsPermission, e.Number)
	}) {
		return nil, &dialect.Error{Kind: dialect.Unsupported, Err: err,
			Detail: "to see locks, the login needs VIEW SERVER STATE (VIEW SERVER PERFORMANCE STATE since 2022, VIEW DATABASE STATE on Azure)"}
	}
	return entries, err
}

// entriesOf picks the entries of one resource. Of a long one the server shows
// its beginning and a hash of its own.
func entriesOf(entries []entry, resource string) ([]entry, error) {
	shown := visible(resource)
	var own []entry
	for _, e := range entries {
		if e.resource() != shown {
			continue
		}
		if len(own) > 0 && own[0].description != e.description && shown != resource {
			return nil, unsupported("several locks whose names begin alike are in use, and SQL Server shows 32 characters of each")
		}
		own = append(own, e)
	}
	return own, nil
}

// divide tells holders from waiters. Who strengthens a lock is both.
func divide(entries []entry) (holders, waiters []dialect.Session) {
	for _, e := range entries {
		if e.status == "GRANT" {
			holders = append(holders, e.session)
		}
	}
	for _, e := range entries {
		if e.status == "GRANT" {
			continue
		}
		waiters = append(waiters, e.session)
		shown := slices.ContainsFunc(holders, func(s dialect.Session) bool { return s.ID == e.session.ID })
		if e.status == "CONVERT" && !shown {
			holder := e.session
			holder.Mode = 0 // not shown while another is asked for
			holders = append(holders, holder)
		}
	}
	return holders, waiters
}

// group collects entries by resource, in the server's order.
func group(entries []entry) []dialect.LockStatus {
	var order []string
	perLock := make(map[string][]entry)
	for _, e := range entries {
		if perLock[e.description] == nil {
			order = append(order, e.description)
		}
		perLock[e.description] = append(perLock[e.description], e)
	}
	all := make([]dialect.LockStatus, len(order))
	for i, description := range order {
		own := perLock[description]
		all[i].Key = own[0].resource()
		all[i].Holders, all[i].Waiters = divide(own)
	}
	return all
}

// inTheWay reads the holders that a lock batch has returned.
func inTheWay(rows [][]driver.Value, l dialect.Lock) []dialect.Session {
	var entries []entry
	for _, row := range rows {
		if len(row) == 9 {
			entries = append(entries, readEntry(row))
		}
	}
	own, err := entriesOf(entries, Resource(l.Name))
	if err != nil {
		return nil // a name that cannot be told is worth no error in place of the timeout
	}
	holders, _ := divide(own)
	return slices.DeleteFunc(holders, func(s dialect.Session) bool { return s.Mode.Compatible(l.Mode) })
}

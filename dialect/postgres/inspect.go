package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/lockstep-go/lockstep/dialect"
)

// Columns of pg_locks are unsigned 32-bit numbers. A bigint key has objsubid 1,
// a pair 2; both hold the key's halves in classid and objid.
const keyColumn = "((classid::bigint<<32)|objid::bigint)"

// keyCondition picks the locks of keys in this database.
func keyCondition(keys []int64) string {
	list := ""
	for i, key := range keys {
		if i > 0 {
			list += ","
		}
		list += keyLiteral(key)
	}
	return "locktype='advisory' and objsubid in (1,2) and database=" + thisDatabase + " and " + keyColumn + " in (" + list + ")"
}

const thisDatabase = "(select oid from pg_catalog.pg_database where datname=pg_catalog.current_database())"

// entries yields pg_locks with what the asking role may see of the sessions, as
// one JSON text. A NULL pid is a prepared transaction.
func entriesStatement(condition string) string {
	return "select coalesce(pg_catalog.json_agg(e)::text,'[]') from (select " + keyColumn + "::text as key,l.objsubid as sub,l.mode,l.granted," +
		"coalesce(l.pid::text,'') as id,coalesce(a.application_name,'') as label,coalesce(a.usename,'') as user," +
		"coalesce(pg_catalog.host(a.client_addr),'') as host,a.xact_start as since " +
		"from pg_catalog.pg_locks l left join pg_catalog.pg_stat_activity a using (pid) where " + condition + " order by l.granted desc,a.xact_start) e"
}

// entry is one row of pg_locks.
type entry struct {
	Key, ID, Label, User, Host, Mode string
	Sub                              int
	Granted                          bool
	Since                            time.Time
}

func readEntries(text string) ([]entry, error) {
	var entries []entry
	err := json.Unmarshal([]byte(text), &entries)
	return entries, err
}

// mode is how the entry's session has or wants the lock. A pair is the mark of
// an Update.
func (e entry) mode() dialect.Mode {
	switch {
	case e.Sub == 2:
		return dialect.Update
	case e.Mode == "ShareLock":
		return dialect.Shared
	}
	return dialect.Exclusive
}

func (e entry) session() dialect.Session {
	return dialect.Session{ID: e.ID, Label: e.Label, User: e.User, Host: e.Host, Mode: e.mode(), Since: e.Since}
}

// holdersStatement asks who stands in the way of a lock.
func holdersStatement(l dialect.Lock) string {
	return entriesStatement(keyCondition([]int64{Key(l.Name)}) + " and l.pid is distinct from pg_catalog.pg_backend_pid()")
}

// readHolders reads the answer to holdersStatement. A name that cannot be told
// is worth no error in place of the one that is being reported.
func readHolders(r row, wanted dialect.Mode) []dialect.Session {
	if len(r) == 0 {
		return nil
	}
	entries, err := readEntries(r[0])
	if err != nil {
		return nil
	}
	_, all := group(entries)
	var holders []dialect.Session
	for _, status := range all {
		holders = append(holders, status.Holders...)
	}
	return slices.DeleteFunc(holders, func(s dialect.Session) bool { return s.Mode.Compatible(wanted) })
}

// divide tells the holders of one key from its waiters. An Update is two locks:
// a session that has one and waits for the other holds nothing yet, unless it is
// strengthening what it held before.
func divide(entries []entry) (holders, waiters []dialect.Session) {
	for _, e := range entries {
		if !e.Granted {
			waiters = merge(waiters, e.session())
		}
	}
	for _, e := range entries {
		waiting := slices.IndexFunc(waiters, func(s dialect.Session) bool { return e.ID != "" && s.ID == e.ID })
		switch {
		case !e.Granted:
		case waiting >= 0 && e.Sub == 2 && waiters[waiting].Mode == dialect.Shared:
			waiters[waiting].Mode = dialect.Update
		default:
			holders = merge(holders, e.session())
		}
	}
	return holders, waiters
}

// merge adds a session, or strengthens the mode of the one that is there.
func merge(sessions []dialect.Session, s dialect.Session) []dialect.Session {
	for i := range sessions {
		if s.ID != "" && sessions[i].ID == s.ID {
			sessions[i].Mode = max(sessions[i].Mode, s.Mode)
			return sessions
		}
	}
	return append(sessions, s)
}

// Inspect implements dialect.Inspector.
func (d) Inspect(ctx context.Context, conn *sql.Conn, names []string) ([]dialect.LockStatus, error) {
	condition := "locktype='advisory' and objsubid in (1,2) and database=" + thisDatabase
	keys := make([]int64, len(names))
	for i, name := range names {
		keys[i] = Key(name)
	}
	if len(names) > 0 {
		condition = keyCondition(keys)
	}
	var text string
	if err := conn.QueryRowContext(ctx, entriesStatement(condition)).Scan(&text); err != nil {
		return nil, err
	}
	entries, err := readEntries(text)
	if err != nil {
		return nil, fmt.Errorf("postgres: reading pg_locks: %w", err)
	}
	byKey, order := group(entries)
	if len(names) == 0 {
		return order, nil
	}
	status := make([]dialect.LockStatus, len(names))
	for i, name := range names {
		key := strconv.FormatInt(keys[i], 10)
		status[i] = dialect.LockStatus{Name: name, Key: key}
		if s := byKey[key]; s != nil {
			status[i].Holders, status[i].Waiters = s.Holders, s.Waiters
		}
	}
	return status, nil
}

// group collects entries by key.
func group(entries []entry) (map[string]*dialect.LockStatus, []dialect.LockStatus) {
	perKey := make(map[string][]entry)
	var keys []string
	for _, e := range entries {
		if perKey[e.Key] == nil {
			keys = append(keys, e.Key)
		}
		perKey[e.Key] = append(perKey[e.Key], e)
	}
	byKey := make(map[string]*dialect.LockStatus, len(keys))
	order := make([]dialect.LockStatus, len(keys))
	for i, key := range keys {
		order[i].Key = key
		order[i].Holders, order[i].Waiters = divide(perKey[key])
		byKey[key] = &order[i]
	}
	return byKey, order
}

package engine

import (
	"strings"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/tsql"
)

// view is a view of the server's own state, computed whenever it is read.
type view struct {
	name  string
	perms string // permission it needs
	cols  []viewColumn
	rows  func(x *exec) [][]any
}

type viewColumn struct {
	name string
	typ  Type
}

// columnsText declares columns as "name type, name type".
func columnsText(text string) []viewColumn {
	var all []viewColumn
	for _, part := range strings.Split(text, ",") {
		name, typ, _ := strings.Cut(strings.TrimSpace(part), " ")
		t, err := tsql.ParseType(typ)
		if err != nil {
			panic(err)
		}
		resolved, err := resolveType(t, false)
		if err != nil {
			panic(err)
		}
		all = append(all, viewColumn{name, resolved})
	}
	return all
}

const serverState = "VIEW SERVER STATE"

// views makes the list anew, for a view's rows may need the list.
func views() []*view {
	return []*view{
		{"sys.databases", "", columnsText(`name sysname, database_id int, create_date datetime, state tinyint, state_desc nvarchar(60),
			user_access tinyint, user_access_desc nvarchar(60), is_read_only bit, snapshot_isolation_state tinyint,
			snapshot_isolation_state_desc nvarchar(60), is_read_committed_snapshot_on bit, collation_name sysname,
			compatibility_level tinyint, recovery_model tinyint, recovery_model_desc nvarchar(60)`), databaseRows},
		{"sys.schemas", "", columnsText(`name sysname, schema_id int, principal_id int`), schemaRows},
		{"sys.objects", "", objectColumns(), func(x *exec) [][]any { return objectRows(x, "") }},
		{"sys.tables", "", objectColumns(), func(x *exec) [][]any { return objectRows(x, "U") }},
		{"sys.views", "", objectColumns(), func(x *exec) [][]any { return objectRows(x, "V") }},
		{"sys.procedures", "", objectColumns(), func(x *exec) [][]any { return objectRows(x, "P") }},
		{"sys.columns", "", columnsText(`object_id int, name sysname, column_id int, system_type_name sysname, max_length smallint,
			precision tinyint, scale tinyint, is_nullable bit, is_identity bit`), columnRows},
		{"sys.indexes", "", columnsText(`object_id int, name sysname, index_id int, type_desc nvarchar(60), is_unique bit,
			is_primary_key bit, is_unique_constraint bit`), indexRows},
		{"information_schema.tables", "", columnsText(`TABLE_CATALOG sysname, TABLE_SCHEMA sysname, TABLE_NAME sysname, TABLE_TYPE varchar(10)`), standardRows},
		{"sys.database_principals", "", columnsText(`name sysname, principal_id int`), principalRows},
		{"sys.dm_tran_locks", serverState, lockColumns(), lockRows},
		{"sys.dm_os_waiting_tasks", serverState, columnsText(`waiting_task_address varbinary(8), session_id smallint, wait_duration_ms bigint,
			wait_type nvarchar(60), resource_address varbinary(8), blocking_session_id smallint, resource_description nvarchar(3072)`), waitingRows},
		{"sys.dm_exec_sessions", "", columnsText(`session_id smallint, login_time datetime, host_name nvarchar(128), program_name nvarchar(128),
			host_process_id int, client_interface_name nvarchar(32), login_name nvarchar(128), original_login_name nvarchar(128), status nvarchar(30),
			context_info varbinary(128), last_request_start_time datetime, last_request_end_time datetime, is_user_process bit,
			transaction_isolation_level smallint, lock_timeout int, database_id smallint, open_transaction_count int`), sessionRows},
		{"sys.dm_exec_connections", serverState, columnsText(`session_id int, most_recent_session_id int, connect_time datetime,
			net_transport nvarchar(40), protocol_type nvarchar(40), client_net_address varchar(48), auth_scheme nvarchar(40),
			encrypt_option nvarchar(40)`), connectionRows},
		{"sys.dm_exec_requests", serverState, columnsText(`session_id smallint, request_id int, start_time datetime, status nvarchar(30),
			command nvarchar(32), database_id smallint, blocking_session_id smallint, wait_type nvarchar(60), wait_time int,
			wait_resource nvarchar(256), open_transaction_count int, transaction_id bigint, transaction_isolation_level smallint`), requestRows},
		{"sys.dm_tran_session_transactions", serverState, columnsText(`session_id int, transaction_id bigint, transaction_descriptor binary(8),
			enlist_count int, is_user_transaction bit, is_local bit, is_enlisted bit, is_bound bit, open_transaction_count int`), sessionTransactionRows},
		{"sys.dm_tran_active_transactions", serverState, columnsText(`transaction_id bigint, name nvarchar(32), transaction_begin_time datetime,
			transaction_type int, transaction_state int`), activeTransactionRows},
		{"sys.dm_tran_current_transaction", serverState, columnsText(`transaction_id bigint, transaction_sequence_num bigint,
			transaction_is_snapshot bit`), currentTransactionRows},
		{"sys.dm_os_sys_info", serverState, columnsText(`sqlserver_start_time datetime, cpu_count int`), func(x *exec) [][]any {
			return [][]any{{fitDate(x.server.started.UTC(), typeDateTime), int64(1)}}
		}},
	}
}

func objectColumns() []viewColumn {
	return columnsText(`name sysname, object_id int, schema_id int, type char(2), type_desc nvarchar(60), create_date datetime, modify_date datetime,
		is_ms_shipped bit`)
}

// systemView finds a view of the schemas sys and INFORMATION_SCHEMA.
func systemView(n tsql.Name) *view {
	if len(n.Parts) < 2 {
		return nil
	}
	name := foldName(n.Parts[len(n.Parts)-2] + "." + n.Last())
	for _, v := range views() {
		if v.name == name {
			return v
		}
	}
	return nil
}

// mayView refuses a view to a login that lacks the permission it needs. The
// server raises two errors; the first is told at once.
func (x *exec) mayView(v *view) error {
	if v.perms == "" || x.server.may(x.s.user, v.perms) {
		return nil
	}
	f := fault(300, "%s permission was denied on object 'server', database 'master'.", v.perms)
	second := fault(297, "The user does not have permission to perform this action.")
	second.before = &f.Message
	return second
}

func databaseRows(x *exec) [][]any {
	var rows [][]any
	for _, d := range x.server.everyDatabase() {
		access, accessName, snapshot, snapshotName := int64(0), "MULTI_USER", int64(0), "OFF"
		if d.singleUser.Load() {
			access, accessName = 1, "SINGLE_USER"
		}
		if d.allowsSnapshot.Load() {
			snapshot, snapshotName = 1, "ON"
		}
		rows = append(rows, []any{d.name, int64(d.id), fitDate(d.created.UTC(), typeDateTime), int64(0), "ONLINE", access, accessName, d.readOnly.Load(),
			snapshot, snapshotName, d.readsSnapshot.Load(), "SQL_Latin1_General_CP1_CI_AS", int64(160), int64(3), "SIMPLE"})
	}
	return rows
}

func schemaRows(x *exec) [][]any {
	x.server.data.Lock()
	defer x.server.data.Unlock()
	var rows [][]any
	for name, id := range x.s.db.schemas {
		rows = append(rows, []any{name, int64(id), int64(1)})
	}
	return rows
}

func principalRows(x *exec) [][]any {
	x.server.data.Lock()
	defer x.server.data.Unlock()
	var rows [][]any
	for name, id := range x.s.db.users {
		rows = append(rows, []any{name, int64(id)})
	}
	return rows
}

func objectRows(x *exec, only string) [][]any {
	x.server.data.Lock()
	defer x.server.data.Unlock()
	kinds := map[string]string{"U": "USER_TABLE", "V": "VIEW", "P": "SQL_STORED_PROCEDURE"}
	var rows [][]any
	for _, o := range x.s.db.objects {
		d, kind := o.describe(), objectType(o)
		if only != "" && kind != only {
			continue
		}
		at := fitDate(d.created.UTC(), typeDateTime)
		rows = append(rows, []any{d.name, d.id, int64(x.s.db.schemas[foldName(d.schema)]), kind + " ", kinds[kind], at, at, false})
	}
	return rows
}

// everyTable calls f for the tables of the current database.
func everyTable(x *exec, f func(t *table)) {
	x.server.data.Lock()
	defer x.server.data.Unlock()
	for _, o := range x.s.db.objects {
		if t, ok := o.(*table); ok {
			f(t)
		}
	}
}

func columnRows(x *exec) [][]any {
	var rows [][]any
	everyTable(x, func(t *table) {
		for i, c := range t.columns {
			rows = append(rows, []any{t.id, c.name, int64(i + 1), kindNames[c.typ.Kind], storedLength(c.typ), int64(max(c.typ.Size, 0) & 0xFF),
				int64(c.typ.Scale), c.nullable, c.identity != nil})
		}
	})
	return rows
}

func indexRows(x *exec) [][]any {
	var rows [][]any
	everyTable(x, func(t *table) {
		for i, n := range t.indexes {
			kind := "NONCLUSTERED"
			if n.primary {
				kind = "CLUSTERED"
			}
			rows = append(rows, []any{t.id, n.name, int64(i + 1), kind, n.unique, n.primary, n.constraint && !n.primary})
		}
	})
	return rows
}

func standardRows(x *exec) [][]any {
	x.server.data.Lock()
	defer x.server.data.Unlock()
	kinds := map[string]string{"U": "BASE TABLE", "V": "VIEW"}
	var rows [][]any
	for _, o := range x.s.db.objects {
		if kind := kinds[objectType(o)]; kind != "" {
			rows = append(rows, []any{x.s.db.name, o.describe().schema, o.describe().name, kind})
		}
	}
	return rows
}

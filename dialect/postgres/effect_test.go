package postgres

import "testing"

func TestEffectOf(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]effect{
		"select 1": reads,
		"SELECT count(*) FROM item WHERE id IN (1)":       reads,
		"with a as (select 1) select * from a":            reads,
		"values (1), (2)":                                 reads,
		"table item":                                      reads,
		"show lock_timeout":                               reads,
		"set local lock_timeout = '5s'":                   reads,
		"select 'insert into item', \"update\" from item": reads,
		"select 1 -- update item":                         reads,
		"select /* delete */ 1":                           reads,
		"select $$insert into item$$":                     reads,
		"select $q$update $$ item$q$, 1":                  reads,
		"select pg_catalog.pg_backend_pid()":              reads,
		"select nextval('s')":                             mayWrite,
		"select audit.lower ('x')":                        mayWrite,
		`select "lower"('x')`:                             mayWrite,
		"select 'a\\'":                                    mayWrite,
		"execute p":                                       mayWrite,
		"vacuum item":                                     mayWrite,
		"":                                                mayWrite,
		" -- nothing":                                     mayWrite,
		"select pg_notify('a', 'b')":                      mayWrite,
		"insert into item values (1)":                     writes,
		"  UPDATE item SET n = 1":                         writes,
		"/* c */ delete from item":                        writes,
		"with a as (insert into item values (1) returning id) select * from a": writes,
		"select * from item for update":                                        writes,
		"select * into copy from item":                                         writes,
		"merge into item using other on true when matched then delete":         writes,
		"do $$ begin perform 1; end $$":                                        writes,
		"truncate item":                                                        writes,
		"create table t (id int)":                                              writes,
		"select 1; insert into item values (1)":                                writes,
		"select 'unclosed":                                                     reads,
	} {
		if got := effectOf(query); got != want {
			t.Errorf("effectOf(%q) = %d, want %d", query, got, want)
		}
	}
}

// TestEffectIsNeverTooLow takes writes apart at every byte: what is left may
// write no less than what it still says.
func TestEffectOfPieces(t *testing.T) {
	t.Parallel()
	for _, query := range []string{
		"insert into item values ('a''b', $$c$$, \"d\") -- e", "with x as (update item set n = /* f */ 1 returning id) select id from x",
	} {
		for i := range query {
			effectOf(query[i:]) // must neither panic nor hang
			effectOf(query[:i])
			endsTransaction(query[i:])
			endsTransaction(query[:i])
		}
	}
}

func TestEndsTransaction(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]bool{
		"commit": true, "COMMIT AND CHAIN": true, "end": true, "abort": true, "rollback": true, " -- c\n rollback work": true,
		"rollback transaction": true, "select 1; commit": true, "insert into item values (1);rollback": true,
		"prepare transaction 'x'": true, "/* c */ commit": true,
		"rollback to a": true, "rollback to savepoint a": true, "rollback work to a": true, "rollback prepared 'x'": true,
		"select 'commit'": false, "select 1 as commit": false, "select \"commit\"": false, "-- commit\nselect 1": false,
		"begin": false, "savepoint commit": false, "select case when true then 1 end": false,
		"do $$ begin perform 1; end $$": false, "prepare p as select 1": false, "": false, ";": false, "select 1;": false,
		"create function f() returns int begin atomic select 1; end": false,
	} {
		if got := endsTransaction(query); got != want {
			t.Errorf("endsTransaction(%q) = %v, want %v", query, got, want)
		}
	}
}

func TestCopiesFromClient(t *testing.T) {
	for query, want := range map[string]bool{
		"copy t from stdin":                           true,
		"select 1; COPY t (a) FROM STDIN with binary": true,
		"copy t to stdout":                            false,
		"select 'copy t from stdin'":                  false,
		"select stdin from stdin":                     false,
		"copy t from '/stdin'":                        false,
	} {
		if got := copiesFromClient(query); got != want {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
}

func TestLifts(t *testing.T) {
	for query, want := range map[string]bool{
		"set transaction read write":                                  true,
		"SET SESSION CHARACTERISTICS AS TRANSACTION READ  WRITE":      true,
		"set local transaction_read_only = off":                       true,
		"select set_config('transaction_read_only', 'off', true)":     true,
		"select 'read write'":                                         false,
		"select current_setting('transaction_read_only')":             false,
		"select read, write from t":                                   false,
		"set transaction isolation level repeatable read, read write": true,
	} {
		if got := lifts(query); got != want {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
}

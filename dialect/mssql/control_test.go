package mssql

import (
	"testing"

	mssqldb "github.com/microsoft/go-mssqldb"
)

var effects = map[string]effect{
	"select 1": reads,
	"":         reads,
	"select [commit], \"rollback\", 'commit'": reads,
	"select 1 -- commit\n, 2":                 reads,
	"select /* a /* rollback */ commit */ 1":  reads,
	"select @commit":                          reads,
	"select t.merge from t":                   reads,
	"with x as (select 1 a) select a from x":  reads,
	"insert into t values (1)":                mayWrite,
	"select a into b from c":                  mayWrite,
	"select next value for s":                 mayWrite,
	"with x as (select 1 a) delete from x":    mayWrite,
	"exec p":                                  mayWrite,
	"sp_who":                                  mayWrite,
	"dbo.[my proc]":                           mayWrite,
	"#temporary":                              mayWrite,
	"if 1=1 update t set a=1":                 mayWrite,
	"create procedure p as commit":            mayWrite,
	"create or alter trigger t on x after insert as rollback": mayWrite,
	"begin select 1 end":                    reads,
	"COMMIT":                                ends,
	"rollback transaction x":                ends,
	"insert into t values (1); Commit Tran": ends,
	"begin tran":                            ends,
	"begin\n transaction":                   ends,
	"begin distributed tran":                ends,
	"save tran x":                           ends,
	"set implicit_transactions on":          ends,
	"exec('commit')":                        mayWrite, // not seen through
	"select 'it''s' commit":                 ends,
	"select 'unclosed commit":               reads,
	"create table t (a int) commit":         ends,
	"select [a]]commit] from t":             reads,
	"receive top (1) * from q":              mayWrite,
	"disable trigger t on x":                mayWrite,
	"[it's; a name]":                        mayWrite,

	// calls that need no EXEC, and other words that nobody knows
	"addp 5":              mayWrite,
	"sp_rename 'a','b'":   mayWrite,
	"dbo.addp @x=1":       mayWrite,
	"[addp] 5":            mayWrite,
	"addp;":               mayWrite,
	" addp":               mayWrite,
	"-- why\naddp 5":      mayWrite,
	";; /* why */ addp 5": mayWrite,
	"{call p}":            mayWrite,
	"\ufeffselect 1":      mayWrite,
	mssqldb.CopyIn("t", mssqldb.BulkOptions{}, "id"):        mayWrite,
	"select 1; enable trigger x on y":                       mayWrite,
	"select 1; move conversation @h to @g":                  mayWrite,
	"select 1; anything":                                    mayWrite,
	"(select 1)":                                            reads,
	";with x as (select 1 a) select a from x;":              reads,
	"declare @a int = 1; if @a = 1 print 'x' else select 2": reads,
	"select [it]]'s] from t; update t set id=1; select ''":  mayWrite,
	"set xact_abort off":                                    reads,

	// ends that hide
	"insert into [a]]'b] values (1); commit; select ''": ends,
	"create table [x] ([a] int default 0); commit":      ends,
	"alter table [x] add default 0 for [a]; rollback":   ends,
	"create schema x; commit":                           ends,
	"create default x as 1; commit":                     ends,
	"create table [procedure] (a int); commit":          ends,
	"[p] create procedure x as; commit":                 ends,
	"create table procedure; commit":                    ends,
	"select 1commit":                                    ends,
	"select 1.commit":                                   ends,
	"select 1.5e3commit":                                ends,
	"select .5commit":                                   ends,
	"select 0xcommit":                                   ends,
	"select $commit":                                    ends,
	"select $1commit":                                   ends,
	"select @a=1commit":                                 ends,
	"select 1save tran x":                               ends,
	"select 1 -- x\rcommit":                             ends,
	"select 1 -- it's\rcommit":                          ends,
	"select '\r' -- commit":                             reads,
	"begin /**/tran":                                    ends,
	"select a.commit, 'x'.b from t":                     reads,
	"if xact_state()=1 commit":                          ends,
}

func TestEffectOf(t *testing.T) {
	t.Parallel()
	for query, want := range effects {
		if got := effectOf(query); got != want {
			t.Errorf("%q: %v, want %v", query, got, want)
		}
	}
}

func TestTakesPrefix(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]bool{
		"select 1":                        true,
		"with x as (select 1 a) select a": true,
		"create table t (a int)":          true,
		"create view v as select 1 a":     false,
		"create or alter procedure p as":  false,
		"ALTER FUNCTION f":                false,
		"/* why */ create trigger t":      false,
		"sp_who":                          false,
		"[dbo].[p]":                       false,
		"[it's;\n a ]] name]":             false,
		"db..[p]":                         false,
		"[unclosed":                       false,

		"p;":                               false,
		"p 1":                              false,
		"p[1]":                             false,
		"[p] 1":                            false,
		" p":                               false,
		";p 1":                             false,
		"{call p}":                         false,
		"enable 1":                         false, // a procedure, perhaps
		"(select 1)":                       false,
		"create schema x":                  false,
		"; /* why */ create trigger t":     false,
		"create table t (a int default 0)": true,
		"; select 1":                       true,
		"commit":                           true,
		"INSERTBULK {}":                    false,
		"":                                 true,
	} {
		if got := takesPrefix(query); got != want {
			t.Errorf("%q: %v, want %v", query, got, want)
		}
	}
}

func TestMayHide(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]bool{
		"begin try exec p end try begin catch end catch":              true,
		"BEGIN TRY EXECUTE ('x') END TRY BEGIN CATCH THROW END CATCH": true,
		"begin try select 1 end try begin catch end catch":            false,
		"exec p":                  false,
		"exec p -- catch":         false,
		"select 'exec' as catch_": false,
	} {
		if got := mayHide(query); got != want {
			t.Errorf("%q: %v, want %v", query, got, want)
		}
	}
}

// FuzzEffectOf looks for texts that the scanner cannot read.
func FuzzEffectOf(f *testing.F) {
	f.Add("select 'a' -- b\n /* c /* d */ */ [e] \"f\" @g #h")
	f.Fuzz(func(_ *testing.T, query string) {
		effectOf(query)
		takesPrefix(query)
	})
}

package mssql

import (
	"regexp"
	"strings"

	"github.com/lockstep-go/lockstep/internal/sqltext"
)

// effect is what a statement's text says about the transaction it runs in.
type effect int

const (
	reads    effect = iota // it only reads
	mayWrite               // it writes, or runs what may
	ends                   // it begins or ends a transaction, or undoes a part of one
)

// The words of transactionWords are reserved in Transact-SQL: outside literals,
// comments and quoted names they can be nothing else. Not all of writingWords
// are: that a unit has written is better said too often.
var (
	transactionWords = sqltext.WordSet("commit rollback")
	openingWords     = sqltext.WordSet("begin save implicit_transactions")
	writingWords     = sqltext.WordSet("insert update delete merge into exec execute create alter drop truncate bulk grant deny revoke backup restore dbcc kill updatetext writetext openquery openrowset opendatasource " +
		"enable disable signature sensitivity symmetric master receive send conversation dialog copy rename checkpoint reconfigure shutdown revert setuser")

	// A statement that begins with another word than these may write: the name of
	// a procedure, for one.
	readingWords = sqltext.WordSet("select with declare set if else while begin end print waitfor use return break continue goto throw raiserror open fetch close deallocate readtext")
	// Before these words other statements may stand in a batch. All are reserved:
	// no procedure is called like that.
	leadingWords = sqltext.WordSet("select with declare set if while begin print waitfor use return goto raiserror open fetch close deallocate readtext " +
		"insert update delete merge exec execute create alter drop truncate bulk grant deny revoke backup restore dbcc updatetext writetext commit rollback save")

	// What is defined with these must be alone in its batch; the text of the first
	// ones has statements of its own, which the definition does not run.
	bodyWords  = sqltext.WordSet("procedure proc function trigger view")
	aloneWords = sqltext.WordSet("procedure proc function trigger view schema rule default")
)

// effectOf looks at the words of a query. A query that is a name alone calls a
// procedure.
func effectOf(query string) effect {
	result := effectOfTokens(scan(query))
	if strings.Contains(query, "\r") {
		// Microsoft does not say whether it ends a comment: either may be so.
		result = max(result, effectOfTokens(scan(strings.ReplaceAll(query, "\r", "\n"))))
	}
	if isProcedureName(query) {
		return mayWrite
	}
	return result
}

func effectOfTokens(all []token) effect {
	if bodyWords[defined(all)] {
		return mayWrite
	}
	result, first := reads, true // whether a statement's first word is yet to come
	for i, t := range all {
		next := ""
		if i+1 < len(all) {
			next = all[i+1].text
		}
		switch {
		case t.kind == word && endsTransaction(t.text, next):
			return ends
		case t.kind == word && (writingWords[t.text] || t.text == "next" && next == "value"):
			result = mayWrite
		case t.kind == symbol && (t.text == ";" || first && t.text == "("):
			first = true
			continue
		case first && !(t.kind == word && readingWords[t.text]):
			result = mayWrite
		}
		first = false
	}
	return result
}

func endsTransaction(w, next string) bool {
	switch w {
	case "begin", "save":
		return next == "tran" || next == "transaction" || next == "distributed"
	}
	return transactionWords[w] || openingWords[w]
}

// defined returns what kind of thing a query defines with its first words.
func defined(all []token) string {
	all = withoutEmpty(all)
	switch {
	case len(all) > 1 && (all[0].text == "create" || all[0].text == "alter") && all[1].text != "or":
		return all[1].text
	case len(all) > 3 && all[0].text == "create" && all[2].text == "alter":
		return all[3].text
	}
	return ""
}

// withoutEmpty drops the empty statements that a query begins with.
func withoutEmpty(all []token) []token {
	for len(all) > 0 && all[0].text == ";" {
		all = all[1:]
	}
	return all
}

// mayHide reports a query that calls something and may keep to itself how that has
// ended: only there does nobody learn that the count of transactions has changed.
func mayHide(query string) bool {
	catches, calls := false, false
	for _, t := range scan(query) {
		catches = catches || t.text == "catch"
		calls = calls || t.text == "exec" || t.text == "execute"
	}
	return catches && calls
}

// procedureName matches a query that go-mssqldb sends as a call by name: names in
// brackets or not, and dots.
var procedureName = regexp.MustCompile(`^(\[[^\]]*(\](\][^\]]*\])*|$)|[\pL_#][^\s\v\x85\pZ\[(';.]*(\.|$)|\.)+$`)

// commands are single words that are statements and not procedures.
var commands = sqltext.WordSet("reconfigure shutdown checkpoint commit rollback revert")

func isProcedureName(query string) bool {
	return procedureName.MatchString(query) && !commands[strings.ToLower(query)]
}

// takesPrefix reports whether statements may be put before the query. That is
// wrong for calls by name, of which the first of a batch needs no EXEC, and for
// definitions that must be alone in their batch.
func takesPrefix(query string) bool {
	if isProcedureName(query) {
		return false
	}
	all := withoutEmpty(scan(query))
	return len(all) == 0 || all[0].kind == word && leadingWords[all[0].text] && !aloneWords[defined(all)]
}

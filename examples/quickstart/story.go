package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/jmoiron/sqlx"
)

// story prints what happens, and what the database holds after it.
type story struct {
	ctx    context.Context
	out    io.Writer
	db     *sqlx.DB // no part of any unit of work
	failed int      // claims that did not hold
}

// chapter begins a chapter.
func (s *story) chapter(format string, args ...any) {
	fmt.Fprintf(s.out, "\n"+format+"\n", args...)
}

// say tells what happens.
func (s *story) say(format string, args ...any) {
	fmt.Fprintf(s.out, "     "+format+"\n", args...)
}

// confirm prints whether a claim holds.
func (s *story) confirm(claim string, holds bool) {
	mark := "  ok"
	if !holds {
		mark = "  NO"
		s.failed++
	}
	fmt.Fprintln(s.out, mark, claim)
}

// holds prints what the database answers to a query of one column, its rows
// with spaces between them, which must be want. An error stands in its place.
func (s *story) holds(what, want, query string, args ...any) {
	rows, err := s.rows(query, args...)
	s.compare(what, want, strings.Join(rows, " "), err)
}

// rows returns the database's answer to a query of one column.
func (s *story) rows(query string, args ...any) (rows []string, err error) {
	err = s.db.SelectContext(s.ctx, &rows, s.db.Rebind(query), args...)
	return rows, err
}

// compare prints what was found, or the error, and whether it is as it must be.
func (s *story) compare(what, want, got string, err error) {
	if err != nil {
		got = err.Error()
	}
	claim := what + ": " + got
	if got != want {
		claim += " (must be " + want + ")"
	}
	s.confirm(claim, got == want)
}

// end closes the story: an error unless every check held.
func (s *story) end() error {
	if s.failed > 0 {
		return fmt.Errorf("%d claims do not hold", s.failed)
	}
	s.chapter("Whatever is marked ok was checked: rows, versions and locks by asking the database.")
	return nil
}
